"""Searching codes finds what looking at every row finds, whatever the gallery looks like and whatever happens to it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import GalleryRefused
from pipeline.match import (
    NOTHING,
    BruteForceMatcher,
    CodedMatcher,
    CompactMatcher,
    ExactMatcher,
    MatchResult,
    PlainMemory,
)
from pipeline.matching import coded, codes

HASH = "a" * 64
BOTH = pytest.mark.parametrize("mode", [ExactMatcher, CompactMatcher])
Matrix = NDArray[np.float32]
Mode = type[CodedMatcher]


@pytest.fixture(autouse=True, scope="module")
def small_pieces() -> Iterator[None]:
    """Galleries of a few hundred rows go through codes, pieces and rewriting as those of a million do."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"FEW": 20, "SEGMENT": 64, "TAIL": 24, "AT_ONCE": 16, "MANY": 3}.items():
            patch.setattr(coded, name, value)
        yield


def unit(matrix: NDArray[np.floating]) -> Matrix:
    return (matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)).astype(np.float32)


def faces(rows: int, seed: int, *, used: int, width: int = 512) -> Matrix:
    """Unit rows that fill only `used` of their dimensions, as embeddings do."""
    random = np.random.default_rng(seed)
    return unit(random.standard_normal((rows, used)) @ np.random.default_rng(3).standard_normal((used, width)))


def decoded(matcher: CodedMatcher) -> Matrix:
    parts = [s.coded.codes * s.coded.scale[:, None] for s in matcher._segments if s.coded is not None]
    return np.concatenate(parts).astype(np.float32)


def by_hand(handles: list[str], matrix: NDArray[np.floating], probe: Matrix) -> MatchResult:
    """Every row, in float64 and one product at a time; of equal rows the first."""
    scores = [float((row.astype(np.float64) * probe.astype(np.float64)).sum()) for row in matrix]
    first = max(range(len(scores)), key=lambda n: scores[n])
    others = [score for score, handle in zip(scores, handles, strict=True) if handle != handles[first]]
    return MatchResult(handles[first], scores[first], max(others, default=NOTHING))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 220),
    people=st.integers(1, 60),
    used=st.sampled_from([2, 30, 120, 512]),
    noise=st.sampled_from([0.0, 1e-7, 0.01, 0.3]),
    copies=st.integers(0, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_exact_mode_is_brute_force_score_for_score(
    rows: int, people: int, used: int, noise: float, copies: int, seed: int
) -> None:
    """Also where many rows are one and the same under several names, and where two differ by the last bit."""
    random = np.random.default_rng(seed)
    matrix = faces(rows, seed, used=used)
    chosen = random.integers(0, rows, (2, copies))
    matrix[chosen[0]] = matrix[chosen[1]]
    handles = [f"p{n}" for n in random.integers(0, people, rows)]
    matcher, brute = ExactMatcher(handles, matrix, HASH), BruteForceMatcher(handles, matrix, HASH)
    near = matrix[random.integers(0, rows)].astype(np.float64)
    for probe in (unit(near + noise * random.standard_normal(512)), unit(random.standard_normal(512)), unit(-near)):
        found = matcher.search(probe)
        assert found == brute.search(probe)
        assert found == by_hand(handles, matrix, probe)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 220), st.integers(1, 60), st.sampled_from([30, 512]), st.integers(0, 2**32 - 1))
def test_compact_mode_is_brute_force_over_its_codes(rows: int, people: int, used: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    matrix = faces(rows, seed, used=used)
    handles = [f"p{n}" for n in random.integers(0, people, rows)]
    matcher = CompactMatcher(handles, matrix, HASH)
    probe = unit(matrix[random.integers(0, rows)] + 0.05 * random.standard_normal(512))
    found, expected = matcher.search(probe), by_hand(handles, decoded(matcher), probe)
    assert found.handle == expected.handle
    assert found.score == pytest.approx(expected.score, abs=1e-6)
    assert found.runner_up == pytest.approx(expected.runner_up, abs=1e-6)


def test_compact_scores_lie_within_the_error_that_is_stated() -> None:
    matrix = faces(300, 5, used=512)
    handles = [str(n) for n in range(300)]
    matcher, exact = CompactMatcher(handles, matrix, HASH), ExactMatcher(handles, matrix, HASH)
    probes = unit(matrix + 0.03 * np.random.default_rng(6).standard_normal(matrix.shape))
    found = [(matcher.search(p), exact.search(p)) for p in probes]
    assert all(a.handle == b.handle for a, b in found)
    assert max(abs(a.score - b.score) for a, b in found) <= matcher.score_error < 0.02
    assert matcher.bytes_a_template <= 700
    assert exact.bytes_a_template <= 2600


def test_a_gallery_that_fills_few_of_its_dimensions_is_searched_along_those() -> None:
    matcher = ExactMatcher([str(n) for n in range(300)], faces(300, 1, used=100), HASH)
    assert matcher._axes is not None
    assert matcher._axes.count == 128


@pytest.mark.parametrize("matrices", sorted({False, codes.matrices()}))
@pytest.mark.parametrize("used", [60, 180, 400])
def test_estimates_are_the_products_of_the_codes_whichever_way_they_are_multiplied(
    used: int, matrices: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "matrices", lambda: matrices)
    *rows, probe = faces(601, 5, used=used)
    axes = codes.principal_axes(np.array(rows), PlainMemory)
    kept = codes.encode(np.array(rows), axes, np.empty((600, axes.count), np.int8), np.empty(600, np.float32))
    asked = codes.encode_probe(probe, axes)
    estimates = np.empty(600, np.float32)
    codes.estimate(asked, kept, estimates)
    products = kept.codes.astype(np.int64) @ np.rint(axes.along(probe) / asked.scale).astype(np.int64)
    assert np.allclose(estimates, products * kept.scale * asked.scale, rtol=1e-6, atol=0)


def test_rows_off_the_axes_that_come_later_are_found_all_the_same() -> None:
    matcher = ExactMatcher([str(n) for n in range(300)], faces(300, 1, used=100), HASH)
    strange = unit(np.random.default_rng(9).standard_normal((3, 512)))
    matcher = matcher.with_added(["x", "y", "z"], strange, HASH)
    for name, row in zip("xyz", strange, strict=True):
        assert matcher.search(row).handle == name
        assert matcher.search(row).score == pytest.approx(1, abs=1e-6)


@BOTH
@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=12), seed=st.integers(0, 2**32 - 1))
def test_adding_and_removing_gives_what_loading_anew_would(
    mode: Mode, steps: list[tuple[bool, int]], seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = faces(400, seed, used=60)
    now: dict[int, str] = {n: f"p{n % 7}" for n in range(10)}
    matcher, last = mode(list(now.values()), rows[list(now)], HASH), 10
    for adds, count in steps:
        if adds:
            new = range(last, min(last + count, 400))
            now |= {n: f"q{n // 3}" for n in new}
            matcher, last = matcher.with_added([now[n] for n in new], rows[list(new)], HASH), last + len(new)
        else:
            names = {now[n] for n in sorted(now)[:: count + 1]}
            now = {n: name for n, name in now.items() if name not in names}
            matcher = matcher.without(names)
        assert len(matcher) == len(now)
        probe = unit(rows[random.integers(0, 400)] + 0.02 * random.standard_normal(512))
        found = matcher.search(probe)
        if not now:
            assert found.handle is None
            continue
        expected = by_hand(list(now.values()), rows[list(now)], probe)
        if mode is ExactMatcher:
            assert found == expected
        else:
            assert found.score == pytest.approx(expected.score, abs=matcher.score_error)
            assert found.runner_up == pytest.approx(expected.runner_up, abs=matcher.score_error)


@BOTH
def test_a_search_goes_on_with_the_gallery_it_began_with(mode: Mode) -> None:
    rows = faces(90, 2, used=60)
    before = mode([f"p{n}" for n in range(80)], rows[:80], HASH)
    after = before.with_added(["new"] * 10, rows[80:], HASH).without(["p3"])
    assert before.search(rows[3]).handle == "p3"
    assert before.search(rows[85]).handle != "new"
    assert after.search(rows[3]).handle != "p3"
    assert after.search(rows[85]).handle == "new"


@BOTH
def test_searches_see_the_old_or_the_new_gallery_while_it_changes(mode: Mode) -> None:
    rows = faces(200, 4, used=60)
    current: list[CodedMatcher] = [mode([f"p{n}" for n in range(100)], rows[:100], HASH)]
    wrong: list[str | None] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for row in (7, 42, 99):
                handle = current[0].search(rows[row]).handle
                if handle != f"p{row}":
                    wrong.append(handle)

    readers = [threading.Thread(target=look) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(100, 200):
        current[0] = current[0].with_added([f"p{number}"], rows[number : number + 1], HASH)
        current[0] = current[0].without({f"p{number - 50}"} - {"p99"})
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong
    assert current[0].search(rows[199]).handle == "p199"


@BOTH
def test_several_threads_find_the_same(mode: Mode) -> None:
    rows = faces(300, 8, used=512)
    handles = [f"p{n // 2}" for n in range(300)]
    one, two = mode(handles, rows, HASH), mode(handles, rows, HASH, threads=2)
    assert [one.search(row) for row in rows[:40]] == [two.search(row) for row in rows[:40]]


class Book:
    """Hands out memory and remembers it."""

    def __init__(self) -> None:
        self.given: list[PlainMemory] = []

    def __call__(self, size: int) -> PlainMemory:
        self.given.append(PlainMemory(size))
        return self.given[-1]

    @property
    def wiped(self) -> list[bool]:
        return [not any(memory.view) for memory in self.given]


@BOTH
def test_codes_and_added_rows_lie_in_the_callers_memory_and_are_wiped_with_the_last_gallery(mode: Mode) -> None:
    book, rows = Book(), faces(150, 2, used=60)
    matcher: CodedMatcher | None = mode([f"p{n}" for n in range(100)], rows[:100], HASH, allocate=book)
    older = matcher
    assert matcher is not None
    matcher = matcher.with_added(["a"] * 5, rows[100:105], HASH).with_added(["b"], rows[105:106], HASH)
    gc.collect()
    held = sum(len(memory.view) for memory, gone in zip(book.given, book.wiped, strict=True) if not gone)
    assert held >= 106 * (64 if mode is ExactMatcher else 512)
    assert True in book.wiped  # the piece with "a" alone was written anew together with "b"
    assert older is not None
    assert older.search(rows[3]).handle == "p3"
    matcher = older = None
    gc.collect()
    assert all(book.wiped)


def test_what_the_rows_lie_in_lives_as_long_as_they_are_read() -> None:
    class Owner:
        pass

    owner, rows = Owner(), faces(100, 2, used=60)
    kept = threading.Event()
    weakref.finalize(owner, kept.set)
    matcher: CodedMatcher | None = ExactMatcher([str(n) for n in range(100)], rows, HASH, keep=owner)
    del owner
    gc.collect()
    assert not kept.is_set()
    matcher = None
    gc.collect()
    assert kept.is_set()
    assert matcher is None


Change = Callable[[CodedMatcher], object]


@BOTH
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.with_added(["x"], np.full((1, 512), np.nan, np.float32), HASH), "row 0"),
        (lambda m: m.with_added(["x"], faces(1, 1, used=9).astype(np.float64), HASH), "float64"),
        (lambda m: m.with_added(["x"], faces(2, 1, used=9), HASH), "1 handles for 2 rows"),
        (lambda m: m.with_added(["x"], faces(1, 1, used=9, width=128), HASH), "128 numbers"),
        (lambda m: m.with_added(["x"], faces(1, 1, used=9), "b" * 64), "made by model"),
    ],
    ids=["nan", "dtype", "count", "width", "model"],
)
def test_what_can_not_be_compared_is_refused_by_name(mode: Mode, change: Change, says: str) -> None:
    matcher = mode([str(n) for n in range(50)], faces(50, 2, used=60), HASH)
    with pytest.raises(GalleryRefused, match=says):
        change(matcher)
    assert len(matcher) == 50


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_row_that_is_no_unit_vector_is_refused_by_number(mode: Mode, value: float) -> None:
    matrix = faces(50, 2, used=60)
    matrix[33] = value
    with pytest.raises(GalleryRefused, match="row 33"):
        mode([str(n) for n in range(50)], matrix, HASH)


@BOTH
@pytest.mark.parametrize(
    "probe", [np.full(512, np.nan), np.zeros(512), np.ones(512), np.ones(3), np.ones(511) / 511**0.5]
)
def test_an_unusable_probe_matches_nobody(mode: Mode, probe: NDArray[np.float64]) -> None:
    matcher = mode([str(n) for n in range(50)], faces(50, 2, used=60), HASH)
    assert matcher.search(probe.astype(np.float32)) == MatchResult(None, NOTHING, NOTHING)


@BOTH
def test_embeddings_of_another_width_are_searched_alike(mode: Mode) -> None:
    rows = faces(120, 2, used=128, width=128)
    matcher = mode([str(n) for n in range(120)], rows, HASH)
    assert [matcher.search(row).handle for row in rows] == [str(n) for n in range(120)]


@BOTH
def test_an_empty_gallery_has_nobody_and_may_be_filled(mode: Mode) -> None:
    empty = mode([], np.empty((0, 512), np.float32), HASH)
    assert empty.search(faces(1, 1, used=9)[0]).handle is None
    assert empty.with_added(["a"], faces(1, 1, used=9), HASH).search(faces(1, 1, used=9)[0]).handle == "a"
    assert len(empty.without(["nobody"])) == 0

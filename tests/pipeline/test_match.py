"""1:N search: exact, never fooled by what is no template, and the runner-up is always somebody else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.errors import GalleryRefused
from pipeline.match import NOTHING, BruteForceMatcher, MatchResult

HASH = "a" * 64
Matrix = NDArray[np.float32]


def unit(rows: int, seed: int = 0) -> Matrix:
    matrix = np.random.default_rng(seed).standard_normal((rows, 512), dtype=np.float32)
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_search_equals_looking_at_every_row(rows: int, people: int, seed: int) -> None:
    matrix, probe = unit(rows, seed), unit(1, seed + 1)[0]
    handles = [f"p{number % people}" for number in range(rows)]
    result = BruteForceMatcher(handles, matrix, HASH).search(probe)
    best = {name: max(float(matrix[i] @ probe) for i in range(rows) if handles[i] == name) for name in set(handles)}
    ordered = sorted(best.items(), key=lambda item: -item[1])
    assert result.handle == ordered[0][0]
    assert result.score == pytest.approx(ordered[0][1], abs=1e-5)
    assert result.runner_up == pytest.approx(ordered[1][1] if len(ordered) > 1 else NOTHING, abs=1e-5)


def test_several_templates_of_one_person_are_no_runner_up() -> None:
    rows = unit(2)
    matrix = np.stack([rows[0], rows[0], rows[0], rows[1]])
    result = BruteForceMatcher(["one", "one", "one", "two"], matrix, HASH).search(rows[0])
    assert result.handle == "one"
    assert result.score == pytest.approx(1, abs=1e-5)
    assert result.runner_up < 0.3
    assert result.margin == result.score - result.runner_up


def test_an_empty_gallery_has_nobody() -> None:
    empty = BruteForceMatcher([], np.empty((0, 512), np.float32), HASH)
    assert len(empty) == 0
    assert empty.search(unit(1)[0]) == MatchResult(None, NOTHING, NOTHING)


@pytest.mark.parametrize(
    "probe",
    [
        np.full(512, np.nan, np.float32),
        np.full(512, np.inf, np.float32),
        np.zeros(512, np.float32),
        2 * unit(1)[0],
        unit(1)[0][:511],
        unit(1),
    ],
    ids=["nan", "inf", "zero", "too long", "too short", "a matrix"],
)
def test_a_probe_that_is_no_unit_vector_matches_nobody(probe: Matrix) -> None:
    assert BruteForceMatcher(["a", "b"], unit(2), HASH).search(probe).handle is None


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_row_that_is_no_unit_vector_is_refused_by_number(value: float) -> None:
    matrix = unit(5)
    matrix[3] = value
    with pytest.raises(GalleryRefused, match="row 3"):
        BruteForceMatcher(list("abcde"), matrix, HASH)


@pytest.mark.parametrize(
    ("handles", "matrix"),
    [(["a"], unit(2)), (["a"], unit(1)[:, :256]), (["a"], unit(1).astype(np.float64)), (["a"], unit(1)[0])],
    ids=["count", "width", "dtype", "shape"],
)
def test_a_matrix_of_another_shape_is_refused(handles: list[str], matrix: Matrix) -> None:
    with pytest.raises(GalleryRefused):
        BruteForceMatcher(handles, matrix, HASH)


def test_the_gallerys_memory_stays_the_owners() -> None:
    matrix = unit(3)
    matrix.setflags(write=False)
    matcher = BruteForceMatcher(["a", "b", "c"], matrix, HASH)
    assert any(value is matrix for value in vars(matcher).values())
    wiped = unit(3)
    matcher = BruteForceMatcher(["a", "b", "c"], wiped, HASH)
    probe = wiped[1].copy()
    assert matcher.search(probe).score == pytest.approx(1, abs=1e-5)
    wiped[:] = 0
    assert matcher.search(probe).score == 0

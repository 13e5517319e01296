"""Searching int8 codes: the estimate of every row first, then the few rows that the estimate can't rule out.

Exact, not merely likely: two rows of different people are scored in full, and the lower of their scores is a floor
under the runner-up. A row whose estimate is more than its `slack` (`pipeline/matching/codes.py`) below that floor is
neither first nor second, by Cauchy-Schwarz; all others are scored in full. Where that leaves too many, every row is.
Sign codes (Charikar 2002) were measured first: their bound holds with a probability, and at a runner-up's low cosine
they rule nothing out.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GalleryRefused
from pipeline.matching.codes import (
    Axes,
    Coded,
    decoded,
    encode,
    encode_probe,
    estimate,
    principal_axes,
    slack,
)
from pipeline.matching.contract import (
    NOBODY,
    ROUNDING,
    Allocate,
    Embedding,
    MatchResult,
    Memory,
    PlainMemory,
    Rows,
    best_of,
    check_rows,
    cosines,
    is_unit,
)

SEGMENT = 32_768  # rows of one piece of memory
TAIL = 4096  # a last piece up to this size is written anew together with what is added
AT_ONCE = 4096  # rows scored in full at once
MANY = 8  # templates of one person, after which they are looked for all at once
WORD = 8  # truth values in one machine word
SCALE = 4  # bytes, beside a row's codes
FEW = 4096  # up to so many rows the floats themselves are read as quickly as codes
GONE = -4.0  # below every cosine and its slack


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Segment:
    """Some rows of a gallery, never changed. rows: (n, D), None in the compact mode; coded: None where rows are few.

    `owned`: everything lies in memory of its own. `keep` lives as long as the rows may be read.
    """

    rows: Rows | None
    coded: Coded | None
    owned: bool
    keep: object

    def __len__(self) -> int:
        if self.coded is not None:
            return len(self.coded.codes)
        return 0 if self.rows is None else len(self.rows)


class People:
    """Handles by number. Numbers are only ever added, so that galleries of different ages share one list."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}

    def numbers(self, handles: Sequence[str]) -> NDArray[np.int32]:
        for handle in handles:
            if handle not in self._numbers:
                self._names.append(handle)
                self._numbers[handle] = len(self._names) - 1
        return np.array([self._numbers[handle] for handle in handles], np.int32)

    def known(self, handles: Collection[str]) -> list[int]:
        return [self._numbers[handle] for handle in handles if handle in self._numbers]

    def name(self, number: int) -> str:
        return self._names[number]


class CodedMatcher:
    """What both modes share. Immutable: `with_added` and `without` give another one, quickly, and share its memory.

    One thread may make changes at a time; any number may search, each in whichever gallery it has hold of.
    """

    FLOATS: ClassVar[bool]

    def __init__(
        self,
        handles: Sequence[str],
        matrix: Rows,
        model_hash: str,
        *,
        allocate: Allocate = PlainMemory,
        threads: int = 1,
        keep: object = None,
    ) -> None:
        """matrix: (N, D) float32, rows L2-normalised; the exact mode reads it as long as it lives, the compact one
        not after this call. `allocate` gives the memory for codes and for what is added later; it is wiped when no
        gallery uses it. `keep` lives as long as rows of `matrix` may be read.

        Raises GalleryRefused naming the first row that is no unit vector.
        """
        check_rows(handles, matrix)
        self.model_hash = model_hash
        self._allocate = allocate
        self._dimensions = matrix.shape[1]
        self._people = People()
        self._person = self._people.numbers(handles)
        self._gone: NDArray[np.intp] = np.zeros(0, np.intp)
        self._axes = self._choose_axes(matrix)
        self._segments: tuple[Segment, ...] = tuple(
            self._segment(matrix[start : start + SEGMENT], keep) for start in range(0, len(matrix), SEGMENT)
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="match") if threads > 1 else None

    def __len__(self) -> int:
        return len(self._person) - len(self._gone)

    @property
    def bytes_a_template(self) -> int:
        """Of rows, codes and whose they are; the handles' own strings apart."""
        codes = 0 if self._axes is None else self._axes.count + SCALE
        return codes + self._person.itemsize + (4 * self._dimensions if self.FLOATS else 0)

    @property
    def score_error(self) -> float:
        """No score is farther than this from the cosine with the template as it was enrolled."""
        off = 0.0 if self.FLOATS else max((s.coded.off for s in self._segments if s.coded is not None), default=0.0)
        return off + ROUNDING

    def search(self, probe: Embedding) -> MatchResult:
        if not len(self) or not is_unit(probe) or len(probe) != self._dimensions:
            return NOBODY
        probe = probe.astype(np.float32, copy=False)
        estimates, uncertain = self._estimate(probe)
        floor = float(np.min(self._scores(_best_of_two(estimates, self._person), probe)))
        near = _at_least(estimates, floor - uncertain)
        parts = [self._scores(near[start : start + AT_ONCE], probe) for start in range(0, len(near), AT_ONCE)]
        scores = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return best_of(scores, self._person[near], self._people.name)

    def score(self, handle: str, probe: Embedding) -> float | None:
        """1:1: the best score of this person's rows; None where there is none, or the probe is unusable."""
        rows = self._rows_of([handle])
        if not len(rows) or not is_unit(probe) or len(probe) != self._dimensions:
            return None
        return float(np.max(self._scores(rows, probe.astype(np.float32, copy=False))))

    def with_added(self, handles: Sequence[str], rows: Rows, model_hash: str) -> Self:
        """A gallery that holds these too. Raises GalleryRefused, also for templates of another model."""
        if model_hash != self.model_hash:
            raise GalleryRefused("templates to add", f"made by model {model_hash[:12]}, not {self.model_hash[:12]}")
        check_rows(handles, rows)
        if rows.shape[1] != self._dimensions:
            raise GalleryRefused(
                "templates to add", f"{rows.shape[1]} numbers each, the others have {self._dimensions}"
            )
        if not len(rows):
            return self
        other = copy(self)
        other._person = np.concatenate([self._person, self._people.numbers(handles)])
        *before, last = self._segments or (None,)
        if last is not None and last.owned and len(last) + len(rows) <= TAIL:
            added = self._own(rows, last)
        else:
            before, added = list(self._segments), self._own(rows, None)
        other._segments = (*(s for s in before if s is not None), added)
        return other._with_codes() if self._axes is None and len(other._person) > 2 * FEW else other

    def without(self, handles: Collection[str]) -> Self:
        """A gallery in which these people are nobody. Their numbers stay in memory until no gallery uses it."""
        other = copy(self)
        other._gone = np.union1d(self._gone, self._rows_of(handles))
        return other

    def count(self, handle: str) -> int:
        """How many templates this person has."""
        return len(self._rows_of([handle]))

    def _rows_of(self, handles: Collection[str]) -> NDArray[np.intp]:
        theirs = np.flatnonzero(np.isin(self._person, self._people.known(handles)))
        return np.setdiff1d(theirs, self._gone, assume_unique=True)

    def _with_codes(self) -> Self:
        """An exact gallery that has grown too large to go without codes: the rows where they lie, codes beside them."""
        rows = [(segment.rows, segment) for segment in self._segments if segment.rows is not None]
        self._axes = principal_axes(np.concatenate([part for part, _ in rows]), self._allocate)
        self._segments = tuple(self._segment(part, segment) for part, segment in rows)
        return self

    def _choose_axes(self, matrix: Rows) -> Axes | None:
        if not self.FLOATS:
            return Axes(self._dimensions)
        return principal_axes(matrix, self._allocate) if len(matrix) > FEW else None

    def _segment(self, rows: Rows, keep: object) -> Segment:
        """Codes in memory of their own beside rows of the caller's."""
        if self._axes is None:
            return Segment(rows, None, False, keep)
        memory = self._allocate(len(rows) * (self._axes.count + SCALE))
        scale, codes = _carve(memory, len(rows), self._axes.count, 0)
        coded = encode(rows, self._axes, codes, scale)
        return _wiped(Segment(rows if self.FLOATS else None, coded, False, keep if self.FLOATS else None), memory)

    def _own(self, rows: Rows, last: Segment | None) -> Segment:
        """These rows after those of `last`, all in one piece of new memory."""
        old = 0 if last is None else len(last)
        count, floats = old + len(rows), self._dimensions if self.FLOATS else 0
        width = 0 if self._axes is None else self._axes.count
        memory = self._allocate(count * (width + 4 * floats + SCALE))
        scale, codes = _carve(memory, count, width, floats)
        kept = np.frombuffer(memory.view, np.float32, count * floats, SCALE * count).reshape(count, floats)
        if self.FLOATS:
            if last is not None and last.rows is not None:
                kept[:old] = last.rows
            kept[old:] = rows
        coded = None
        if self._axes is not None:
            coded = encode(rows, self._axes, codes[old:], scale[old:])
            length, off = coded.length, coded.off
            if last is not None and last.coded is not None:
                codes[:old], scale[:old] = last.coded.codes, last.coded.scale
                length, off = max(length, last.coded.length), max(off, last.coded.off)
            coded = Coded(codes, scale, length, off)
        return _wiped(Segment(kept if self.FLOATS else None, coded, True, None), memory)

    def _estimate(self, probe: Embedding) -> tuple[NDArray[np.float32], float]:
        """A score for each row, and how far any of them may be off."""
        out = np.empty(len(self._person), np.float32)
        asked = None if self._axes is None else encode_probe(probe, self._axes)
        starts = itertools.accumulate(map(len, self._segments), initial=0)

        def one(segment: Segment, start: int) -> float:
            part = out[start : start + len(segment)]
            if asked is None or segment.coded is None:
                np.copyto(part, segment.rows @ probe if segment.rows is not None else GONE)
                return 2 * ROUNDING
            estimate(asked, segment.coded, part)
            return slack(asked, segment.coded, against_codes=not self.FLOATS)

        each = map if self._pool is None else self._pool.map
        uncertain = max(each(one, self._segments, starts))
        if len(self._gone):
            out[self._gone] = GONE
        return out, uncertain

    def _scores(self, rows: NDArray[np.intp], probe: Embedding) -> NDArray[np.float64]:
        """What these rows (rising) really score: against the floats, or in the compact mode against the codes."""
        parts = []
        starts = list(itertools.accumulate(map(len, self._segments), initial=0))
        bounds = np.searchsorted(rows, starts).tolist()
        for segment, start, (first, end) in zip(self._segments, starts, itertools.pairwise(bounds), strict=False):
            if first == end:
                continue
            here = rows[first:end] - start
            if segment.rows is not None:
                parts.append(cosines(segment.rows[here], probe))
            elif segment.coded is not None:
                parts.append(cosines(decoded(segment.coded.codes[here], segment.coded.scale[here]), probe))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class ExactMatcher(CodedMatcher):
    """The floats are kept: what it finds is what `BruteForceMatcher` finds, score for score.

    At most 2,568 bytes a template of 512 numbers.
    """

    FLOATS = True


class CompactMatcher(CodedMatcher):
    """No float is kept: 520 bytes a template of 512 numbers.

    What it finds is what comparing with every decoded row finds; each score lies within `score_error` of the cosine
    with the template as it was enrolled.
    """

    FLOATS = False


def _best_of_two(estimates: NDArray[np.float32], people: NDArray[np.int32]) -> NDArray[np.intp]:
    """The row with the highest estimate and the best one of another person, rising; one alone where there is nobody
    else.
    """
    first = int(np.argmax(estimates))
    taken: list[tuple[int, float]] = []
    row = first
    while people[row] == people[first]:
        if estimates[row] <= GONE:
            row = first
            break
        taken.append((row, float(estimates[row])))
        estimates[row] = GONE
        if len(taken) == MANY:
            others = np.where(people == people[first], GONE, estimates)
            row = int(np.argmax(others))
            row = first if others[row] <= GONE else row
            break
        row = int(np.argmax(estimates))
    for number, value in taken:
        estimates[number] = value
    return np.array(sorted({first, row}))


def _at_least(estimates: NDArray[np.float32], floor: float) -> NDArray[np.intp]:
    """The rows, rising, whose estimate reaches the floor: few, so that eight can be passed over at once."""
    count = len(estimates)
    reached = np.empty(-(-count // WORD) * WORD, np.bool_)
    np.greater_equal(estimates, floor, out=reached[:count])
    reached[count:] = False
    rows: NDArray[np.intp] = (np.flatnonzero(reached.view(np.uint64))[:, None] * WORD + np.arange(WORD)).ravel()
    return rows.compress(reached[rows])


def _carve(memory: Memory, count: int, width: int, floats: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """One piece of memory: scales first, then `floats` float32 a row, then codes."""
    scale = np.frombuffer(memory.view, np.float32, count)
    at = count * (SCALE + 4 * floats)
    return scale, np.frombuffer(memory.view, np.int8, count * width, at).reshape(count, width)


def _wiped(segment: Segment, memory: Memory) -> Segment:
    """The segment, whose memory is wiped as soon as no gallery uses it."""
    weakref.finalize(segment, memory.wipe)
    return segment

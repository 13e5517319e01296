"""What a search promises, whoever carries it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GalleryRefused

NOTHING = -1.0  # the lowest cosine: no candidate
ROUNDING = 1e-5  # more than float32 sums of some hundred products of unit vectors can differ by
UNIT = 1e-3  # how far a length may be from 1

LEAST_DIMENSIONS = 16

Embedding = NDArray[np.float32]  # (D,), L2-normalised; D is the embedding model's own
Rows = NDArray[np.float32]  # (N, D), each L2-normalised


@dataclass(frozen=True, slots=True)
class MatchResult:
    """`runner_up`: best score of any *other* person, and `rival` who that is. `handle`: None for an empty gallery or
    an unusable probe."""

    handle: str | None
    score: float
    runner_up: float
    rival: str | None = field(default=None, compare=False)  # of several with the same score, any

    @property
    def margin(self) -> float:
        return self.score - self.runner_up


NOBODY = MatchResult(None, NOTHING, NOTHING)


class Matcher(Protocol):
    """A gallery that can be searched."""

    @property
    def model_hash(self) -> str:
        """SHA-256 of the embedding model whose templates it holds."""

    def search(self, probe: Embedding) -> MatchResult:
        """Nearest person and the runner-up's score, as cosines. A probe that is no unit vector matches nobody."""

    def __len__(self) -> int:
        """How many templates."""


class Memory(Protocol):
    """Bytes that belong to whoever made them: they may be locked into RAM, and are wiped when given back."""

    @property
    def view(self) -> memoryview:
        """Writable, zeros at first."""

    def wipe(self) -> None:
        """Zeros over everything; may be called twice."""


Allocate = Callable[[int], Memory]


class PlainMemory:
    """Memory that nothing locks: for measurements, and for galleries of nobody."""

    def __init__(self, size: int) -> None:
        self._bytes = bytearray(max(size, 1))

    @property
    def view(self) -> memoryview:
        return memoryview(self._bytes)

    def wipe(self) -> None:
        self._bytes[:] = bytes(len(self._bytes))


def is_unit(vector: NDArray[Any]) -> bool:
    """A vector of finite numbers with length 1."""
    if vector.ndim != 1 or len(vector) < LEAST_DIMENSIONS or vector.dtype.kind != "f":
        return False
    return bool(abs(float(np.dot(vector, vector)) - 1.0) < UNIT)


def check_rows(handles: Sequence[str], matrix: NDArray[Any]) -> None:
    """Raises GalleryRefused for another shape or dtype, and naming the first row that is no unit vector."""
    if matrix.ndim != 2 or matrix.shape[1] < LEAST_DIMENSIONS or matrix.dtype != np.float32:
        raise GalleryRefused("gallery", f"{matrix.dtype} {matrix.shape}, not float32 (N, dimensions)")
    if len(handles) != matrix.shape[0]:
        raise GalleryRefused("gallery", f"{len(handles)} handles for {matrix.shape[0]} rows")
    norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
    bad = np.flatnonzero(~(np.abs(norms - 1.0) < UNIT))
    if bad.size:
        raise GalleryRefused(f"gallery row {int(bad[0])}", "it is no unit vector of numbers", "enrol that person again")


def cosines(rows: NDArray[np.floating[Any]], probe: Embedding) -> NDArray[np.float64]:
    """(n,): each row's sum of products in float64, added up in one order wherever the row stands: equal rows tie."""
    products: NDArray[np.float64] = np.multiply(rows, probe, dtype=np.float64)
    return np.asarray(products.sum(axis=1))


def best_of(scores: NDArray[np.float64], people: NDArray[np.int32], name_of: Callable[[int], str]) -> MatchResult:
    """The best row's person, and the best row of anybody else. Of equal rows the first counts."""
    best = int(np.argmax(scores))
    name = name_of(int(people[best]))
    others = np.flatnonzero(people != people[best])
    if not others.size:
        return MatchResult(name, float(scores[best]), NOTHING)
    second = others[int(np.argmax(scores[others]))]
    return MatchResult(name, float(scores[best]), float(scores[second]), name_of(int(people[second])))

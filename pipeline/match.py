"""1:N search: who of the gallery is nearest to a probe, and how near is the next person. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import GalleryRefused

DIMENSIONS = 512
NOTHING = -1.0  # the lowest cosine: no candidate

Embedding = NDArray[np.float32]  # (512,), L2-normalised


@dataclass(frozen=True, slots=True)
class MatchResult:
    """`runner_up`: best score of any *other* person. `handle`: None for an empty gallery or an unusable probe."""

    handle: str | None
    score: float
    runner_up: float

    @property
    def margin(self) -> float:
        return self.score - self.runner_up


class Matcher(Protocol):
    """A gallery that can be searched."""

    @property
    def model_hash(self) -> str:
        """SHA-256 of the embedding model whose templates it holds."""

    def search(self, probe: Embedding) -> MatchResult:
        """Nearest person and the runner-up's score, as cosines. A probe that is no unit vector matches nobody."""

    def __len__(self) -> int:
        """How many templates."""


class BruteForceMatcher:
    """Compares with every row. The memory stays the caller's: no copy is made, and none is kept after a search.

    Several rows may belong to one handle; the runner-up is always somebody else.
    """

    def __init__(self, handles: Sequence[str], matrix: NDArray[np.float32], model_hash: str) -> None:
        """matrix: (N, 512) float32, rows L2-normalised. Raises GalleryRefused naming the first row that is not."""
        if matrix.ndim != 2 or matrix.shape[1] != DIMENSIONS or matrix.dtype != np.float32:
            raise GalleryRefused("gallery", f"{matrix.dtype} {matrix.shape}, not float32 (N, {DIMENSIONS})")
        if len(handles) != matrix.shape[0]:
            raise GalleryRefused("gallery", f"{len(handles)} handles for {matrix.shape[0]} rows")
        norms = np.sqrt(np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64))
        bad = np.flatnonzero(~(np.abs(norms - 1.0) < 1e-3))
        if bad.size:
            raise GalleryRefused(
                f"gallery row {int(bad[0])}", "it is no unit vector of numbers", "enrol that person again"
            )
        self.model_hash = model_hash
        self._matrix = matrix
        self._names: list[str] = list(dict.fromkeys(handles))
        index = {name: number for number, name in enumerate(self._names)}
        self._person = np.array([index[name] for name in handles], np.intp)

    def __len__(self) -> int:
        return int(self._matrix.shape[0])

    def search(self, probe: Embedding) -> MatchResult:
        if not len(self) or not is_unit(probe):
            return MatchResult(None, NOTHING, NOTHING)
        scores = self._matrix @ probe
        best = int(np.argmax(scores))
        others = scores[self._person != self._person[best]]
        runner_up = float(others.max()) if others.size else NOTHING
        return MatchResult(self._names[self._person[best]], float(scores[best]), runner_up)


def is_unit(vector: Embedding) -> bool:
    """A (512,) vector of finite numbers with length 1."""
    if vector.shape != (DIMENSIONS,):
        return False
    return bool(abs(float(np.dot(vector, vector)) - 1.0) < 1e-3)

"""Comparing with every row: what the quicker ways are held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.matching.contract import (
    NOBODY,
    ROUNDING,
    Embedding,
    MatchResult,
    Rows,
    best_of,
    check_rows,
    cosines,
    is_unit,
)


class BruteForceMatcher:
    """Compares with every row. The memory stays the caller's: no copy is made, and none is kept after a search.

    Several rows may belong to one handle; the runner-up is always somebody else.
    """

    def __init__(self, handles: Sequence[str], matrix: Rows, model_hash: str) -> None:
        """matrix: (N, D) float32, rows L2-normalised. Raises GalleryRefused naming the first row that is not."""
        check_rows(handles, matrix)
        self.model_hash = model_hash
        self._matrix = matrix
        self._names: list[str] = list(dict.fromkeys(handles))
        index = {name: number for number, name in enumerate(self._names)}
        self._person = np.array([index[name] for name in handles], np.int32)

    def __len__(self) -> int:
        return int(self._matrix.shape[0])

    def search(self, probe: Embedding) -> MatchResult:
        if not len(self) or not is_unit(probe) or len(probe) != self._matrix.shape[1]:
            return NOBODY
        probe = probe.astype(np.float32, copy=False)
        scores = self._matrix @ probe
        others = scores[self._person != self._person[int(np.argmax(scores))]]
        floor = float(np.max(others if others.size else scores))
        near = np.flatnonzero(scores >= floor - 2 * ROUNDING)
        return best_of(cosines(self._matrix[near], probe), self._person[near], self._names.__getitem__)

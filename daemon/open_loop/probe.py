"""What stands between the face side and a gallery, on a box that has none: it keeps what would be searched for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.match import NOTHING, MatchResult, is_unit

SOMEBODY = "somebody"  # whom every probe is said to be, so that the session ends in a decision


class ProbeMatcher:
    """A `pipeline.match.Matcher` for one look: whoever is alive and stays the same over the frames is `SOMEBODY`.

    What was searched for last is the mean of the frames that decided; its own length is the decision's score.
    """

    def __init__(self, model_hash: str) -> None:
        self.model_hash = model_hash
        self._seen: list[NDArray[np.float32]] = []

    def search(self, probe: NDArray[np.float32]) -> MatchResult:
        if not is_unit(probe):
            return MatchResult(None, NOTHING, NOTHING)
        self._seen.append(probe)
        return MatchResult(SOMEBODY, 1.0, NOTHING)

    def __len__(self) -> int:
        return 1

    def take(self) -> bytearray | None:
        """The probe as little-endian float32, for the caller to wipe; every other trace that was given here is wiped
        now. None where nothing was searched for."""
        found = bytearray(self._seen[-1].astype("<f4").tobytes()) if self._seen else None
        self.wipe()
        return found

    def wipe(self) -> None:
        """May be called twice."""
        for probe in self._seen:
            if probe.flags.writeable:
                probe.fill(0.0)
        self._seen = []

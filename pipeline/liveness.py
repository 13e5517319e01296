"""Is a live person before the camera? What each cue says, and what follows from all of them. Fails closed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipeline.thresholds import LivenessThresholds


@dataclass(frozen=True, slots=True)
class Liveness:
    """model: the network says it lives, 0..1; screen_edge: it lies inside something held up, 0..1."""

    model: float
    screen_edge: float

    @property
    def score(self) -> float:
        """One number for risk policy: no better than the worst cue."""
        return min(self.model, 1.0 - self.screen_edge)


class Verdict(StrEnum):
    LIVE = "live"
    UNSURE = "unsure"
    ATTACK = "attack"


def judge(liveness: Liveness, limits: LivenessThresholds) -> Verdict:
    """Any cue can condemn; all must agree to acquit. What is no number condemns."""
    if not (liveness.screen_edge < limits.screen_edge and liveness.model >= limits.attack):
        return Verdict.ATTACK
    return Verdict.LIVE if liveness.model >= limits.live else Verdict.UNSURE

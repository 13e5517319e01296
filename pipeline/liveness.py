"""Is a live person before the camera? What each cue says, and what follows from all of them over a track's frames.

Fails closed: any cue can condemn a frame, all must agree to acquit it, and what is no number condemns. A run of frames
is acquitted by the mean of its models, and each frame that identity is read from by itself too (`stands_alone`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from pipeline.thresholds import LivenessThresholds

SUSPECT = 0.5  # of a cue's limit: from here on it is suspected


@dataclass(frozen=True, slots=True)
class Liveness:
    """What the cues say of one frame.

    model: the networks say it lives, 0..1; screen_edge: it lies inside something held up, 0..1; moire: it carries the
    pattern of a print or a screen, 0..1; relief_mm: how far the face stands out of a surface (NaN where the camera
    should have seen it and did not), None for a camera without depth.
    """

    model: float
    screen_edge: float
    moire: float = 0.0
    relief_mm: float | None = None

    @property
    def score(self) -> float:
        """One number for risk policy: no better than the worst cue."""
        return min(self.model, 1.0 - self.screen_edge, 1.0 - self.moire)


class Verdict(StrEnum):
    LIVE = "live"
    UNSURE = "unsure"
    ATTACK = "attack"


class Cue(StrEnum):
    """What spoke against a live person."""

    MODEL = "model"
    SCREEN_EDGE = "screen_edge"
    MOIRE = "moire"
    FLAT = "flat"
    NO_DEPTH = "no_depth"
    CHALLENGE = "challenge"


def judge(liveness: Liveness, limits: LivenessThresholds) -> Verdict:
    """One frame of a track.

    A model's answer jumps from frame to frame with every pixel that the box moves, so where no other cue suspects
    anything one frame may lie anywhere above `attack`: it is the mean of several that must reach `live`. Where
    something is suspected without condemning, sides or a missing reading of depth, the frame must reach `live` itself,
    and a suspected pattern keeps it unsure.
    """
    if any(cue is not Cue.NO_DEPTH for cue in against(liveness, limits)):
        return Verdict.ATTACK
    if liveness.moire >= SUSPECT * limits.moire or liveness.relief_mm != liveness.relief_mm:
        return Verdict.UNSURE
    suspected = liveness.screen_edge >= SUSPECT * limits.screen_edge
    return Verdict.UNSURE if suspected and not liveness.model >= limits.live else Verdict.LIVE


def stands_alone(liveness: Liveness, limits: LivenessThresholds) -> bool:
    """Whether identity may be read from this frame: a few live ones do not buy one of a photograph."""
    return judge(liveness, limits) is Verdict.LIVE and liveness.model >= limits.live


def against(liveness: Liveness, limits: LivenessThresholds) -> tuple[Cue, ...]:
    """Which cues speak against a live person in this frame, so clearly that each alone would do."""
    relief = liveness.relief_mm
    found = (
        (Cue.MODEL, not liveness.model >= limits.attack),
        (Cue.SCREEN_EDGE, not liveness.screen_edge < limits.screen_edge),
        (Cue.MOIRE, not liveness.moire < limits.moire),
        (Cue.FLAT, relief is not None and relief < limits.relief_mm),
        (Cue.NO_DEPTH, relief is not None and relief != relief),
    )
    return tuple(cue for cue, speaks in found if speaks)


class LifeSoFar:
    """What the last frames of one track say together. Forgotten with the track."""

    def __init__(self, limits: LivenessThresholds) -> None:
        self._limits = limits
        self._frames: deque[Liveness] = deque(maxlen=limits.frames_most)
        self._attacks: list[Liveness] = []

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def attacks(self) -> int:
        """Frames in a row that were judged an attack."""
        return len(self._attacks)

    @property
    def because(self) -> tuple[Cue, ...]:
        """What spoke against these, each once."""
        return tuple(dict.fromkeys(cue for frame in self._attacks for cue in against(frame, self._limits)))

    @property
    def score(self) -> float:
        """The mean score of the frames that count, or of the attacks where there are any; 0 without a frame."""
        frames = self._attacks or list(self._frames)
        return sum(frame.score for frame in frames) / len(frames) if frames else 0.0

    def add(self, liveness: Liveness) -> Verdict:
        """The verdict over all frames so far: ATTACK for one frame that is, which also voids what was before it."""
        verdict = judge(liveness, self._limits)
        if verdict is Verdict.ATTACK:
            self._frames.clear()
            self._attacks.append(liveness)
            return verdict
        self._attacks = []
        self._frames.append(liveness)
        return self.verdict

    @property
    def stands_out(self) -> bool:
        """Whether a camera with depth saw in each of these frames what no flat thing has."""
        seen = [frame.relief_mm for frame in self._frames if frame.relief_mm is not None]
        return 0 < len(seen) == len(self._frames) and all(relief >= self._limits.relief_mm for relief in seen)

    @property
    def verdict(self) -> Verdict:
        """LIVE or UNSURE: attacks are told by `attacks`."""
        if len(self._frames) < self._limits.frames:
            return Verdict.UNSURE
        mean = sum(frame.model for frame in self._frames) / len(self._frames)
        clear = sum(judge(frame, self._limits) is Verdict.LIVE for frame in self._frames)
        return Verdict.LIVE if mean >= self._limits.live and clear * 2 > len(self._frames) else Verdict.UNSURE

    @property
    def doubtful(self) -> bool:
        """As many frames as are ever looked at, and still unsure: time to ask the payer to do something."""
        return len(self._frames) == self._frames.maxlen and self.verdict is Verdict.UNSURE

    def forget(self) -> None:
        self._frames.clear()
        self._attacks = []

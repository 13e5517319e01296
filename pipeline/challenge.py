"""The payer is asked to do something in an order nobody could know: turn the head this way, that way, blink.

Judged from the landmarks: a turn by how far the nose stands out of the line between the eyes, which a flat picture does
not show however it is tilted; a blink against this payer's own open eyes. Pure: the caller brings views and times.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from pipeline.decision import Act
from pipeline.quality import Quality
from pipeline.thresholds import LivenessThresholds

STEPS = 3  # acts of one challenge, each other than the one before: 12 orders
TRIES = 2  # orders that are drawn before it has failed for good
STRAIGHT = 0.5  # of the angle that answers: nearer to 0 the head is straight again
CLOSED, OPENED = 0.72, 0.85  # of the widest eyes seen


class Answer(StrEnum):
    PENDING = "pending"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Pending:
    """What is asked for now."""

    act: Act
    done: int


def _turned(yaw: float, enough: float) -> Act | None:
    """Angles are the picture's, and the picture is not mirrored: the payer's left is the picture's right."""
    if abs(yaw) < enough:
        return None
    return Act.TURN_LEFT if yaw > 0 else Act.TURN_RIGHT


class ActiveChallenge:
    """One challenge from its start to its answer. Fails closed: late, wrong twice, or never answered is FAILED."""

    def __init__(self, draw: Callable[[], random.Random], limits: LivenessThresholds, now_s: float) -> None:
        """`draw` gives the source of chance; it comes from outside, so that a test, or a replay, can know the order."""
        self.until_s = now_s + limits.challenge_s
        self._random = draw()
        self._limits = limits
        self._tries = 0
        self._acts: list[Act] = []
        self._ready = self._closed = False
        self._done, self._widest = 0, 0.0
        self._begin()

    @property
    def pending(self) -> Pending:
        return Pending(self._acts[min(self._done, STEPS - 1)], self._done)

    def look(self, quality: Quality, now_s: float) -> Answer:
        """One view of the followed face."""
        if now_s > self.until_s:
            return Answer.FAILED
        yaw = quality.pose.yaw
        if math.isnan(yaw):
            return Answer.PENDING
        turned = _turned(yaw, self._limits.turn_deg)
        if abs(yaw) <= STRAIGHT * self._limits.turn_deg:
            self._widest = max(self._widest, quality.eyes)
        if not self._ready:
            self._ready = abs(yaw) <= STRAIGHT * self._limits.turn_deg
            return Answer.PENDING
        act = self._acts[self._done]
        if turned is not None and turned is not act:
            return self._wrong()
        if turned is act or (act is Act.BLINK and self._blinked(quality.eyes)):
            self._done += 1
            self._ready = act is Act.BLINK
            self._closed = False
            if self._done == STEPS:
                return Answer.PASSED
        return Answer.PENDING

    def interrupted(self, now_s: float) -> Answer:
        """The face was lost: what was shown until now counts for nothing."""
        return Answer.FAILED if now_s > self.until_s else self._wrong()

    def _begin(self) -> None:
        self._acts = []
        while len(self._acts) < STEPS:
            self._acts.append(self._random.choice([act for act in Act if [act] != self._acts[-1:]]))
        self._done = 0
        self._ready = False
        self._widest = 0.0
        self._closed = False

    def _wrong(self) -> Answer:
        self._tries += 1
        if self._tries >= TRIES:
            return Answer.FAILED
        self._begin()
        return Answer.PENDING

    def _blinked(self, eyes: float) -> bool:
        """Open, closed, open again; measured against the widest so far."""
        if eyes < CLOSED * self._widest:
            self._closed = True
            return False
        return self._closed and eyes > OPENED * self._widest

"""In which order boxes get a config, and when a rollout goes on, stops, or is done. Pure.

A wave is a share of all boxes, in percent, at least one box more than the wave before it. The next wave begins when
every box of the present one that can be heard has ended well. Failed are boxes that rejected the config or went back,
and those that had it and have said nothing since: a config that kills a box is one of which no report comes.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fleet.errors import RequestRefused

FAILED = frozenset({"rejected", "rolled_back", "silent"})


@dataclass(frozen=True, slots=True)
class Member:
    """One box of a rollout. `outcome` is None (not answered), trial, applied, or one of FAILED. `online`: it could
    be heard lately."""

    wave: int
    outcome: str | None = None
    online: bool = True


class Next(StrEnum):
    WAIT = "wait"
    GO_ON = "go_on"
    HALT = "halt"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Decision:
    """`why` is for the operator."""

    next: Next
    why: str = ""


def parse_waves(text: str) -> tuple[float, ...]:
    """`1,10,100`: percent of the boxes, growing, up to 100. Raises RequestRefused."""
    try:
        waves = tuple(float(part) for part in text.replace("%", "").split(","))
    except ValueError:
        raise RequestRefused("--canary", f"{text!r} is no list of percentages", "like 1,10,100") from None
    check_waves(waves)
    return waves


def check_waves(waves: Sequence[float]) -> None:
    """Raises RequestRefused."""
    growing = all(a < b for a, b in itertools.pairwise(waves))
    if not waves or len(waves) > 20 or not growing or not waves[0] > 0 or waves[-1] != 100:
        raise RequestRefused("--canary", "the percentages grow, and the last is 100", "like 1,10,100")


def parse_percent(text: str) -> float:
    """`2%` or `2`. Raises RequestRefused."""
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = math.nan
    if not 0 <= percent <= 100:
        raise RequestRefused("--halt-on", f"{text!r} is no percentage", "like 2%")
    return percent


def arrange(boxes: Mapping[str, bool], waves: Sequence[float], seed: int) -> dict[str, int]:
    """Which box is in which wave, from 0. `boxes` says of each whether it is online: a canary that can't be heard tells
    nothing, so those come later. Else the order is drawn by `seed`, lest it is always the same box that tries."""

    def drawn(box: str) -> bytes:
        return hashlib.sha256(f"{seed}:{box}".encode()).digest()

    order = sorted(boxes, key=lambda box: (not boxes[box], drawn(box)))
    ends: list[int] = []
    for percent in waves:
        least = ends[-1] + 1 if ends else 1
        ends.append(min(len(order), max(least, math.floor(len(order) * percent / 100))))
    ends[-1] = len(order)
    return {box: next(wave for wave, end in enumerate(ends) if place < end) for place, box in enumerate(order)}


def decide(members: Collection[Member], wave: int, waves: int, halt_percent: float) -> Decision:
    """What follows from what is known now."""
    begun = [m for m in members if m.wave <= wave]
    failed = [m for m in begun if m.outcome in FAILED]
    if failed and 100 * len(failed) / len(begun) > halt_percent:
        how = ", ".join(f"{sum(m.outcome == name for m in failed)} {name}" for name in sorted(FAILED))
        return Decision(Next.HALT, f"{len(failed)} of {len(begun)} boxes failed ({how}); the bar is {halt_percent:g}%")
    waited_for = [m for m in begun if m.outcome in (None, "trial") and (m.online or m.outcome == "trial")]
    if waited_for:
        return Decision(Next.WAIT, f"{len(waited_for)} of {len(begun)} boxes have not ended yet")
    if wave + 1 < waves:
        if begun and not any(m.outcome == "applied" for m in begun):  # none at all: they were taken out of service
            why = "no box of this wave can be heard: bring one back, or push again, so that others go first"
            return Decision(Next.WAIT, why)
        return Decision(Next.GO_ON)
    if all(m.outcome == "applied" or m.outcome in FAILED for m in begun):
        return Decision(Next.DONE, f"{len(failed)} of {len(begun)} boxes failed" if failed else "")
    return Decision(Next.WAIT, "boxes are away; they get it when they come back")

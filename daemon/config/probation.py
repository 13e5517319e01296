"""Whether a config that is new in force makes the box worse. Pure.

Worse is a condition that was not there before, and that lasts longer than a moment; and a broker that is not found
again. What a config can't have caused is not held against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import inf

BLINK_S = 3.0  # a condition this short is none: a camera that is opened anew, a link that changes over
FIND_BROKER_S = 60.0

BLAMELESS = frozenset(
    {
        # what stands about the box, and what only time brings
        "unsettled", "no_payers", "too_hot", "disk_low", "no_paper", "certificate_expiring", "certificate_expired",
        # a box whose time the fleet had told it asks again after a new start
        "no_clock",
        # what lies on the card, and what was published
        "store_locked", "store_behind", "key_refused", "record_damaged", "census_damaged", "key_ring_repaired",
        "key_ring_copy_repaired", "witness_unreachable", "rotation_unfinished", "journal_broken", "catalogue_refused",
        "content_stale", "content_refused", "content_incomplete", "config_refused", "identity_twice", "swap_on",
    }
)  # fmt: skip


class Verdict(StrEnum):
    WATCHING = "watching"
    GOOD = "good"
    WORSE = "worse"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`condition` and `why` say what got worse."""

    verdict: Verdict
    condition: str = ""
    why: str = ""


@dataclass(frozen=True)
class Probation:
    """Times in seconds on the monotonic clock. `since` is when each new condition was first seen."""

    before: frozenset[str]
    began_s: float
    lasts_s: float
    since: Mapping[str, float] = field(default_factory=dict)

    @property
    def ends_s(self) -> float:
        return self.began_s + self.lasts_s

    def next_look_s(self, now: float) -> float:
        """When to judge again though nothing happened."""
        due = [self.ends_s, *(at + self._patience_s(name) for name, at in self.since.items())]
        return min(at for at in due if at > now) if any(at > now for at in due) else now

    def judge(self, conditions: Mapping[str, str], now: float) -> tuple[Probation, Judgement]:
        """`conditions` are those of this moment, name -> why."""
        new = {name for name in conditions if name not in self.before and name not in BLAMELESS}
        since = {name: self.since.get(name, now) for name in sorted(new)}
        watched = replace(self, since=since)
        for name, at in since.items():
            if now - at >= self._patience_s(name):
                return watched, Judgement(Verdict.WORSE, name, conditions[name])
        if now >= self.ends_s and not since:
            return watched, Judgement(Verdict.GOOD)
        return watched, Judgement(Verdict.WATCHING)

    def _patience_s(self, name: str) -> float:
        if name == "offline":
            return min(FIND_BROKER_S, max(BLINK_S, self.lasts_s / 2))
        if name == "faces_loading":
            return inf  # a start that is not over yet is not good, nor bad; systemd ends one that never is
        return min(BLINK_S, self.lasts_s / 2)

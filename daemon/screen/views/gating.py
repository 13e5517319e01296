"""A walk-through gate."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateReady:
    """A gate waits for whoever comes. `passage_minor` is the fare; `done` of `steps` as for `Look`."""

    passage_minor: int
    currency: str
    hint: str | None = None
    done: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class GateOpen:
    """Somebody may walk through. `charged_minor` is 0 once the day's cap is reached."""

    charged_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class GateShut:
    reason: str  # a ShutReason

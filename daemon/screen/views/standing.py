"""What stands on the display while nobody is served: starting, ready, or why not."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.screen.views.words import BootStep, Condition


@dataclass(frozen=True, slots=True)
class Booting:
    step: str = BootStep.STARTING
    progress: float | None = None  # 0..1; None: not known


@dataclass(frozen=True, slots=True)
class Idle:
    """Ready, no order. `clock` is wall time as it is to be shown ("19:30"), None while the box has no trusted time."""

    shop: str
    clock: str | None = None
    box: str = ""
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """The box can't work at the moment. `suggestion` is a key; None takes the condition's own suggestion."""

    condition: str = Condition.FAULT
    suggestion: str | None = None
    box: str = ""

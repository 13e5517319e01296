"""What the main loop tells the rest of the process about itself: a frozen value, exchanged whole on each change."""

from __future__ import annotations

from dataclasses import dataclass

STARTING = "Starting"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`busy`: an order or an enrolment is open, so a payer may stand there. `conditions` are (name, why); `judged`
    are the names of which it is known by now whether they hold."""

    stage: str = STARTING
    busy: bool = True
    waiting: int = 0
    conditions: tuple[tuple[str, str], ...] = ()
    unsettled: tuple[tuple[str, int], ...] = ()
    judged: frozenset[str] = frozenset()

    @property
    def starting(self) -> bool:
        """The main loop has not said anything yet: nothing is known of payers, nor what is amiss."""
        return self.stage == STARTING


class Board:
    """Written by the main loop alone, read by any thread: replacing a reference needs no lock."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

"""A counter that is played by hand: events in, effects out, with a disk that answers when the test says so."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from daemon.payment import core
from daemon.payment.effects import Change, Effect, Persist
from daemon.payment.events import Answer, AnswerStatus, Event, FaceDecided, FaceOutcome, Persisted
from daemon.payment.money import Amount
from daemon.payment.order import Circumstances, Identified, Order
from daemon.payment.state import COLLECTING, Rules, State

GRACE = Identified("grace", 0.8, 0.6, 0.99, challenged=True)
TWIN = Identified("hope", 0.79, -0.01, 0.99, challenged=True)


@dataclass
class Counter:
    """`disk_works` False leaves every `Persist` unanswered, as a power cut would."""

    state: State = field(default_factory=State)
    now: float = 0.0
    done: list[Effect] = field(default_factory=list)
    disk_works: bool = True

    def send(self, event: Event) -> list[Effect]:
        """Steps, answers the disk, and returns every effect of it all."""
        self.state, effects = core.step(self.state, event, self.now)
        new = list(effects)
        for effect in effects:
            if isinstance(effect, Persist) and self.disk_works:
                new += self.send(Persisted(effect.token))
        self.done += [e for e in effects if e not in self.done]
        return new

    def wait(self, seconds: float) -> list[Effect]:
        """Lets time pass, with a tick at every deadline on the way."""
        from daemon.payment.events import Tick

        new: list[Effect] = []
        until = self.now + seconds
        while (due := core.next_deadline(self.state)) is not None and due <= until:
            self.now = max(self.now, due)
            new += self.send(Tick())
        self.now = until
        return new

    def order(self, order_id: str = "o1", minor: int = 1850, lives_s: float = 120.0) -> Order:
        return Order(order_id, Amount(minor, "CNY"), "Latte", self.now + lives_s)

    def see(
        self, outcome: FaceOutcome = FaceOutcome.MATCHED, who: Identified | None = GRACE,
        rival: Identified | None = None, around: Circumstances | None = None,
    ) -> list[Effect]:  # fmt: skip
        stage = self.state.stage
        assert isinstance(stage, COLLECTING)
        order_id = stage.turn.order.order_id
        around = around or Circumstances()
        return self.send(FaceDecided(order_id, self.state.epoch, outcome, who, rival, around))

    def answer(self, status: AnswerStatus, attempt: int = 1, minor: int = 1850, order_id: str = "o1") -> list[Effect]:
        return self.send(Answer(order_id, attempt, status, "ok", Amount(minor, "CNY"), "ref-1"))


def changes(effects: list[Effect]) -> list[Change]:
    return [change for effect in effects if isinstance(effect, Persist) for change in effect.changes]


@pytest.fixture
def counter() -> Counter:
    return Counter(State(rules=Rules()))

"""Where the counter and the attempts behind it stand: one frozen value, the whole memory of the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from daemon.payment.effects import Effect
from daemon.payment.order import Identified, Order, Turn
from daemon.payment.policy import Policy
from daemon.payment.settling import Settling, SettlingTimes
from daemon.payment.status import Status

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Rules:
    """The figures the core goes by; times in seconds on the monotonic clock."""

    policy: Policy = field(default_factory=Policy)
    settling: SettlingTimes = field(default_factory=SettlingTimes)
    look_s: float = 30.0
    pin_s: float = 30.0
    show_s: float = 4.0
    max_looks: int = 3
    max_attempts: int = 3
    max_waiting: int = 8
    pin_min: int = 4
    pin_max: int = 6


@dataclass(frozen=True, slots=True)
class Idle:
    pass


@dataclass(frozen=True, slots=True)
class Looking:
    turn: Turn
    until_s: float
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class AskPin:
    turn: Turn
    who: Identified
    until_s: float
    typed: str = field(default="", repr=False)
    wrong_tries_left: int | None = None
    checking: bool = False


@dataclass(frozen=True, slots=True)
class Paying:
    """The attempt is being settled; how far it is stands in `State.settling`."""

    turn: Turn

    @property
    def key(self) -> Key:
        return (self.turn.order.order_id, self.turn.attempt)


@dataclass(frozen=True, slots=True)
class Showing:
    """An outcome on the display. `then` is tried next when the order is not over."""

    order: Order
    status: Status
    reason: str
    until_s: float
    reference: str | None = None
    then: Turn | None = None


Stage = Idle | Looking | AskPin | Paying | Showing


@dataclass(frozen=True, slots=True)
class After:
    """What waits for a `Persisted`: effects to release and, for the attempt at the counter, an outcome to show."""

    effects: tuple[Effect, ...] = ()
    submit: Key | None = None
    show: Showing | None = None
    show_for: Key | None = None
    settled: Key | None = None


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class State:
    """`epoch` grows with every new look at a face. `settling` holds every attempt whose money may be on its way."""

    rules: Rules = field(default_factory=Rules)
    stage: Stage = field(default_factory=Idle)
    epoch: int = 0
    waiting: tuple[Turn, ...] = ()
    settling: Mapping[Key, Settling] = field(default_factory=_empty)
    awaiting: Mapping[int, After] = field(default_factory=_empty)
    next_token: int = 1
    counter_taken: bool = False

"""Where the counter and the attempts behind it stand: one frozen value, the whole memory of the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from daemon.payment.channels import Breaker, ChannelConfig
from daemon.payment.effects import Effect
from daemon.payment.emvco import Merchant
from daemon.payment.flows import FLOWS, TOPUP, Step
from daemon.payment.money import DECIMALS, Amount
from daemon.payment.order import NO_THANKS, Bank, Order, Thanks, Turn
from daemon.payment.policy import Factor, Policy
from daemon.payment.settling import Settling, SettlingTimes
from daemon.payment.status import Status

Key = tuple[str, int]
_SHOWN, _CASH = frozenset({"qr_shown"}), frozenset({TOPUP.name})
# Where none is configured: the fleet's own accounts, and for a code that is shown the simulated app.
SIMULATED = (
    ChannelConfig("simulated", frozenset(DECIMALS), flows=frozenset(FLOWS) - _SHOWN - _CASH),
    ChannelConfig("wallet", frozenset(DECIMALS), flows=_SHOWN),
    ChannelConfig("cash", frozenset(DECIMALS), flows=_CASH),
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The figures the core goes by; times in seconds on the monotonic clock.

    `flow` is how a payer is known where the order does not say, `ways` what the menu key offers, in its order. A box
    without `merchant` shows no code. The link counts as down once it was so for `offline_after_s`. A quote is waited
    for until `quote_s` after it was asked for (0: none is); an offer is shown for `offer_s`, unless somebody waits.
    With a `notice` (its version) whoever pays unrecognised may join; the fleet's answer is waited for for `join_s`.
    With `smile` the payer may smile for a coupon, within `smile_s`.
    """

    policy: Policy = field(default_factory=Policy)
    settling: SettlingTimes = field(default_factory=SettlingTimes)
    flow: str = "face_first"
    ways: tuple[str, ...] = ("face_first", "phone_first", "id_card")
    channels: tuple[ChannelConfig, ...] = SIMULATED
    merchant: Merchant | None = None
    look_s: float = 30.0
    pin_s: float = 30.0
    show_s: float = 4.0
    offer_s: float = 15.0
    quote_s: float = 0.0
    notice: str | None = None
    join_s: float = 5.0
    smile: bool = False
    smile_s: float = 8.0
    offline_after_s: float = 10.0
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
    """The camera looks for a face: anybody's, or that of `turn.known.claimed`. `done` of `steps` acts of a challenge
    have been seen."""

    turn: Turn
    until_s: float
    hint: str | None = None
    done: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class AskPayer:
    """A number is typed, or a card read, that says who claims to pay. `unknown`: the last one was nobody's."""

    turn: Turn
    by: Step
    until_s: float
    typed: str = field(default="", repr=False)
    unknown: bool = False
    checking: bool = False


@dataclass(frozen=True, slots=True)
class AskFactor:
    turn: Turn
    factor: Factor
    until_s: float
    typed: str = field(default="", repr=False)
    wrong_tries_left: int | None = None
    checking: bool = False


@dataclass(frozen=True, slots=True)
class ChooseBank:
    """`banks` is None while they are being looked up."""

    turn: Turn
    until_s: float
    banks: tuple[Bank, ...] | None = None


@dataclass(frozen=True, slots=True)
class ChooseWay:
    """The way out: each way to pay has its digit, from 1 on."""

    turn: Turn
    until_s: float
    ways: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScanCode:
    """The scanner waits for the code of the payer's own app."""

    turn: Turn
    until_s: float


@dataclass(frozen=True, slots=True)
class Reviewing:
    """The payer sees what the order comes to with coupons and points, and agrees; `checking` while it is asked for."""

    turn: Turn
    until_s: float
    checking: bool = False


@dataclass(frozen=True, slots=True)
class Paying:
    """The attempt is being settled; how far it is stands in `State.settling`. `code` is shown for the payer's app."""

    turn: Turn
    code: str | None = None
    code_until_s: float = 0.0

    @property
    def key(self) -> Key:
        return (self.turn.order.order_id, self.turn.attempt)


@dataclass(frozen=True, slots=True)
class Showing:
    """An outcome on the display. `then` is tried next when the order is not over. `sentence` is a policy's own.
    `paid` is what was asked for, where money was. Who was not recognised
    `joins` if he likes. Where somebody waits, an offer is left at `brief_until_s`."""

    order: Order
    status: Status
    reason: str
    until_s: float
    reference: str | None = None
    then: Turn | None = None
    sentence: str | None = None
    thanks: Thanks = NO_THANKS
    paid: Amount | None = None
    attempt: int = 1
    joins: bool = False
    joining: bool = False
    may_smile: bool = False
    smiling: bool = False
    smiled: bool = False
    brief_until_s: float = 0.0


Collecting = Looking | AskPayer | AskFactor | ChooseBank | ChooseWay | ScanCode | Reviewing
COLLECTING = (Looking, AskPayer, AskFactor, ChooseBank, ChooseWay, ScanCode, Reviewing)
Stage = Idle | Collecting | Paying | Showing


@dataclass(frozen=True, slots=True)
class After:
    """What waits for a `Persisted`: effects to release and, for the attempt at the counter, an outcome to show."""

    effects: tuple[Effect, ...] = ()
    submit: Key | None = None
    show: Showing | None = None
    show_for: Key | None = None
    settled: Key | None = None
    voucher: Key | None = None


def _empty() -> Mapping[Any, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class State:
    """`epoch` grows with every new stage that asks something. `settling` holds every attempt whose money may be on
    its way; `breakers` how each channel does. `offline_since` is None while the link is up."""

    rules: Rules = field(default_factory=Rules)
    stage: Stage = field(default_factory=Idle)
    epoch: int = 0
    waiting: tuple[Turn, ...] = ()
    settling: Mapping[Key, Settling] = field(default_factory=_empty)
    awaiting: Mapping[int, After] = field(default_factory=_empty)
    next_token: int = 1
    counter_taken: bool = False
    breakers: Mapping[str, Breaker] = field(default_factory=_empty)
    offline_since: float | None = None


Result = tuple[State, tuple[Effect, ...]]

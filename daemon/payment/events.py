"""What can happen to a payment. What answers a stage carries `(order_id, epoch)`; older epochs are dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from daemon.payment.money import Amount
from daemon.payment.order import (
    NO_THANKS,
    Bank,
    Circumstances,
    Identified,
    Offer,
    Order,
    PayRequest,
    Quote,
    Thanks,
    Turn,
)


class FaceOutcome(StrEnum):
    MATCHED = "matched"
    STRANGER = "stranger"
    AMBIGUOUS = "ambiguous"
    SPOOF = "spoof"


class FactorOutcome(StrEnum):
    """`BOTH`: of two look-alikes it fits both, and so proves nobody."""

    OK = "ok"
    DURESS = "duress"
    WRONG = "wrong"
    LOCKED = "locked"
    NONE_SET = "none_set"
    BOTH = "both"


class AnswerStatus(StrEnum):
    APPROVED = "approved"
    DECLINED = "declined"
    PENDING = "pending"
    REVERSED = "reversed"
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class OrderArrived:
    """An order that was verified, is new to this box, and is not yet on disk."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrderWithdrawn:
    """Whoever asked for this payment takes it back; it has no effect once money may be on its way."""

    order_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """One key: `0`..`9`, `ok`, `cancel`, `back`, `dot`, `menu`; others are ignored here."""

    key: str


@dataclass(frozen=True, slots=True)
class CodeScanned:
    """What a scanner or card reader read, as one line."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FaceHint:
    """`until_s` (monotonic): so long the payer has for what they are asked to do. `done` of `steps` acts of a challenge
    have been seen; 0 of 0: there is none."""

    order_id: str
    epoch: int
    hint: str
    until_s: float | None = None
    done: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class FaceDecided:
    """`who` is set for `MATCHED`; for `AMBIGUOUS` the better of the two, and `rival` the other. `around` is about
    `who`; whether the box is online the core knows itself."""

    order_id: str
    epoch: int
    outcome: FaceOutcome
    who: Identified | None
    rival: Identified | None = None
    around: Circumstances = field(default_factory=Circumstances)


@dataclass(frozen=True, slots=True)
class FaceUnavailable:
    """The camera, the models or whoever knows the faces can't be used now; another way to pay is needed. `reason` is
    for the journal, and says what the payer is told."""

    order_id: str
    epoch: int
    why: str
    reason: str = "camera_unavailable"


@dataclass(frozen=True, slots=True)
class PayerFound:
    """Whose the typed number is; None: nobody's, or more than one person's."""

    order_id: str
    epoch: int
    payer: str | None


@dataclass(frozen=True, slots=True)
class FactorChecked:
    """`payer` is whom the factor proved, for `OK` and `DURESS`; `counted` against whom a try was counted."""

    order_id: str
    epoch: int
    outcome: FactorOutcome
    tries_left: int
    payer: str | None = None
    counted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passed:
    """Whoever agreed to it before walks through the gate: an order of this box, accepted by it. Whether they may, the
    caller has ruled."""

    order: Order
    who: Identified


@dataclass(frozen=True, slots=True)
class BanksListed:
    order_id: str
    epoch: int
    banks: tuple[Bank, ...]


@dataclass(frozen=True, slots=True)
class Quoted:
    """What a member would pay for the order. It names both, and counts for nobody else."""

    order_id: str
    payer: str
    quote: Quote


@dataclass(frozen=True, slots=True)
class SignUpReady:
    """The fleet has given whoever wants to join after this order a handle: consent is asked for next."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Smiled:
    """Whoever asked for it has smiled."""

    order_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class OfferCame:
    """The fleet's coupon for a payment that was approved before."""

    order_id: str
    attempt: int
    offer: Offer


@dataclass(frozen=True, slots=True)
class Persisted:
    """The changes of `Persist(token, ...)` are on disk."""

    token: int


@dataclass(frozen=True, slots=True)
class PersistFailed:
    """They are not, and won't be."""

    token: int
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The gateway's word on one attempt."""

    order_id: str
    attempt: int
    status: AnswerStatus
    reason: str
    amount: Amount
    reference: str | None
    thanks: Thanks = NO_THANKS


@dataclass(frozen=True, slots=True)
class ApprovedLate:
    """An approval has come for an attempt that this box holds as REVERSED on disk: the money goes back."""

    request: PayRequest
    answer: Answer


@dataclass(frozen=True, slots=True)
class RefundAsked:
    """Somebody with the authority for it wants an APPROVED attempt refunded: `clerk` or `technician`."""

    request: PayRequest
    authority: str


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The broker is there again: ask at once about whatever is unsettled."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The broker can't be reached."""


@dataclass(frozen=True, slots=True)
class OrdersFound:
    """Open orders on disk, taken up once the clock can tell which of them still hold."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class ClockCorrected:
    """The fleet's time is `by_s` seconds ahead of what this box, `box`, took for the time until now."""

    by_s: float
    box: str


@dataclass(frozen=True, slots=True)
class CounterTaken:
    """Display and keypad serve something else now (an enrolment): orders wait."""


@dataclass(frozen=True, slots=True)
class CounterFree:
    """They are the payment's again."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline of `core.next_deadline` has passed."""


Event = (
    Passed | OrderArrived | OrderWithdrawn | KeyPressed | CodeScanned | FaceHint | FaceDecided | FaceUnavailable
    | PayerFound | FactorChecked | BanksListed | Quoted | SignUpReady | Smiled | OfferCame | Persisted
    | PersistFailed | Answer | ApprovedLate | RefundAsked | LinkUp | LinkDown | OrdersFound | ClockCorrected
    | CounterTaken | CounterFree | Tick
)  # fmt: skip

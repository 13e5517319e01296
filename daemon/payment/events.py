"""What can happen to a payment. What comes from the face side carries `(order_id, epoch)`; older epochs are dropped."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from daemon.payment.money import Amount
from daemon.payment.order import Identified, Order, Turn


class FaceOutcome(StrEnum):
    MATCHED = "matched"
    STRANGER = "stranger"
    AMBIGUOUS = "ambiguous"
    SPOOF = "spoof"


class PinOutcome(StrEnum):
    OK = "ok"
    DURESS = "duress"
    WRONG = "wrong"
    LOCKED = "locked"
    NONE_SET = "none_set"


class AnswerStatus(StrEnum):
    APPROVED = "approved"
    DECLINED = "declined"
    PENDING = "pending"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True)
class OrderArrived:
    """An order that was verified, is new to this box, and is not yet on disk."""

    order: Order


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """One key: `0`..`9`, `ok`, `cancel`, `back`; others are ignored here."""

    key: str


@dataclass(frozen=True, slots=True)
class FaceHint:
    order_id: str
    epoch: int
    hint: str


@dataclass(frozen=True, slots=True)
class FaceDecided:
    """`who` is set for `MATCHED` (and for `AMBIGUOUS`, the better of the two)."""

    order_id: str
    epoch: int
    outcome: FaceOutcome
    who: Identified | None


@dataclass(frozen=True, slots=True)
class FaceUnavailable:
    """The camera or the models can't be used now; another way to pay is needed."""

    order_id: str
    epoch: int
    why: str


@dataclass(frozen=True, slots=True)
class PinChecked:
    order_id: str
    epoch: int
    outcome: PinOutcome
    tries_left: int


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


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The broker is there again: ask at once about whatever is unsettled."""


@dataclass(frozen=True, slots=True)
class OrdersFound:
    """Open orders on disk, taken up once the clock can tell which of them still hold."""

    turns: tuple[Turn, ...]


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
    OrderArrived | KeyPressed | FaceHint | FaceDecided | FaceUnavailable | PinChecked | Persisted | PersistFailed
    | Answer | LinkUp | OrdersFound | CounterTaken | CounterFree | Tick
)  # fmt: skip

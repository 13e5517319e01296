"""What the core wants done. Data only; `daemon.payment_runner` carries it out.

`Persist` is answered by `Persisted` or `PersistFailed`; what must not happen before it is on disk waits for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.payment.flows import Step
from daemon.payment.order import Order, PayRequest
from daemon.payment.policy import Factor
from daemon.payment.status import Status


@dataclass(frozen=True, slots=True)
class OrderStored:
    """A row for a new order."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrderClosed:
    """The order's last word on this box; it is reported to the fleet in the same transaction."""

    order_id: str
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class CheckEnded:
    """An identity check is over: VERIFIED names who it was, anything else why not. Reported like an order's end."""

    order_id: str
    status: Status
    reason: str
    payer: str | None = None
    factors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AttemptMoved:
    """An attempt's new state.

    `request` is set once, with `CONFIRMED`: the pay request enters the outbox in the same transaction, unless it is
    `offline`, where the voucher is sent later.
    """

    order_id: str
    attempt: int
    status: Status
    reason: str = ""
    reference: str | None = None
    request: PayRequest | None = None
    offline: bool = False


@dataclass(frozen=True, slots=True)
class SignUpAsked:
    """Whoever paid this attempt wants to become a member; `notice` is the version that will be shown."""

    order_id: str
    attempt: int
    notice: str


@dataclass(frozen=True, slots=True)
class SmileSeen:
    """A label, and nothing of a face: whoever paid this attempt has smiled."""

    order_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class TriesCleared:
    """The right factor was given: the payer's count of wrong ones starts again."""

    payer: str
    factor: Factor


@dataclass(frozen=True, slots=True)
class TrySpared:
    """The try was counted against this look-alike too, and was the other one's: this one try is taken back."""

    payer: str
    factor: Factor


@dataclass(frozen=True, slots=True)
class Noted:
    """A line for the journal: a machine-readable name and no personal data."""

    name: str
    facts: Mapping[str, str | int] = field(default_factory=dict)


Change = (
    OrderStored | OrderClosed | CheckEnded | AttemptMoved | SignUpAsked | SmileSeen | TriesCleared | TrySpared
    | Noted
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Persist:
    """Write all of these, or none, in one durable transaction."""

    token: int
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Submit:
    """The attempt's pay request is on disk: let it go."""

    order_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Query:
    """Ask what became of the attempt. Asked again by schedule, so it need not be durable."""

    order_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Reverse:
    """Demand that the attempt be undone. Repeated until it is acknowledged."""

    order_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Refund:
    """Demand that a captured attempt be paid back. Repeated until it is acknowledged.

    `authority` is whose (`clerk`, `technician`); None where the box itself pays back what was approved too late.
    """

    order_id: str
    attempt: int
    authority: str | None = None


@dataclass(frozen=True, slots=True)
class SendVoucher:
    """Hand in what was accepted offline. Repeated until it is answered: the attempt's row implies it."""

    request: PayRequest


@dataclass(frozen=True, slots=True)
class Watch:
    """Start looking for a face, anybody's or `payer`'s alone; what is seen comes back tagged with the first two."""

    order_id: str
    epoch: int
    payer: str | None = None


@dataclass(frozen=True, slots=True)
class WatchSmile:
    """Look for a smile, of whoever stands there; answered by `Smiled`."""

    order_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class StopWatching:
    """No face is needed any more."""


@dataclass(frozen=True, slots=True)
class FindPayer:
    """Whose number is it? Answered by `PayerFound`."""

    order_id: str
    epoch: int
    by: Step
    number: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckFactor:
    """Count one try durably for each of `payers`, then compare. Answered by `FactorChecked`."""

    order_id: str
    epoch: int
    payers: tuple[str, ...]
    factor: Factor
    typed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ListBanks:
    """Which banks has this payer bound? Answered by `BanksListed`."""

    order_id: str
    epoch: int
    payer: str


@dataclass(frozen=True, slots=True)
class AskQuote:
    """What would this member pay? Answered by `Quoted`, or by nobody: the whole amount is asked for then."""

    order_id: str
    payer: str
    spends_points: bool = False


@dataclass(frozen=True, slots=True)
class Halt:
    """The disk refuses what must not be lost: end the process; the next start asks disk and gateway for the truth."""

    why: str


Effect = (
    Persist | Submit | Query | Reverse | Refund | SendVoucher | Watch | StopWatching | FindPayer | CheckFactor
    | ListBanks | AskQuote | WatchSmile | Halt
)  # fmt: skip

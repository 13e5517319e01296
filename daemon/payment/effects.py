"""What the core wants done. Data only; `daemon.app` carries it out.

`Persist` is answered by `Persisted` or `PersistFailed`; what must not happen before it is on disk waits for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from daemon.payment.order import Order, PayRequest
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
class AttemptMoved:
    """An attempt's new state.

    `request` is set once, with `CONFIRMED`: the pay request enters the outbox in the same transaction.
    """

    order_id: str
    attempt: int
    status: Status
    reason: str = ""
    reference: str | None = None
    request: PayRequest | None = None


@dataclass(frozen=True, slots=True)
class PinCleared:
    """The right PIN was typed: the payer's count of wrong ones starts again."""

    payer: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A line for the journal: a machine-readable name and no personal data."""

    name: str
    facts: Mapping[str, str | int] = field(default_factory=dict)


Change = OrderStored | OrderClosed | AttemptMoved | PinCleared | Noted


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
class Watch:
    """Start looking for a payer's face; what is seen comes back tagged with these two."""

    order_id: str
    epoch: int


@dataclass(frozen=True, slots=True)
class StopWatching:
    """No face is needed any more."""


@dataclass(frozen=True, slots=True)
class CheckPin:
    """Count one try durably, then compare."""

    order_id: str
    epoch: int
    payer: str
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Halt:
    """The disk refuses what must not be lost: end the process; the next start asks disk and gateway for the truth."""

    why: str


Effect = Persist | Submit | Query | Reverse | Watch | StopWatching | CheckPin | Halt

"""What is to be paid, and by whom: the facts that every state of a payment carries along."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.payment.money import Amount


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it was signed by the fleet; `expires_s` is on the box's monotonic clock."""

    order_id: str
    amount: Amount
    title: str | None
    expires_s: float


@dataclass(frozen=True, slots=True)
class Turn:
    """An order and which attempt at it comes next; `looks` counts the refused faces so far."""

    order: Order
    attempt: int = 1
    looks: int = 0


@dataclass(frozen=True, slots=True)
class Identified:
    """What the pipeline proved: the payer's opaque handle, and how sure it is (cosines in -1..1, liveness in 0..1)."""

    payer: str
    score: float
    margin: float
    liveness: float


@dataclass(frozen=True, slots=True)
class PayRequest:
    """What is asked of the gateway; `(order_id, attempt)` is the idempotency key on the whole way.

    `epoch` and `identified` say what it stands on; they go into the evidence, not to the gateway's decision.
    """

    order_id: str
    attempt: int
    amount: Amount
    payer: str
    factors: tuple[str, ...]
    channel: str
    flow: str
    duress: bool = False
    epoch: int = 0
    identified: Identified | None = None

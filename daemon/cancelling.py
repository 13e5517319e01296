"""The fleet takes an order back: off the display or out of the queue, unless money may be on its way already.

The ledger has cancelled it before it says so: a pay request that crosses the command is declined there, so that either
the payer never confirms, or the confirmation has no effect. What was paid before can only be refunded.
"""

from __future__ import annotations

import sqlite3

from daemon.books import payments
from daemon.box_events import Stop
from daemon.payment.status import RELEASES_GOODS, UNSETTLED, Status
from daemon.payment_runner import PaymentRunner
from daemon.uplink.contract import CancelOrder

DONE, FAILED = "cancel.done", "cancel.failed"
TOO_LATE = UNSETTLED | RELEASES_GOODS | {Status.REFUNDED, Status.MANUAL}


def cancel(
    wanted: CancelOrder, payment: PaymentRunner, reader: sqlite3.Connection
) -> tuple[str, str, Stop | None]:  # fmt: skip
    """The event to report and its reason: `cancelled`; `too_late` once a payer has confirmed; `unknown_order`; or how
    it had ended. And a Stop when the process must end."""
    before = payment.state
    stop = payment.withdraw(wanted.order_id, "by_fleet")
    if payment.state is not before:
        return DONE, "cancelled", stop
    if any(order_id == wanted.order_id for order_id, _ in payment.state.settling):
        return FAILED, "too_late", stop
    known = payments.sale_of(reader, wanted.order_id)
    if known is None:
        return FAILED, "unknown_order", stop
    if known.attempt in TOO_LATE:
        return FAILED, "too_late", stop
    return DONE, f"was_{known.order.value}", stop

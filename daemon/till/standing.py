"""Where a till's order stands, read from the disk: what is said to a till was committed before."""

from __future__ import annotations

import sqlite3

from daemon.payment.status import RELEASES_GOODS, UNSETTLED, Status
from daemon.till.words import OrderState, Standing

# What a clerk may do after each end of an order; an end that is not listed needs a person.
_ENDS = dict.fromkeys(RELEASES_GOODS, Standing.APPROVED) | {
    Status.DECLINED: Standing.DECLINED,
    Status.CANCELLED: Standing.CANCELLED,
    Status.EXPIRED: Standing.CANCELLED,
    Status.REVERSED: Standing.CANCELLED,
    Status.REFUNDED: Standing.CANCELLED,
}
_SAY_SO = frozenset({Status.ACCEPTED_OFFLINE, Status.EXPIRED, Status.REVERSED, Status.REFUNDING, Status.REFUNDED})
# Where the attempt knows better than its order: accepted before the order's end, or paid back after it.
_ATTEMPTS_WORD = RELEASES_GOODS | {Status.REFUNDING, Status.REFUNDED}


def of(connection: sqlite3.Connection, reference: str) -> OrderState | None:
    """The order that the till knows as `reference`; None when this box never took it."""
    order = connection.execute(
        "SELECT o.* FROM orders o JOIN own_orders w USING (order_id) WHERE w.reference = ?", (reference,)
    ).fetchone()
    if order is None:
        return None
    attempt = connection.execute(
        "SELECT status, reference, amount_minor FROM attempts WHERE order_id = ? ORDER BY attempt DESC LIMIT 1",
        (order["order_id"],),
    ).fetchone()
    paid = Status(attempt["status"]) if attempt is not None else None
    status = paid if paid in _ATTEMPTS_WORD else Status(order["status"])
    if status is Status.OPEN:
        standing, reason = (Standing.PAYING if paid in UNSETTLED else Standing.WAITING), ""
    else:
        standing = _ENDS.get(status, Standing.UNKNOWN)
        reason = status.value if status in _SAY_SO else (order["reason"] or "")
    if standing is not Standing.APPROVED:
        return OrderState(reference, standing, order["amount_minor"], order["currency"], reason)
    offline = reason if status is Status.ACCEPTED_OFFLINE else ""
    listed, paid_minor = order["amount_minor"], attempt["amount_minor"] if attempt is not None else None
    return OrderState(
        reference, standing, listed, order["currency"], offline, attempt["reference"] if attempt else None,
        None if paid_minor == listed else paid_minor,
    )  # fmt: skip


def unfinished(connection: sqlite3.Connection) -> list[str]:
    """The references of all orders of the till that have not ended, oldest first."""
    rows = connection.execute(
        "SELECT w.reference FROM own_orders w JOIN orders o USING (order_id)"
        " WHERE w.source = 'till' AND w.reference IS NOT NULL AND o.status = ? ORDER BY w.made_at",
        (Status.OPEN,),
    )
    return [row[0] for row in rows]


def order_id(connection: sqlite3.Connection, reference: str) -> str:
    """The order behind a reference that `of` knows."""
    row = connection.execute("SELECT order_id FROM own_orders WHERE reference = ?", (reference,)).fetchone()
    return str(row[0])

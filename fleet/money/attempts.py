"""The rows of attempts: read and moved on, in the caller's transaction. `fleet.money.answers` tells a box of them.

An attempt is `submitted` to its channel, then `approved` or `declined`; what is not confirmed by its box can become
`reversing`, then `reversed`, or `manual` where the provider takes no reversal and no refund.
"""

from __future__ import annotations

import sqlite3

from fleet.channels.adapter import Charge
from fleet.errors import NotFound

Key = tuple[str, int]


def order(tx: sqlite3.Connection, box: str | None, order_id: str) -> sqlite3.Row | None:
    """The order, if it is this box's; of any box for None."""
    found = tx.execute(
        "SELECT * FROM orders WHERE order_id = ? AND (? IS NULL OR box = ?)", (order_id, box, box)
    ).fetchone()
    return found if isinstance(found, sqlite3.Row) else None


def row(tx: sqlite3.Connection, order_id: str, attempt: int) -> sqlite3.Row | None:
    found = tx.execute("SELECT * FROM attempts WHERE order_id = ? AND attempt = ?", (order_id, attempt)).fetchone()
    return found if isinstance(found, sqlite3.Row) else None


def known(tx: sqlite3.Connection, order_id: str, attempt: int) -> sqlite3.Row:
    """Raises NotFound."""
    found = row(tx, order_id, attempt)
    if found is None:
        raise NotFound(f"attempt {order_id[:64]}/{attempt}", "never received")
    return found


def charge(order: sqlite3.Row, attempt: sqlite3.Row) -> Charge:
    """What the channel was or is to be asked for; without the payer's credential, which is kept nowhere."""
    amount = attempt["amount_minor"]
    return Charge(
        order["order_id"], attempt["attempt"], attempt["payer"], order["merchant"].removeprefix("merchant:"),
        order["amount_minor"] if amount is None else amount, order["currency"], order["title"],
    )  # fmt: skip


def begin_reversal(tx: sqlite3.Connection, order_id: str, attempt: int, reason: str) -> None:
    """From here on nobody is told that it is paid; the provider hears of it after the commit."""
    tx.execute(
        "UPDATE attempts SET status = 'reversing', reason = ? WHERE order_id = ? AND attempt = ?"
        " AND status IN ('submitted', 'approved', 'reversing', 'manual')",
        (str(reason), order_id, attempt),
    )
    tx.execute("UPDATE orders SET status = 'reversed' WHERE order_id = ? AND status = 'paid'", (order_id,))


def settle(
    tx: sqlite3.Connection, order_id: str, attempt: int, status: str, reason: str, reference: str | None, now: int
) -> None:
    tx.execute(
        "UPDATE attempts SET status = ?, reason = ?, reference = ?, settled_at = ? WHERE order_id = ? AND attempt = ?",
        (status, str(reason), reference, now, order_id, attempt),
    )


def look_again(tx: sqlite3.Connection, order_id: str, attempt: int, at: int | None) -> None:
    """When the provider is asked whether it has taken the money after all; None: not any more."""
    tx.execute("UPDATE attempts SET look_again_at = ? WHERE order_id = ? AND attempt = ?", (at, order_id, attempt))


def under_way(tx: sqlite3.Connection, now: int) -> list[tuple[Key, str]]:
    """Attempts for which the provider must be asked something now, each with its channel, oldest first."""
    rows = tx.execute(
        "SELECT order_id, attempt, channel FROM attempts WHERE status IN ('submitted', 'reversing')"
        " OR look_again_at <= ? ORDER BY received_at",
        (now,),
    )
    return [((found[0], found[1]), str(found[2])) for found in rows]

"""Attempts that were asked about, or declined, before the word on their box's own order came: buried ahead of it.

A broker may hold back `order.made`, or lose it. The box takes `unknown_order` as the attempt's end, so that whatever
of this attempt comes after the order must not be charged.
"""

from __future__ import annotations

import sqlite3

KEPT_S = 2 * 24 * 3600  # no envelope lives longer than a day


def remember(tx: sqlite3.Connection, box: str, order_id: str, attempt: int, status: str, now: int) -> None:
    """`declined` or `reversed`, which is the stronger word; of an order that only this box can make."""
    if order_id.startswith(f"{box}-"):
        tx.execute(
            "INSERT INTO early_tombstones (order_id, attempt, status, at) VALUES (?, ?, ?, ?) ON CONFLICT"
            " (order_id, attempt) DO UPDATE SET status = excluded.status WHERE excluded.status = 'reversed'",
            (order_id, attempt, status, now),
        )


def lay(tx: sqlite3.Connection, order_id: str) -> None:
    """The order is in the books now: its attempts that ended before it have their rows."""
    from mqtt.schemas import AnswerReason  # takes its time, and who only reads orders never comes here

    tx.execute(
        "INSERT INTO attempts (order_id, attempt, received_at, status, reason, settled_at)"
        " SELECT order_id, attempt, at, status, ?, at FROM early_tombstones WHERE order_id = ?",
        (AnswerReason.NEVER_RECEIVED.value, order_id),
    )
    tx.execute("DELETE FROM early_tombstones WHERE order_id = ?", (order_id,))


def forget(tx: sqlite3.Connection, now: int) -> None:
    tx.execute("DELETE FROM early_tombstones WHERE at < ?", (now - KEPT_S,))

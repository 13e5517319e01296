"""An order as people see it: one word for where it stands, from the order's row and its decisive attempt."""

from __future__ import annotations

import sqlite3
from typing import Any

from fleet import box_orders
from fleet.errors import NotFound
from fleet.money import format_amount

UNCONFIRMED_AFTER_S = 120  # by then a box that is there has confirmed or reversed (it asks for 70 s at most)


def view(tx: sqlite3.Connection, order_id: str, now: int) -> dict[str, Any]:
    """One order for people and machines; `status` is one of queued, sent, on_box, paying, captured_unconfirmed,
    approved, declined, expired, cancelled, reversed. `paying` with the reason `waiting_for_box`: the money is
    captured, and the box has not said yet that it took it; `captured_unconfirmed`: nor has it for long.
    Raises NotFound."""
    row = tx.execute("SELECT * FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    if row is None:
        raise NotFound(f"order {order_id[:64]}", "never issued")
    last = tx.execute("SELECT * FROM attempts WHERE order_id = ? ORDER BY attempt DESC LIMIT 1", (order_id,)).fetchone()
    decisive = last
    if row["status"] in ("paid", "reversed") and last["status"] not in ("approved", "reversed"):
        decisive = tx.execute(
            "SELECT * FROM attempts WHERE order_id = ? AND status IN ('approved', 'reversed')", (order_id,)
        ).fetchone()
    status = _status(row, decisive, now)
    reason = row["closed_reason"] or (decisive["reason"] if decisive else None)
    return {
        "order_id": order_id,
        "box": row["box"],
        "amount": format_amount(row["amount_minor"], row["currency"]),
        "amount_minor": row["amount_minor"],
        "currency": row["currency"],
        "title": row["title"],
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "status": status,
        "final": status in ("approved", "expired", "cancelled", "reversed"),
        "attempt": decisive["attempt"] if decisive else None,
        "reason": "waiting_for_box" if row["status"] == "paid" and status != "approved" else reason,
        "reference": decisive["reference"] if decisive else None,
        "payer": decisive["payer"] if decisive else None,
        "made_by": box_orders.origin(tx, order_id),
    }


def recent(tx: sqlite3.Connection, limit: int, now: int) -> list[dict[str, Any]]:
    rows = tx.execute(
        "SELECT order_id FROM orders ORDER BY created_at DESC, order_id DESC LIMIT ?", (limit,)
    ).fetchall()
    return [view(tx, row[0], now) for row in rows]


def _status(order: sqlite3.Row, last: sqlite3.Row | None, now: int) -> str:
    stored = order["status"]
    if stored == "paid" and last is not None:
        if last["confirmed_at"] is not None:
            return "approved"
        return "paying" if now - last["settled_at"] <= UNCONFIRMED_AFTER_S else "captured_unconfirmed"
    if stored != "open":
        return str(stored)
    if last is not None and last["status"] == "submitted":
        return "paying"
    if now > order["expires_at"]:
        return "expired"
    if last is not None:
        return "declined"
    if order["on_box_at"] is not None:
        return "on_box"
    return "sent" if order["sent_at"] is not None else "queued"

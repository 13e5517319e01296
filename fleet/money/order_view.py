"""An order as people see it: one word for where it stands, from the order's row and its decisive attempt."""

from __future__ import annotations

import sqlite3
from typing import Any

from fleet.errors import NotFound
from fleet.money import box_orders, refunds
from fleet.money.amounts import format_amount

DURESS = "pin_duress"  # the factor whose name says that the payer was forced
_DECISIVE = ("approved", "reversing", "reversed", "manual")
UNCONFIRMED_AFTER_S = 120  # by then a box that is there has confirmed or reversed (it asks for 70 s at most)


def view(tx: sqlite3.Connection, order_id: str, now: int) -> dict[str, Any]:
    """One order for people and machines; `status` is one of queued, sent, on_box, paying, captured_unconfirmed,
    approved, declined, expired, cancelled, reversing, reversed, manual, refunding, refunded. A refund in parts leaves
    it `approved`; `refunds` lists them. `paying` with the reason `waiting_for_box`: the money is
    captured, and the box has not said yet that it took it; `captured_unconfirmed`: nor has it for long.
    Raises NotFound."""
    row = tx.execute("SELECT * FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    if row is None:
        raise NotFound(f"order {order_id[:64]}", "never issued")
    last = tx.execute("SELECT * FROM attempts WHERE order_id = ? ORDER BY attempt DESC LIMIT 1", (order_id,)).fetchone()
    decisive = last
    if row["status"] in ("paid", "reversed") and last["status"] not in _DECISIVE:
        decisive = tx.execute(
            "SELECT * FROM attempts WHERE order_id = ? AND status IN ('approved', 'reversing', 'reversed', 'manual')"
            " ORDER BY attempt DESC LIMIT 1",
            (order_id,),
        ).fetchone()
    given_back = refunds.of_order(tx, order_id)
    status = _status(row, decisive, now)
    if status == "approved":
        status = _refund_status(row["amount_minor"], given_back)
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
        "final": status in ("approved", "expired", "cancelled", "reversed", "refunded"),
        "attempt": decisive["attempt"] if decisive else None,
        "reason": "waiting_for_box"
        if status in ("paying", "captured_unconfirmed") and row["status"] == "paid"
        else reason,
        "reference": decisive["reference"] if decisive else None,
        "payer": decisive["payer"] if decisive else None,
        "channel": decisive["channel"] if decisive else None,
        "duress": DURESS in (decisive["factors"] or "") if decisive else False,
        "refunded_minor": _back_minor(given_back),
        "refunds": given_back,
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
    if last is not None and last["status"] in ("reversing", "manual"):
        return str(last["status"])
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


def _refund_status(captured_minor: int, given_back: list[dict[str, Any]]) -> str:
    """Of a paid order: `refunding` while any is under way or waits for a person, `refunded` once all of it is back."""
    if any(r["status"] in ("refunding", "manual") and not r["late"] for r in given_back):
        return "refunding"
    back_minor = _back_minor(given_back)
    return "refunded" if back_minor >= captured_minor else "approved"


def _back_minor(given_back: list[dict[str, Any]]) -> int:
    """By the provider, or by a person's hand."""
    return sum(r["amount_minor"] for r in given_back if r["status"] in ("refunded", "settled") and not r["late"])

"""Orders the fleet issued: made, told to the box. What a payment must match is what stands here."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Mapping
from types import MappingProxyType

from fleet.errors import RefundRefused, RequestRefused
from mqtt.schemas import OrderBody


def new_id(prefix: str, now: int) -> str:
    """Sortable by time, unguessable."""
    return f"{prefix}{now:010d}-{secrets.token_hex(6)}"


def id_of_key(key: str) -> str:
    """The order that whoever asks calls `key`: always the same one, so that asking again makes no second."""
    return f"k{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def made_before(tx: sqlite3.Connection, key: str, box: str, amount_minor: int, currency: str) -> bool:
    """Raises RequestRefused where the key stands for an order of another box or sum."""
    row = tx.execute(
        "SELECT box, amount_minor, currency FROM orders WHERE order_id = ?", (id_of_key(key),)
    ).fetchone()  # fmt: skip
    if row is not None and tuple(row) != (box, amount_minor, currency):
        raise RequestRefused("asking for an order", "its key stands for another box or sum", "take a new key for each")
    return row is not None


def create(
    tx: sqlite3.Connection,
    *,
    box: str,
    merchant: str,
    amount_minor: int,
    currency: str,
    title: str | None,
    expires_at: int,
    now: int,
    flow: str | None = None,
    phone: str | None = None,
    key: str | None = None,
) -> OrderBody:
    """`flow` is how the payer is to be known; `phone` a member's, which is sent and not kept. Raises
    pydantic.ValidationError for a title that can't be shown, or a phone that is none."""
    order = OrderBody(
        order_id=id_of_key(key) if key else new_id("o", now), amount_minor=amount_minor, currency=currency,
        title=title, expires_at=expires_at, flow=flow, phone=phone,
    )  # fmt: skip
    tx.execute(
        "INSERT INTO orders (order_id, box, merchant, amount_minor, currency, title, created_at, expires_at, flow)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (order.order_id, box, f"merchant:{merchant}", amount_minor, currency, title, now, expires_at, flow),
    )
    return order


def open_bodies(
    tx: sqlite3.Connection, box: str, now: int, phones: Mapping[str, str] = MappingProxyType({})
) -> list[OrderBody]:
    """What the fleet wants on the box's screen or in its queue: open, not expired, nothing under way at a provider.
    What the box made itself it knows better than we do. `phones`: those that are remembered, by order."""
    rows = tx.execute(
        "SELECT order_id, amount_minor, currency, title, expires_at, flow FROM orders o"
        " WHERE box = ? AND status = 'open' AND expires_at > ?"
        " AND NOT EXISTS (SELECT 1 FROM box_orders b WHERE b.order_id = o.order_id) AND NOT EXISTS"
        " (SELECT 1 FROM attempts a WHERE a.order_id = o.order_id"
        " AND a.status IN ('submitted', 'reversing', 'manual')) ORDER BY created_at",
        (box, now),
    )
    return [OrderBody(**dict(row), phone=phones.get(row["order_id"])) for row in rows]


def is_open(tx: sqlite3.Connection, order_id: str, now: int) -> bool:
    row = tx.execute("SELECT status, expires_at FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    return row is not None and row["status"] == "open" and row["expires_at"] > now


def note_queued(tx: sqlite3.Connection, order_id: str, outbox_id: int) -> None:
    tx.execute("UPDATE orders SET outbox_id = ? WHERE order_id = ?", (outbox_id, order_id))


def note_sent(tx: sqlite3.Connection, outbox_id: int, now: int) -> None:
    """The broker has acknowledged this message, if it was an order."""
    tx.execute("UPDATE orders SET sent_at = coalesce(sent_at, ?) WHERE outbox_id = ?", (now, outbox_id))


def note_on_box(tx: sqlite3.Connection, order_id: str, box: str, now: int) -> None:
    tx.execute(
        "UPDATE orders SET on_box_at = coalesce(on_box_at, ?), sent_at = coalesce(sent_at, ?)"
        " WHERE order_id = ? AND box = ?",
        (now, now, order_id, box),
    )


def note_cancelled(tx: sqlite3.Connection, order_id: str, box: str, reason: str | None) -> None:
    """The box says that this order won't be paid. Never touches one with a payment under way or done."""
    tx.execute(
        "UPDATE orders SET status = 'cancelled', closed_reason = ? WHERE order_id = ? AND box = ? AND status = 'open'"
        " AND NOT EXISTS"
        " (SELECT 1 FROM attempts a WHERE a.order_id = orders.order_id"
        " AND a.status IN ('submitted', 'reversing', 'manual'))",
        (reason, order_id, box),
    )


def cancel(tx: sqlite3.Connection, order_id: str, why: str, now: int) -> None:
    """No payment of it is taken any more, but for one that its box accepted offline before `now`: the goods of that
    have gone. Raises RefundRefused for one that is paid, or is being paid."""
    row = tx.execute("SELECT status FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    if row is not None and row[0] == "cancelled":
        return
    changed = tx.execute(
        "UPDATE orders SET status = 'cancelled', closed_reason = ?, cancelled_at = ? WHERE order_id = ?"
        " AND status = 'open' AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.order_id = orders.order_id"
        " AND a.status IN ('submitted', 'reversing', 'manual'))",
        (why, now, order_id),
    ).rowcount
    if not changed:
        hint = f"`kingfisher-fleet refund {order_id} --why TEXT` gives it back once it is paid"
        raise RefundRefused(f"order {order_id}", "it is paid, or being paid", hint, "not_open")

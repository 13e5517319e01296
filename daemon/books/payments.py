"""The rows of orders and attempts in `box.db`, and what of them must be taken up again after a start."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest, Turn
from daemon.payment.settling import APPROVED_LATE
from daemon.payment.status import UNSETTLED, Status

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made

KEPT_S = 100 * 24 * 3600  # longer than any policy looks back (`payment_history.VISITS_S`)
PRUNED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Unfinished:
    """What a start finds on disk. `orders` are open ones, each with the number of its next attempt; `refunds` names
    the authority of those that somebody asked for."""

    attempts: tuple[tuple[PayRequest, Status], ...]
    orders: tuple[Turn, ...]
    refunds: Mapping[tuple[str, int], str]


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("orders").create(
        {
            "order_id": str, "amount_minor": int, "currency": str, "title": str, "expires_at": int,
            "received_at": int, "status": str, "reason": str, "closed_at": int,
        },
        pk="order_id", not_null={"amount_minor", "currency", "expires_at", "received_at", "status"}, if_not_exists=True,
    )  # fmt: skip
    database.table("orders").create_index(["status"], if_not_exists=True)
    database.table("attempts").create(
        {
            "order_id": str, "attempt": int, "amount_minor": int, "currency": str, "payer": str, "factors": str,
            "channel": str, "flow": str, "duress": int, "status": str, "reason": str, "reference": str,
            "changed_at": int,
        },
        pk=("order_id", "attempt"), foreign_keys=[("order_id", "orders", "order_id")],
        not_null={"amount_minor", "currency", "payer", "status"}, if_not_exists=True,
    )  # fmt: skip
    for columns in (["payer", "changed_at"], ["changed_at"]):  # what a policy counts
        database.table("attempts").create_index(columns, if_not_exists=True)


def is_known(connection: sqlite3.Connection, order_id: str) -> bool:
    return connection.execute("SELECT 1 FROM orders WHERE order_id = ?", (order_id,)).fetchone() is not None


def store_order(tx: sqlite3.Connection, order: Order, expires_at: int, now: int) -> None:
    """A repeated order id violates the primary key: the caller has asked `is_known`, this is the last line."""
    assert order.amount is not None  # an identity check has its row among the commands
    tx.execute(
        "INSERT INTO orders (order_id, amount_minor, currency, title, expires_at, received_at, status)"
        " VALUES (?,?,?,?,?,?,?)",
        (order.order_id, order.amount.minor, order.amount.currency, order.title, expires_at, now, Status.OPEN),
    )  # fmt: skip


def close_order(tx: sqlite3.Connection, order_id: str, status: Status, reason: str, now: int) -> None:
    tx.execute(
        "UPDATE orders SET status = ?, reason = ?, closed_at = ? WHERE order_id = ?", (status, reason, now, order_id)
    )


def open_attempt(tx: sqlite3.Connection, request: PayRequest, now: int) -> None:
    tx.execute(
        "INSERT INTO attempts (order_id, attempt, amount_minor, currency, payer, factors, channel, flow, duress,"
        " status, changed_at) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (
            request.order_id, request.attempt, request.amount.minor, request.amount.currency, request.payer,
            ",".join(request.factors), request.channel, request.flow, request.duress, Status.CONFIRMED, now,
        ),
    )  # fmt: skip


def move_attempt(
    tx: sqlite3.Connection, order_id: str, attempt: int, status: Status, reason: str, reference: str | None, now: int
) -> None:
    tx.execute(
        "UPDATE attempts SET status = ?, reason = ?, reference = coalesce(?, reference), changed_at = ?"
        " WHERE order_id = ? AND attempt = ?",
        (status, reason, reference, now, order_id, attempt),
    )


def unfinished(connection: sqlite3.Connection, now_s: float, now_wall: int) -> Unfinished:
    """`now_s` and `now_wall` are the same moment on the monotonic and on the wall clock."""
    marks = ",".join("?" * len(UNSETTLED))
    rows = connection.execute(f"SELECT * FROM attempts WHERE status IN ({marks})", tuple(UNSETTLED)).fetchall()
    attempts = tuple((_request(row), Status(row["status"])) for row in rows)
    busy = {request.order_id for request, _ in attempts}
    turns = []
    for row in connection.execute("SELECT * FROM orders WHERE status = ? ORDER BY received_at", (Status.OPEN,)):
        if row["order_id"] not in busy:
            amount = Amount(row["amount_minor"], row["currency"])
            order = Order(row["order_id"], amount, row["title"], now_s + row["expires_at"] - now_wall)
            turns.append(Turn(order, _attempts_made(connection, order.order_id) + 1))
    refunds = {
        (row["order_id"], int(row["attempt"])): str(row["reason"])
        for row in rows if row["status"] == Status.REFUNDING and row["reason"] != APPROVED_LATE
    }  # fmt: skip
    return Unfinished(attempts, tuple(turns), refunds)


@dataclass(frozen=True, slots=True)
class SaleRow:
    """An order with its last attempt, None where there was none; `at` is when either last changed, unix seconds."""

    amount: Amount
    order: Status
    attempt: Status | None
    at: int


def sale_of(connection: sqlite3.Connection, order_id: str) -> SaleRow | None:
    """None for an order that this box never had, or has forgotten."""
    row = connection.execute(
        "SELECT o.amount_minor, o.currency, o.status, a.status AS attempt,"
        " max(o.received_at, coalesce(a.changed_at, 0)) AS at FROM orders o LEFT JOIN attempts a USING (order_id)"
        " WHERE o.order_id = ? ORDER BY a.attempt DESC LIMIT 1",
        (order_id,),
    ).fetchone()
    if row is None:
        return None
    attempt = Status(row["attempt"]) if row["attempt"] is not None else None
    return SaleRow(Amount(row["amount_minor"], row["currency"]), Status(row["status"]), attempt, row["at"])


def title_of(connection: sqlite3.Connection, order_id: str) -> str | None:
    row = connection.execute("SELECT title FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    return row["title"] if row else None


def attempt_status(connection: sqlite3.Connection, order_id: str, attempt: int) -> Status | None:
    row = connection.execute(
        "SELECT status FROM attempts WHERE order_id = ? AND attempt = ?", (order_id, attempt)
    ).fetchone()
    return Status(row["status"]) if row else None


def request_of(
    connection: sqlite3.Connection, order_id: str, attempt: int | None = None
) -> tuple[PayRequest, Status] | None:
    """An attempt as it is on disk; without its number, the order's last."""
    row = connection.execute(
        "SELECT * FROM attempts WHERE order_id = ? AND attempt = coalesce(?, attempt) ORDER BY attempt DESC LIMIT 1",
        (order_id, attempt),
    ).fetchone()
    return (_request(row), Status(row["status"])) if row is not None else None


def accepted_at(connection: sqlite3.Connection, order_id: str, attempt: int) -> int | None:
    """When an attempt was accepted offline, in unix seconds."""
    row = connection.execute(
        "SELECT changed_at FROM attempts WHERE order_id = ? AND attempt = ? AND status = ?",
        (order_id, attempt, Status.ACCEPTED_OFFLINE),
    ).fetchone()
    return int(row["changed_at"]) if row is not None else None


def drop_unsent_requests(tx: sqlite3.Connection) -> int:
    """At a start: a pay request that is still in the outbox must not leave any more, since its payer has gone. What
    became of its attempt is asked instead; one that never arrived gets a tombstone. The number dropped."""
    return tx.execute("DELETE FROM outbox WHERE kind = 'pay.request'").rowcount


def prune(tx: sqlite3.Connection, now: int) -> int:
    """Forgets orders that ended long ago, with their attempts; what they left in the journal stays. A few at a time,
    so that nobody waits behind it. The number forgotten."""
    marks = ",".join("?" * len(UNSETTLED))
    found = tx.execute(
        "SELECT order_id FROM orders o WHERE status <> ? AND closed_at < ? AND NOT EXISTS (SELECT 1 FROM attempts a"
        f" WHERE a.order_id = o.order_id AND (a.status IN ({marks}) OR a.changed_at >= ?)) ORDER BY closed_at LIMIT ?",
        (Status.OPEN, now - KEPT_S, *UNSETTLED, now - KEPT_S, PRUNED_AT_ONCE),
    ).fetchall()
    for row in found:
        for table in ("evidence", "receipt_numbers", "own_orders", "attempts", "orders"):
            tx.execute(f"DELETE FROM {table} WHERE order_id = ?", (row["order_id"],))
    return len(found)


def open_order_ids(connection: sqlite3.Connection) -> tuple[str, ...]:
    rows = connection.execute("SELECT order_id FROM orders WHERE status = ?", (Status.OPEN,))
    return tuple(row["order_id"] for row in rows)


def _attempts_made(connection: sqlite3.Connection, order_id: str) -> int:
    row = connection.execute(
        "SELECT coalesce(max(attempt), 0) FROM attempts WHERE order_id = ?", (order_id,)
    ).fetchone()
    return int(row[0])


def _request(row: sqlite3.Row) -> PayRequest:
    return PayRequest(
        row["order_id"], row["attempt"], Amount(row["amount_minor"], row["currency"]), row["payer"],
        tuple(row["factors"].split(",")), row["channel"], row["flow"], bool(row["duress"]),
    )  # fmt: skip

"""Refunds: part or all of a captured attempt goes back, once per refund id, never more than was captured in sum.

`refunding` until the provider has said; then `refunded` or `declined`. What came in late and can't be given back, and
what the provider leaves to a person (`refund_by_hand`), is `manual`, and `settled` once somebody has seen to it: money
that is nobody's here is never forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from fleet.channels.adapter import Answer, Channel, Charge, Reason, RefundOrder, Verdict
from fleet.errors import NotFound, RefundRefused
from fleet.members import topups
from fleet.money import attempts, books
from fleet.money.amounts import format_amount

OWN_NAMES = ("box-", "late-", "reversal-")  # what a box asks for, what came late, what stands for a reversal


def ask(
    tx: sqlite3.Connection,
    *,
    refund_id: str,
    order_id: str,
    amount_minor: int | None,
    asked_by: str,
    why: str,
    now: int,
    box: str | None = None,
) -> sqlite3.Row:
    """The refund's row, new or as it stands; `amount_minor` None: all that is left. Raises RefundRefused, NotFound."""
    order = attempts.order(tx, box, order_id)
    if order is None:
        raise NotFound(f"order {order_id[:64]}", "never issued")
    known = _row(tx, refund_id)
    if known is not None:
        if known["order_id"] != order_id or amount_minor not in (None, known["amount_minor"]):
            raise RefundRefused(f"refund {refund_id[:64]}", "another refund has this id", "take a new id", "id_taken")
        return known
    paid = tx.execute("SELECT * FROM attempts WHERE order_id = ? AND status = 'approved'", (order_id,)).fetchone()
    taken = books.captured(tx, order_id, paid["attempt"]) if paid is not None else None
    if paid is None or taken is None:
        raise RefundRefused(f"order {order_id}", "nothing of it is captured", "see `orders`", "not_captured")
    if paid["confirmed_at"] is None:
        hint = "`kingfisher-fleet attempt` ends it"
        raise RefundRefused(f"order {order_id}", "its box has not confirmed it yet", hint, "not_confirmed")
    most = left(tx, order_id, paid["attempt"])
    wanted = most if amount_minor is None else amount_minor
    if not 0 < wanted <= most:
        shown = format_amount(most, taken["currency"])
        raise RefundRefused(f"order {order_id}", f"{shown} of it can be refunded still", "", "more_than_captured")
    topups.take_back(tx, order_id, paid["attempt"], refund_id, wanted, now)
    return _insert(tx, refund_id, order_id, paid["attempt"], wanted, False, asked_by, why, box, now)


def begin_late(
    tx: sqlite3.Connection, charge: Charge, reference: str | None, now: int, *, by_hand: bool = False
) -> None:
    """The whole of a late success, which the caller has booked. `by_hand`: the payer has it already."""
    refund_id = f"late-{charge.order_id}-{charge.attempt}"
    why = f"late success {reference or ''}".strip()
    _insert(tx, refund_id, charge.order_id, charge.attempt, charge.amount_minor, True, "gateway", why, None, now)
    if by_hand:
        settle_by_hand(tx, refund_id, now)


def task(tx: sqlite3.Connection, channels: Mapping[str, Channel], refund_id: str) -> tuple[str, RefundOrder] | None:
    """The channel and what to ask of it; None: it has ended, or its channel is not there."""
    row = _row(tx, refund_id)
    if row is None or row["status"] != "refunding":
        return None
    attempt, order = attempts.row(tx, row["order_id"], row["attempt"]), attempts.order(tx, None, row["order_id"])
    if attempt is None or order is None or attempt["channel"] not in channels:
        return None
    charge = attempts.charge(order, attempt)
    return attempt["channel"], RefundOrder(refund_id, charge, row["amount_minor"], attempt["reference"])


def heard(tx: sqlite3.Connection, refund_id: str, answer: Answer, now: int) -> sqlite3.Row | None:
    """The refund's row, if this answer ended it."""
    row = _row(tx, refund_id)
    if row is None or row["status"] != "refunding":
        return None
    if answer.verdict is Verdict.APPROVED:
        _book(tx, row, now)
        _set(tx, refund_id, "refunded", answer.reason, answer.reference, now)
    elif answer.verdict is Verdict.DECLINED:
        by_hand = row["late"] or answer.reason == Reason.REFUND_BY_HAND
        _set(tx, refund_id, "manual" if by_hand else "declined", answer.reason, answer.reference, now)
        if not by_hand:
            topups.give_again(tx, row, now)
    else:
        return None
    return _row(tx, refund_id)


def settle_by_hand(tx: sqlite3.Connection, refund_id: str, now: int) -> None:
    """Somebody has given the money back in another way."""
    row = _row(tx, refund_id)
    if row is not None:
        _book(tx, row, now)
        _set(tx, refund_id, "settled", "by_hand", row["reference"], now)


def retry(tx: sqlite3.Connection, refund_id: str) -> None:
    tx.execute("UPDATE refunds SET status = 'refunding', settled_at = NULL WHERE refund_id = ?", (refund_id,))


def refunded(tx: sqlite3.Connection, order_id: str, attempt: int) -> int:
    """Minor units that have gone back or are on their way."""
    row = tx.execute(
        "SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE order_id = ? AND attempt = ? AND late = 0"
        " AND status <> 'declined'",
        (order_id, attempt),
    ).fetchone()
    return int(row[0])


def left(tx: sqlite3.Connection, order_id: str, attempt: int) -> int:
    """Minor units of a captured attempt that can be refunded still; 0 where nothing was captured."""
    taken = books.captured(tx, order_id, attempt)
    return 0 if taken is None else int(taken["amount_minor"]) - refunded(tx, order_id, attempt)


def last(tx: sqlite3.Connection, order_id: str, attempt: int) -> sqlite3.Row | None:
    """The youngest refund that has not been declined."""
    row = tx.execute(
        "SELECT * FROM refunds WHERE order_id = ? AND attempt = ? AND status <> 'declined'"
        " ORDER BY status = 'refunding' DESC, created_at DESC LIMIT 1",
        (order_id, attempt),
    ).fetchone()
    return row if isinstance(row, sqlite3.Row) else None


def under_way(tx: sqlite3.Connection, order_id: str | None = None) -> list[str]:
    """Those whose provider has not said its last word, oldest first."""
    rows = tx.execute(
        "SELECT refund_id FROM refunds WHERE status = 'refunding' AND (? IS NULL OR order_id = ?) ORDER BY created_at",
        (order_id, order_id),
    )
    return [row[0] for row in rows]


def of_order(tx: sqlite3.Connection, order_id: str) -> list[dict[str, Any]]:
    rows = tx.execute("SELECT * FROM refunds WHERE order_id = ? ORDER BY created_at, refund_id", (order_id,)).fetchall()
    return [view(row) for row in rows]


def in_need_of_a_person(tx: sqlite3.Connection, order_id: str, attempt: int) -> str | None:
    row = tx.execute(
        "SELECT refund_id FROM refunds WHERE order_id = ? AND attempt = ? AND status = 'manual'", (order_id, attempt)
    ).fetchone()
    return str(row[0]) if row is not None else None


def show(tx: sqlite3.Connection, refund_id: str) -> dict[str, Any]:
    """Raises NotFound."""
    row = _row(tx, refund_id)
    if row is None:
        raise NotFound(f"refund {refund_id[:64]}", "never asked for")
    return view(row)


def view(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "refund_id": row["refund_id"], "order_id": row["order_id"], "attempt": row["attempt"],
        "amount_minor": row["amount_minor"], "status": row["status"], "reason": row["reason"],
        "late": bool(row["late"]), "asked_by": row["asked_by"], "why": row["why"],
        "created_at": row["created_at"], "settled_at": row["settled_at"], "reference": row["reference"],
        "final": row["status"] not in ("refunding", "manual"),
    }  # fmt: skip


def _insert(
    tx: sqlite3.Connection, refund_id: str, order_id: str, attempt: int, amount_minor: int, late: bool, asked_by: str,
    why: str, box: str | None, now: int,
) -> sqlite3.Row:  # fmt: skip
    tx.execute(
        "INSERT INTO refunds (refund_id, order_id, attempt, amount_minor, late, status, reason, asked_by, why, box,"
        " created_at) VALUES (?, ?, ?, ?, ?, 'refunding', 'in_progress', ?, ?, ?, ?)",
        (refund_id, order_id, attempt, amount_minor, int(late), asked_by, why, box, now),
    )
    row = _row(tx, refund_id)
    if row is None:
        raise NotFound(f"refund {refund_id[:64]}", "not written")
    return row


def _book(tx: sqlite3.Connection, row: sqlite3.Row, now: int) -> None:
    books.refund(tx, row["refund_id"], row["order_id"], row["attempt"], row["amount_minor"], bool(row["late"]), now)


def _set(tx: sqlite3.Connection, refund_id: str, status: str, reason: str, reference: str | None, now: int) -> None:
    tx.execute(
        "UPDATE refunds SET status = ?, reason = ?, reference = ?, settled_at = ? WHERE refund_id = ?",
        (status, str(reason), reference, now, refund_id),
    )


def _row(tx: sqlite3.Connection, refund_id: str) -> sqlite3.Row | None:
    row = tx.execute("SELECT * FROM refunds WHERE refund_id = ?", (refund_id,)).fetchone()
    return row if isinstance(row, sqlite3.Row) else None

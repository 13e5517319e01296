"""What only a person can decide about an attempt, with who and why, kept for good.

Two cases wait for that: a capture that its box has neither confirmed nor reversed, and one whose money the provider
neither keeps in order nor gives back (`manual`). The box is told how it ended.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import Any

from fleet.errors import ResolutionRefused
from fleet.money import attempts, books, refunds
from fleet.money.order_view import UNCONFIRMED_AFTER_S
from mqtt.schemas import AnswerReason


class Decision(StrEnum):
    """SOLD: the goods have gone, the money stays. REVERSE: they have not, give the money back. RETURNED: somebody has
    given it back by another way. RETRY: ask the provider again."""

    SOLD = "sold"
    REVERSE = "reverse"
    RETURNED = "returned"
    RETRY = "retry"


def resolve(tx: sqlite3.Connection, key: attempts.Key, decision: Decision, who: str, why: str, now: int) -> sqlite3.Row:
    """The attempt's row afterwards; the caller asks the provider where it is `reversing`, or a refund under way, and
    tells the box. Raises NotFound, ResolutionRefused."""
    row = attempts.known(tx, *key)
    refund_id = refunds.in_need_of_a_person(tx, *key)
    if refund_id is not None:
        _end_refund(tx, key, refund_id, decision, now)
    else:
        _end_attempt(tx, key, row, decision, now)
    tx.execute(
        "INSERT INTO resolutions (order_id, attempt, refund_id, decision, who, why, before, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (*key, refund_id, decision.value, who, why, f"{row['status']} {row['reason']}", now),
    )
    return attempts.known(tx, *key)


def view(tx: sqlite3.Connection, key: attempts.Key) -> dict[str, Any]:
    """An attempt for people: how it stands, its refunds, and what was decided about it. Raises NotFound."""
    row = attempts.known(tx, *key)
    decided = tx.execute(
        "SELECT decision, who, why, before, at FROM resolutions WHERE order_id = ? AND attempt = ? ORDER BY id", key
    )
    return {
        "order_id": key[0], "attempt": key[1], "status": row["status"], "reason": row["reason"],
        "channel": row["channel"], "provider_key": row["provider_key"], "reference": row["reference"],
        "amount_minor": row["amount_minor"], "received_at": row["received_at"], "settled_at": row["settled_at"],
        "confirmed_at": row["confirmed_at"], "resolutions": [dict(line) for line in decided],
        "refunds": [refund for refund in refunds.of_order(tx, key[0]) if refund["attempt"] == key[1]],
    }  # fmt: skip


def waiting(tx: sqlite3.Connection, now: int) -> list[dict[str, Any]]:
    """Every attempt that only a person can end, oldest first; `why` is one of captured_unconfirmed, manual,
    late_refund, refund_by_hand (the provider took it and it reached nobody), written_off (accepted offline and never
    paid: nothing to end, but to be known)."""
    rows = tx.execute(
        "SELECT a.order_id, a.attempt, o.box, a.channel, o.currency, coalesce(a.amount_minor, o.amount_minor) AS minor,"
        " coalesce(a.settled_at, a.received_at) AS since, CASE WHEN a.status = 'approved' AND a.confirmed_at IS NULL"
        " THEN 'captured_unconfirmed' WHEN a.status = 'approved' THEN 'refund_by_hand'"
        " WHEN a.status = 'manual' THEN 'manual' WHEN a.status = 'declined' THEN 'written_off'"
        " ELSE 'late_refund' END AS why"
        " FROM attempts a JOIN orders o USING (order_id) WHERE a.status = 'manual'"
        " OR (a.status = 'approved' AND a.confirmed_at IS NULL AND a.settled_at < ?)"
        " OR (a.status = 'declined' AND a.accepted_at IS NOT NULL)"
        " OR EXISTS (SELECT 1 FROM refunds r WHERE r.order_id = a.order_id AND r.attempt = a.attempt"
        " AND r.status = 'manual') ORDER BY since, a.order_id",
        (now - UNCONFIRMED_AFTER_S,),
    )
    return [dict(row) for row in rows]


def _end_attempt(tx: sqlite3.Connection, key: attempts.Key, row: sqlite3.Row, decision: Decision, now: int) -> None:
    unconfirmed = row["status"] == "approved" and row["confirmed_at"] is None
    stuck = row["status"] in ("manual", "reversing")
    taken = books.captured(tx, *key) is not None
    match decision:
        case Decision.SOLD if unconfirmed:
            _keep(tx, key, now)
        case Decision.SOLD if row["status"] == "manual" and taken:
            attempts.settle(tx, *key, "approved", AnswerReason.OK, row["reference"], now)
            tx.execute("UPDATE orders SET status = 'paid' WHERE order_id = ?", (key[0],))
            _keep(tx, key, now)
        case Decision.REVERSE if unconfirmed:
            attempts.begin_reversal(tx, *key, AnswerReason.RESOLVED_BY_OPERATOR)
        case Decision.RETRY if stuck:
            attempts.begin_reversal(tx, *key, AnswerReason.RESOLVED_BY_OPERATOR)
            tx.execute("UPDATE attempts SET by_refund = 0 WHERE order_id = ? AND attempt = ?", key)
        case Decision.RETURNED if stuck:
            books.reverse(tx, *key, now)
            tx.execute("UPDATE orders SET status = 'reversed' WHERE order_id = ? AND status = 'paid'", (key[0],))
            attempts.settle(tx, *key, "reversed", AnswerReason.RESOLVED_BY_OPERATOR, row["reference"], now)
        case _:
            fits = [Decision.SOLD, Decision.REVERSE] if unconfirmed else [Decision.RETRY, Decision.RETURNED]
            raise ResolutionRefused(
                f"attempt {key[0]}/{key[1]}", f"it is {row['status']}, and {decision} does not end that",
                f"one of {', '.join(fits)}" if unconfirmed or stuck else "nothing is left to decide",
            )  # fmt: skip


def _end_refund(tx: sqlite3.Connection, key: attempts.Key, refund_id: str, decision: Decision, now: int) -> None:
    match decision:
        case Decision.RETRY:
            refunds.retry(tx, refund_id)
        case Decision.RETURNED:
            refunds.settle_by_hand(tx, refund_id, now)
        case _:
            hint = "one of retry, returned"
            raise ResolutionRefused(f"attempt {key[0]}/{key[1]}", "its money must go back", hint)


def _keep(tx: sqlite3.Connection, key: attempts.Key, now: int) -> None:
    tx.execute("UPDATE attempts SET confirmed_at = ? WHERE order_id = ? AND attempt = ?", (now, *key))

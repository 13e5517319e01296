"""What a box is told of an attempt: the answer that stands, made of the order's row and the attempt's."""

from __future__ import annotations

import sqlite3

from fleet.money import attempts
from mqtt.schemas import AnswerReason, PayAnswerBody


def of_attempt(order: sqlite3.Row, attempt: sqlite3.Row) -> PayAnswerBody:
    status = attempt["status"]
    return PayAnswerBody(
        order_id=order["order_id"],
        attempt=attempt["attempt"],
        status=status if status in ("approved", "declined", "reversed") else "pending",
        reason=attempt["reason"] if status in ("approved", "declined", "reversed") else _why_pending(status),
        amount_minor=order["amount_minor"] if attempt["amount_minor"] is None else attempt["amount_minor"],
        currency=order["currency"],
        reference=attempt["reference"],
    )


def standing(tx: sqlite3.Connection, box: str, order_id: str, attempt: int) -> PayAnswerBody | None:
    """How an attempt of this box stands, `pending` included; None where there is none."""
    of, found = attempts.order(tx, box, order_id), attempts.row(tx, order_id, attempt)
    return of_attempt(of, found) if of is not None and found is not None else None


def of_refund(tx: sqlite3.Connection, box: str, key: attempts.Key, refund: sqlite3.Row | None) -> PayAnswerBody:
    """How the refund that a box asked for stands; None: there was nothing to give back."""
    said = standing(tx, box, *key) or unknown_order(*key)
    if refund is None:
        return said.model_copy(update={"status": "declined", "reason": AnswerReason.NOTHING_TO_REFUND.value})
    status = {"refunding": "pending", "manual": "pending", "declined": "declined"}.get(refund["status"], "refunded")
    return said.model_copy(
        update={"status": status, "reason": refund["reason"], "reference": refund["reference"] or said.reference}
    )


def unknown_order(order_id: str, attempt: int) -> PayAnswerBody:
    return PayAnswerBody(order_id=order_id, attempt=attempt, status="declined", reason=AnswerReason.UNKNOWN_ORDER.value)


def _why_pending(status: str) -> str:
    return {"reversing": "reversing", "manual": "manual"}.get(status, AnswerReason.IN_PROGRESS.value)

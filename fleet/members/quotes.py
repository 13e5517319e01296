"""What a box is told when it asks what a member would pay."""

from __future__ import annotations

import sqlite3

from fleet.members import book, points
from fleet.money import attempts
from mqtt.schemas import QuoteBody, QuoteLine, QuoteRequestBody


def answer(tx: sqlite3.Connection, box: str, asked: QuoteRequestBody, now: int) -> QuoteBody | None:
    """None: no open order of this box. Who is no member pays the whole, and the box need not wait to learn it."""
    order = attempts.order(tx, box, asked.order_id)
    if order is None or order["status"] != "open":
        return None
    if not book.is_member(tx, asked.payer):
        return QuoteBody(
            order_id=asked.order_id, payer=asked.payer, amount_minor=order["amount_minor"],
            currency=order["currency"], lines=[], points=0, spend_points=asked.spend_points,
            expires_at=now + book.QUOTE_LIFE_S,
        )  # fmt: skip
    quote_id, quote, by_points = book.make_quote(tx, order, asked.payer, now, bool(asked.spend_points))
    return QuoteBody(
        order_id=asked.order_id, payer=asked.payer, quote=quote_id, amount_minor=quote.payable_minor,
        currency=order["currency"],
        lines=[
            QuoteLine(
                title=line.title, off_minor=line.off_minor, reason=line.reason, why=line.why,
                short_minor=line.short_minor,
            )
            for line in quote.lines
        ],
        points=max(0, points.has(tx, asked.payer)), points_off_minor=by_points, spend_points=asked.spend_points,
        expires_at=now + book.QUOTE_LIFE_S,
    )  # fmt: skip

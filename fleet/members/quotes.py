"""What a box is told when it asks what a member would pay."""

from __future__ import annotations

import sqlite3

from fleet import accounts, attempts
from fleet.members import book
from mqtt.schemas import QuoteBody, QuoteLine, QuoteRequestBody


def answer(tx: sqlite3.Connection, box: str, asked: QuoteRequestBody, now: int) -> QuoteBody | None:
    """None: no open order of this box, or no member; the box then asks for the whole amount."""
    order = attempts.order(tx, box, asked.order_id)
    if order is None or order["status"] != "open" or not book.is_member(tx, asked.payer):
        return None
    quote_id, quote = book.make_quote(tx, order, asked.payer, now)
    return QuoteBody(
        order_id=asked.order_id, payer=asked.payer, quote=quote_id, amount_minor=quote.payable_minor,
        currency=order["currency"],
        lines=[
            QuoteLine(title=line.title, off_minor=line.off_minor, reason=line.reason, why=line.why)
            for line in quote.lines
        ],
        points=max(0, accounts.balance(tx, f"points:{asked.payer}", accounts.POINTS)),
        expires_at=now + book.QUOTE_LIFE_S,
    )  # fmt: skip

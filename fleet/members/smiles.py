"""Somebody who has paid has smiled for a coupon: the box sends the label, and gets the offer for its paid screen."""

from __future__ import annotations

import sqlite3

from fleet.members import book, thanks
from fleet.money import attempts
from mqtt.schemas import EventBody, OfferMadeBody

LIFE_S = 60  # then whoever smiled has gone


def answer(tx: sqlite3.Connection, box: str, event: EventBody, now: int) -> OfferMadeBody | None:
    """None: no paid attempt of this box, or no such coupon. Said again, it is the same coupon."""
    attempt = event.data.get("attempt")
    if event.order_id is None or type(attempt) is not int or event.at < now - LIFE_S:
        return None
    order = attempts.order(tx, box, event.order_id)
    row = attempts.row(tx, event.order_id, attempt) if order is not None else None
    if row is None or row["status"] != "approved":
        return None
    book.offer(tx, event.order_id, attempt, now, on="smile")
    offer = thanks.offer_of(tx, event.order_id, attempt)
    return OfferMadeBody(order_id=event.order_id, attempt=attempt, offer=offer) if offer is not None else None

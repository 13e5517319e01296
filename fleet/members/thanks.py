"""What an approval brings its payer beside the goods: a member's points, and the coupon that was issued with it."""

from __future__ import annotations

import sqlite3
from typing import Any

from fleet.members import book
from mqtt.schemas import OfferBody, PointsBody


def of(tx: sqlite3.Connection, order_id: str, attempt: int) -> dict[str, Any]:
    """`offer` and `points` of the answer; empty where there is neither."""
    said: dict[str, Any] = {}
    offer, points = offer_of(tx, order_id, attempt), book.thanks(tx, order_id, attempt)
    if offer is not None:
        said["offer"] = offer
    if points is not None:
        said["points"] = PointsBody(earned=points[0], total=points[1])
    return said


def offer_of(tx: sqlite3.Connection, order_id: str, attempt: int) -> OfferBody | None:
    """The coupon that came with an attempt."""
    offer = book.offered(tx, order_id, attempt)
    if offer is None:
        return None
    return OfferBody(
        code=offer.code, title=offer.title, expires_at=offer.expires_at,
        kind="red_packet" if offer.red_packet else "coupon",
    )  # fmt: skip

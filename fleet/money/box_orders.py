"""Orders that a box makes itself (a clerk's amount, a cart, its till's line): taken into the books, or refused by name.

A box may do so within the limits that an operator gave it, in the currencies named there. Its order's id begins with
the box's own id, so that no box can ever take or spoil another's. What is refused is kept as a cancelled order with
its reason: a pay request for it is then declined, and the operator sees what was tried. One that comes late is taken
all the same: no pay request for it is, but a voucher for what the box accepted while it was cut off may follow.
"""

from __future__ import annotations

import sqlite3
from enum import StrEnum
from typing import TYPE_CHECKING

from fleet.boxes import register as boxes
from fleet.errors import RequestRefused
from fleet.money import tombstones

if TYPE_CHECKING:
    from mqtt.schemas import OrderMadeBody  # slow to import, and most commands don't need it

LONGEST_LIFE_S = 24 * 3600
MOST_AHEAD_S = 60  # a box's clock before ours


class Taken(StrEnum):
    """NEW: a payment of it may come. REFUSED: it is in the books, cancelled. REPEATED: it was there, and is the same.
    CONTRADICTED: one of this id says something else; the first stands. FOREIGN: the id is not one of this box's."""

    NEW = "new"
    REFUSED = "refused"
    REPEATED = "repeated"
    CONTRADICTED = "contradicted"
    FOREIGN = "foreign"


def allow(tx: sqlite3.Connection, box: str, currency: str, up_to_minor: int) -> None:
    """The box may make orders of up to this; given again, the new limit counts, and 0 takes the right away."""
    tx.execute(
        "INSERT INTO box_order_limits (box, currency, up_to_minor) VALUES (?, ?, ?)"
        " ON CONFLICT (box, currency) DO UPDATE SET up_to_minor = excluded.up_to_minor",
        (box, currency, up_to_minor),
    )


def limits(tx: sqlite3.Connection, box: str) -> dict[str, int]:
    """How much an order of this box may be at most, in minor units by currency."""
    rows = tx.execute("SELECT currency, up_to_minor FROM box_order_limits WHERE box = ? AND up_to_minor > 0", (box,))
    return {row[0]: row[1] for row in rows}


def take(tx: sqlite3.Connection, box: str, made: OrderMadeBody, now: int) -> Taken:
    """`box` is whose signature held. Everything in the caller's transaction."""
    if not made.order_id.startswith(f"{box}-"):
        return Taken.FOREIGN
    known = tx.execute("SELECT amount_minor, currency, expires_at FROM orders WHERE order_id = ?", (made.order_id,))
    row = known.fetchone()
    if row is not None:
        same = tuple(row) == (made.amount_minor, made.currency, made.expires_at)
        return Taken.REPEATED if same else Taken.CONTRADICTED
    refusal = _refusal(limits(tx, box), made, now)
    tx.execute(
        "INSERT INTO orders (order_id, box, merchant, amount_minor, currency, title, created_at, expires_at, status,"
        " closed_reason, sent_at, on_box_at)"
        " SELECT ?, id, 'merchant:' || merchant, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM boxes WHERE id = ?",
        (
            made.order_id, made.amount_minor, made.currency, made.title, made.made_at, made.expires_at,
            "cancelled" if refusal else "open", refusal, now, now, box,
        ),
    )  # fmt: skip
    tx.execute(
        "INSERT INTO box_orders (order_id, source, reference, made_at, taken_at) VALUES (?, ?, ?, ?, ?)",
        (made.order_id, made.source, made.reference, made.made_at, now),
    )
    tombstones.lay(tx, made.order_id)
    return Taken.REFUSED if refusal else Taken.NEW


def choose_and_allow(tx: sqlite3.Connection, wanted: str, currency: str, up_to_minor: int) -> str:
    """The same for an operator, who names the box; its id. Raises BoxUnknown, RequestRefused."""
    if up_to_minor < 0:
        raise RequestRefused("allowing a box its own orders", "a limit is never negative")
    box = str(boxes.choose(tx, wanted)["id"])
    allow(tx, box, currency, up_to_minor)
    return box


def origin(tx: sqlite3.Connection, order_id: str) -> dict[str, str | None]:
    """Who made an order: `source` is `fleet`, or the box's `clerk`, `cart` or `till` with the till's own reference."""
    row = tx.execute("SELECT source, reference FROM box_orders WHERE order_id = ?", (order_id,)).fetchone()
    return {"source": row[0], "reference": row[1]} if row else {"source": "fleet", "reference": None}


def _refusal(allowed: dict[str, int], made: OrderMadeBody, now: int) -> str | None:
    if not allowed:
        return "box_makes_no_orders"
    if made.currency not in allowed:
        return "currency_not_allowed"
    if made.amount_minor > allowed[made.currency]:
        return "amount_above_limit"
    if made.expires_at > min(made.made_at, now + MOST_AHEAD_S) + LONGEST_LIFE_S:
        return "lives_too_long"
    return None

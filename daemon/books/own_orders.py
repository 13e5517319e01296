"""Orders that this box makes itself: for its clerk, for a cart, for the till on its line.

Order, its origin and the signed `order.made` are written in one transaction, so that the fleet hears of it before any
pay request for it, whatever happens to the power.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from daemon.books import journal
from daemon.counter.cart import Cart, Line
from daemon.payment.money import Amount
from daemon.payment.order import Order
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.outbox import Priority
from mqtt.schemas import OrderMadeBody

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made

Source = Literal["clerk", "cart", "till", "gate"]
WORD_LIFE_S = 24 * 3600  # of the message; when the order itself ends stands in it, and the gateway holds to that


@dataclass(frozen=True, slots=True)
class Made:
    """`write` belongs into the transaction that stores the order, after its row."""

    order: Order
    write: Callable[[sqlite3.Connection], None]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an order came from. `lines` are the goods of a cart, as `lines_of` gives them."""

    order_id: str
    source: Source
    reference: str | None
    lines: tuple[dict[str, Any], ...]


def create_schema(database: sqlite_utils.Database) -> None:
    table = database.table("own_orders")
    table.create(
        {"order_id": str, "source": str, "reference": str, "lines": str, "made_at": int},
        pk="order_id", foreign_keys=[("order_id", "orders", "order_id")], not_null={"source", "made_at"},
        if_not_exists=True,
    )  # fmt: skip
    table.create_index(["reference"], unique=True, if_not_exists=True)  # NULLs are no duplicates


def origin_of(connection: sqlite3.Connection, order_id: str) -> Origin | None:
    """None for an order that the fleet sent."""
    return _origin(connection.execute("SELECT * FROM own_orders WHERE order_id = ?", (order_id,)).fetchone())


def by_reference(connection: sqlite3.Connection, reference: str) -> Origin | None:
    """The order that a till knows by this name."""
    return _origin(connection.execute("SELECT * FROM own_orders WHERE reference = ?", (reference,)).fetchone())


def body_of(connection: sqlite3.Connection, order_id: str) -> OrderMadeBody | None:
    """What the fleet was told of an order, to be told again; None for an order that is the fleet's own."""
    row = connection.execute(
        "SELECT o.order_id, o.amount_minor, o.currency, o.title, w.source, w.reference, w.made_at, o.expires_at"
        " FROM own_orders w JOIN orders o USING (order_id) WHERE w.order_id = ?",
        (order_id,),
    ).fetchone()
    return OrderMadeBody(**dict(row)) if row is not None else None


class OwnOrders:
    """Makes them. `life_s` is how long a payer may take, from the making to the pay request."""

    def __init__(self, link: FleetLink, clock: TrustedClock, life_s: float) -> None:
        self._link, self._clock, self._life_s = link, clock, life_s

    def make(
        self, amount: Amount, source: Source, *, title: str | None = None, reference: str | None = None,
        cart: Cart | None = None, life_s: float | None = None,
    ) -> Made | None:  # fmt: skip
        """None while the box has no trusted time: nobody could tell when the order ends."""
        if not self._clock.trusted:
            return None
        wall, life = self._clock.now(), round(life_s or self._life_s)
        body = OrderMadeBody(
            order_id=f"{self._link.box_id}-{wall}-{secrets.token_hex(6)}", amount_minor=amount.minor,
            currency=amount.currency, title=title, source=source, reference=reference, made_at=wall,
            expires_at=wall + life,
        )  # fmt: skip
        lines = json.dumps(lines_of(cart), ensure_ascii=False) if cart is not None else None

        def write(tx: sqlite3.Connection) -> None:
            tx.execute(
                "INSERT INTO own_orders (order_id, source, reference, lines, made_at) VALUES (?, ?, ?, ?, ?)",
                (body.order_id, source, reference, lines, wall),
            )
            journal.append(tx, "order_made", {"order_id": body.order_id, "source": source}, wall)
            self._link.put(tx, "order.made", body, WORD_LIFE_S, Priority.MONEY)

        return Made(Order(body.order_id, amount, title, time.monotonic() + life), write)


def lines_of(cart: Cart) -> list[dict[str, Any]]:
    """What a receipt needs of a cart, in the words of JSON; every sum in minor units."""
    return [_goods(line) for line in cart.lines]


def _goods(line: Line) -> dict[str, Any]:
    return {
        "name": line.item.name,
        "quantity": line.quantity,
        "grams": line.grams,
        "by_label": line.label_minor is not None,
        "price_minor": line.item.price_minor,
        "tax_bp": line.item.tax_bp,
        "tax_minor": line.tax_minor,
        "total_minor": line.total_minor,
    }


def _origin(row: sqlite3.Row | None) -> Origin | None:
    if row is None:
        return None
    return Origin(row["order_id"], row["source"], row["reference"], tuple(json.loads(row["lines"] or "[]")))

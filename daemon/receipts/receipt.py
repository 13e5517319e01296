"""What stands on a receipt, read from the rows of the payment itself. No payer, no factor, no score ever comes here."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from dataclasses import dataclass

from daemon.books import own_orders, receipt_numbers
from daemon.counter.rounding import half_up
from daemon.payment.status import RELEASES_GOODS, Status
from daemon.receipts.errors import ReceiptRefused

CODE = "kingfisher:1?"


@dataclass(frozen=True, slots=True)
class Line:
    """`quantity` pieces at `price_minor`, or `grams` at `price_minor` a kilogram, or a label's price (`grams` None)."""

    name: str
    quantity: int
    grams: int | None
    by_label: bool
    price_minor: int
    total_minor: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """A sale that was paid. `taxes`: (rate in basis points, tax in minor units), lowest rate first. `at`: unix seconds.
    Of what the goods cost coupons and points have taken `off_minor`, and of each tax in proportion, rounded half up.
    `offline`: the box accepted it, the gateway has not booked it yet."""

    shop: str
    box: str
    order_id: str
    at: int
    amount_minor: int
    currency: str
    title: str | None
    reference: str | None
    till_reference: str | None
    number: str | None = None  # short, to be typed: daemon/books/receipt_numbers.py
    lines: tuple[Line, ...] = ()
    taxes: tuple[tuple[int, int], ...] = ()
    offline: bool = False
    off_minor: int = 0

    @property
    def qr_text(self) -> str:
        """What a clerk's scanner needs to find the sale again."""
        parts = {"o": self.order_id, "a": str(self.amount_minor), "c": self.currency, "t": str(self.at)}
        if self.reference:
            parts["r"] = self.reference
        return CODE + "&".join(f"{name}={value}" for name, value in parts.items())


def order_in_code(text: str) -> str | None:
    """The order that a receipt's QR code names; None for any other code."""
    if not text.startswith(CODE) or len(text) > 512:
        return None
    return dict(part.partition("=")[::2] for part in text.removeprefix(CODE).split("&")).get("o") or None


def of(connection: sqlite3.Connection, order_id: str, shop: str, box_id: str) -> Receipt:
    """The receipt of an order that was paid.

    Raises:
        ReceiptRefused: for an order that is unknown or not paid, or whose lines do not sum up to what was paid.
    """
    order = connection.execute("SELECT * FROM orders WHERE order_id = ?", (order_id,)).fetchone()
    if order is None:
        raise ReceiptRefused(order_id, "this box never had it")
    marks = ",".join("?" * len(RELEASES_GOODS))
    paid = connection.execute(
        f"SELECT status, reference, changed_at, amount_minor FROM attempts WHERE order_id = ? AND status IN ({marks})",
        (order_id, *RELEASES_GOODS),
    ).fetchone()
    if paid is None:
        raise ReceiptRefused(order_id, f"it was not paid ({order['status']})")
    origin = own_orders.origin_of(connection, order_id)
    goods = origin.lines if origin else ()
    lines = tuple(
        Line(g["name"], g["quantity"], g["grams"], g["by_label"], g["price_minor"], g["total_minor"]) for g in goods
    )
    if lines and sum(line.total_minor for line in lines) != order["amount_minor"]:
        raise ReceiptRefused(order_id, "its lines do not sum up to what was paid")
    taxes: defaultdict[int, int] = defaultdict(int)
    for item in goods:
        taxes[item["tax_bp"]] += item["tax_minor"]
    return Receipt(
        shop=shop, box=box_id, order_id=order_id, at=paid["changed_at"], amount_minor=paid["amount_minor"],
        off_minor=order["amount_minor"] - paid["amount_minor"],
        currency=order["currency"], title=order["title"], reference=paid["reference"],
        till_reference=origin.reference if origin else None, number=receipt_numbers.of(connection, order_id),
        lines=lines,
        taxes=tuple(
            sorted((rate, _part(tax, paid, order)) for rate, tax in taxes.items() if rate)
        ),
        offline=Status(paid["status"]) is Status.ACCEPTED_OFFLINE,
    )  # fmt: skip


def _part(tax_minor: int, paid: sqlite3.Row, order: sqlite3.Row) -> int:
    """Of a tax, as much as was paid of the order."""
    return half_up(tax_minor * paid["amount_minor"], order["amount_minor"])

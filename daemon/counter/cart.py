"""What a customer wants to buy: lines with exact totals and their tax. Pure; every change makes a new Cart.

Each line is rounded on its own (half up, `rounding`), so that the sum of what is printed is the sum that is paid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.counter import rounding
from daemon.counter.catalogue import Found, Item
from daemon.counter.errors import CartRefused

MAX_LINES = 99
MAX_QUANTITY = 9999


@dataclass(frozen=True, slots=True)
class Line:
    """`quantity` pieces, or one label from a scale that says `grams` or `label_minor` (its price)."""

    item: Item
    tax_included: bool
    quantity: int = 1
    grams: int | None = None
    label_minor: int | None = None

    @property
    def weighed(self) -> bool:
        """Whether a scale's label says how much it is: then nobody types a quantity."""
        return self.grams is not None or self.label_minor is not None

    @property
    def listed_minor(self) -> int:
        """At the catalogue's price, with or without tax as the catalogue has it."""
        if self.label_minor is not None:
            return self.label_minor
        if self.grams is not None:
            return rounding.by_weight(self.item.price_minor, self.grams)
        return self.item.price_minor * self.quantity

    @property
    def tax_minor(self) -> int:
        rate = self.item.tax_bp
        return (
            rounding.tax_in(self.listed_minor, rate) if self.tax_included else rounding.tax_on(self.listed_minor, rate)
        )

    @property
    def total_minor(self) -> int:
        """What the customer pays for it, tax and all."""
        return self.listed_minor if self.tax_included else self.listed_minor + self.tax_minor


@dataclass(frozen=True, slots=True)
class Cart:
    """`currency` and `limit_minor` (the most an order may be) are those of the box."""

    currency: str
    limit_minor: int
    lines: tuple[Line, ...] = ()

    @property
    def total_minor(self) -> int:
        return sum(line.total_minor for line in self.lines)

    @property
    def tax_minor(self) -> int:
        return sum(line.tax_minor for line in self.lines)

    def place_of(self, item: Item) -> int | None:
        """Where pieces of this item stand already."""
        places = [n for n, line in enumerate(self.lines) if line.item.code == item.code and not line.weighed]
        return places[0] if places else None


def add(cart: Cart, found: Found, tax_included: bool) -> tuple[Cart, int]:
    """(the cart with one more of it, which line that is). Pieces of one item share a line; each label has its own.

    Raises:
        CartRefused: `too_many_lines`, `too_many`, `above_limit`.
    """
    weighed = found.weighed
    at = cart.place_of(found.item) if weighed is None else None
    if at is not None:
        return set_quantity(cart, at, cart.lines[at].quantity + 1), at
    if len(cart.lines) >= MAX_LINES:
        raise CartRefused("too_many_lines")
    line = Line(found.item, tax_included)
    if weighed is not None:
        line = replace(line, grams=weighed.grams, label_minor=weighed.minor)
    return _within_limit(replace(cart, lines=(*cart.lines, line))), len(cart.lines)


def set_quantity(cart: Cart, place: int, quantity: int) -> Cart:
    """Nought removes the line. Raises CartRefused: `weighed`, `too_many`, `above_limit`."""
    line = cart.lines[place]
    if quantity == 0:
        return remove(cart, place)
    if line.weighed:
        raise CartRefused("weighed")
    if quantity > MAX_QUANTITY:
        raise CartRefused("too_many")
    lines = (*cart.lines[:place], replace(line, quantity=quantity), *cart.lines[place + 1 :])
    return _within_limit(replace(cart, lines=lines))


def remove(cart: Cart, place: int) -> Cart:
    return replace(cart, lines=(*cart.lines[:place], *cart.lines[place + 1 :]))


def _within_limit(cart: Cart) -> Cart:
    if cart.total_minor > cart.limit_minor:
        raise CartRefused("above_limit")
    return cart

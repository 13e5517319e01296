"""The clerk's own till: an amount typed, goods in a cart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EnterAmount:
    """The clerk types an amount at the box itself. `typed_minor` is what the keys amount to so far, `typed` the keys as
    they are ("18."), None where only the sum is known. `note` is a ClerkNote, `note_about` what stands after it."""

    typed_minor: int
    currency: str
    typed: str | None = None
    note: str | None = None
    note_about: str = ""


@dataclass(frozen=True, slots=True)
class CartRow:
    """Not a view: one line of a cart. `quantity` as it is shown: "× 2", "0.452 kg", or nothing."""

    name: str
    quantity: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Cart:
    """Goods that were scanned. Keys act on the row `marked`; `typed_quantity` is being typed for it."""

    rows: tuple[CartRow, ...]
    currency: str
    total_minor: int
    tax_minor: int = 0
    pieces: int = 0
    marked: int = 0
    typed_quantity: str = ""
    note: str | None = None
    note_about: str = ""


@dataclass(frozen=True, slots=True)
class AskEmptyCart:
    """Whether a cart with goods in it is really to be emptied."""

    amount_minor: int
    currency: str

"""What the display shows while the clerk works: a pure translation into the screen's views."""

from __future__ import annotations

from daemon.counter import machine
from daemon.counter.cart import Line
from daemon.screen import money, views


def view_of(state: machine.State) -> views.View | None:
    """None while nobody works at the counter."""
    match state:
        case machine.Typing(typed, note=note):
            limit = money.amount(typed.limit_minor, typed.currency)
            return views.EnterAmount(typed.minor, typed.currency, typed.text, *_note(note, limit))
        case machine.Scanning(cart, emptying=True):
            return views.AskEmptyCart(cart.total_minor, cart.currency)
        case machine.Scanning(cart, marked=marked, quantity=quantity, note=note):
            rows = tuple(views.CartRow(line.item.name, quantity_of(line), line.total_minor) for line in cart.lines)
            pieces = sum(line.quantity for line in cart.lines)
            limit = money.amount(cart.limit_minor, cart.currency)
            return views.Cart(
                rows, cart.currency, cart.total_minor, cart.tax_minor, pieces, marked, quantity, *_note(note, limit)
            )
        case machine.Closed():
            return None


def quantity_of(line: Line) -> str:
    """How much of it, as it stands in a cart's row."""
    if line.grams is not None:
        return kilograms(line.grams)
    return f"× {line.quantity}" if line.quantity > 1 else ""


def kilograms(grams: int) -> str:
    """`452` -> "0.452 kg"."""
    return f"{grams // 1000}.{grams % 1000:03} kg"


def _note(note: machine.Note | None, limit: str) -> tuple[str | None, str]:
    if note is None:
        return None, ""
    return note.reason, limit if note.reason == "above_limit" else note.what

"""The clerk's side as one pure function: `step(state, event, now) -> (state, effects)`. Reads no clock, does no I/O.

Keys in a cart: digits and OK set the quantity of the marked line, dot marks the next one, back removes the marked one,
OK asks for payment, cancel empties the cart (and asks once more). The counter is the clerk's from the first key or scan
until the order is made, cancelled or forgotten for `idle_s`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import assert_never

from daemon.counter import amount_entry, cart
from daemon.counter.amount_entry import DIGITS, Typed
from daemon.counter.cart import Cart
from daemon.counter.catalogue import Catalogue
from daemon.counter.errors import BarcodeRefused, CartRefused
from daemon.payment.money import Amount


@dataclass(frozen=True, slots=True)
class Rules:
    """`clerk_amounts`: whether amounts may be typed here. Scanning needs a catalogue. Times in seconds."""

    currency: str
    limit_minor: int
    clerk_amounts: bool = False
    catalogue: Catalogue | None = field(default=None, repr=False)
    idle_s: float = 60.0
    note_s: float = 4.0


# ---- where the clerk stands -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Closed:
    """Nobody works at the counter."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something the clerk should know, shown until `until_s`. `what` is a code or a sum, shown as it is."""

    reason: str
    until_s: float
    what: str = ""


@dataclass(frozen=True, slots=True)
class Typing:
    typed: Typed
    until_s: float
    note: Note | None = None


@dataclass(frozen=True, slots=True)
class Scanning:
    """`marked` is the line that keys act on; `quantity` is what is being typed for it."""

    cart: Cart
    until_s: float
    marked: int = 0
    quantity: str = ""
    note: Note | None = None
    emptying: bool = False


State = Closed | Typing | Scanning


# ---- what happens, and what comes of it -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """`0`..`9`, `dot`, `back`, `ok`, `cancel`; others are ignored."""

    key: str


@dataclass(frozen=True, slots=True)
class Scanned:
    text: str


@dataclass(frozen=True, slots=True)
class OrderMade:
    """The order of `MakeOrder` is on its way to disk."""


@dataclass(frozen=True, slots=True)
class OrderRefused:
    """It can't be made now; what was typed stays. `reason`: `no_clock`, `busy`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline of `next_deadline` has passed."""


Event = Key | Scanned | OrderMade | OrderRefused | Tick


@dataclass(frozen=True, slots=True)
class TakeCounter:
    """Display and keypad are the clerk's: orders wait."""


@dataclass(frozen=True, slots=True)
class FreeCounter:
    """They are the payment's again."""


@dataclass(frozen=True, slots=True)
class MakeOrder:
    """Answered by `OrderMade` or `OrderRefused`. `cart` is None for an amount that was typed."""

    amount: Amount
    cart: Cart | None = None


Effect = TakeCounter | FreeCounter | MakeOrder
Result = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, rules: Rules, now: float) -> Result:
    """What `event` changes; an event that does not fit changes nothing."""
    match event:
        case Key(key):
            return _key(state, key, rules, now)
        case Scanned(text):
            return _scanned(state, text, rules, now)
        case OrderMade():
            return (state, ()) if isinstance(state, Closed) else (Closed(), (FreeCounter(),))
        case OrderRefused(reason):
            if isinstance(state, Closed):
                return state, ()
            return replace(state, note=Note(reason, now + rules.note_s)), ()
        case Tick():
            return _tick(state, now)
        case _:
            assert_never(event)


def next_deadline(state: State) -> float | None:
    """When a `Tick` is wanted, in monotonic seconds."""
    if isinstance(state, Closed):
        return None
    return min(state.until_s, state.note.until_s) if state.note else state.until_s


def _tick(state: State, now: float) -> Result:
    if isinstance(state, Closed):
        return state, ()
    if state.until_s <= now:
        return Closed(), (FreeCounter(),)
    if state.note is not None and state.note.until_s <= now:
        state = replace(state, note=None)
    return state, ()


def _key(state: State, key: str, rules: Rules, now: float) -> Result:
    match state:
        case Closed():
            if not rules.clerk_amounts or not (key == "dot" or key in DIGITS):
                return state, ()
            typed = Typed(rules.currency, rules.limit_minor)
            return _typed(Typing(typed, now), key, rules, now)[0], (TakeCounter(),)
        case Typing():
            return _typed(state, key, rules, now)
        case Scanning():
            return _in_cart(replace(state, until_s=now + rules.idle_s, note=None), key, rules, now)
        case _:
            assert_never(state)


# ---- an amount ------------------------------------------------------------------------------------------------------


def _typed(state: Typing, key: str, rules: Rules, now: float) -> Result:
    state = replace(state, until_s=now + rules.idle_s, note=None)
    match key:
        case "cancel":
            return Closed(), (FreeCounter(),)
        case "ok" if state.typed.minor == 0:
            return replace(state, note=Note("zero", now + rules.note_s)), ()
        case "ok":
            return state, (MakeOrder(Amount(state.typed.minor, rules.currency)),)
        case "back" if not state.typed.text:
            return Closed(), (FreeCounter(),)
        case _:
            pressed = amount_entry.press(state.typed, key)
            note = Note(pressed.note, now + rules.note_s) if pressed.note else None
            return replace(state, typed=pressed.typed, note=note), ()


# ---- a cart ---------------------------------------------------------------------------------------------------------


def _scanned(state: State, text: str, rules: Rules, now: float) -> Result:
    """A scan while an amount is being typed begins a cart: the amount had not been asked for yet."""
    effects = (TakeCounter(),) if isinstance(state, Closed) else ()
    before = state if isinstance(state, Scanning) else Scanning(Cart(rules.currency, rules.limit_minor), now)
    after = replace(before, until_s=now + rules.idle_s, quantity="", emptying=False, note=None)
    if rules.catalogue is None:
        return (replace(after, note=Note("no_catalogue", now + rules.note_s)), effects)
    try:
        if rules.catalogue.currency != rules.currency:
            raise CartRefused("no_catalogue")
        content, marked = cart.add(after.cart, rules.catalogue.find(text), rules.catalogue.tax_included)
    except BarcodeRefused as refused:
        return replace(after, note=Note(refused.reason, now + rules.note_s, refused.code)), effects
    except CartRefused as refused:
        return replace(after, note=Note(refused.reason, now + rules.note_s)), effects
    return replace(after, cart=content, marked=marked), effects


def _in_cart(state: Scanning, key: str, rules: Rules, now: float) -> Result:
    if state.emptying:
        return (Closed(), (FreeCounter(),)) if key == "ok" else (replace(state, emptying=False), ())
    if state.quantity:
        return _quantity(state, key, rules, now), ()
    lines = state.cart.lines
    match key:
        case "cancel" if not lines:
            return Closed(), (FreeCounter(),)
        case "cancel":
            return replace(state, emptying=True), ()
        case "ok" if not lines:
            return replace(state, note=Note("empty", now + rules.note_s)), ()
        case "ok":
            return state, (MakeOrder(Amount(state.cart.total_minor, state.cart.currency), state.cart),)
        case "dot" if lines:
            return replace(state, marked=(state.marked + 1) % len(lines)), ()
        case "back" if lines:
            shorter = cart.remove(state.cart, state.marked)
            return replace(state, cart=shorter, marked=max(0, min(state.marked, len(shorter.lines) - 1))), ()
        case _ if key in DIGITS and len(key) == 1 and lines:
            return _quantity(state, key, rules, now), ()
        case _:
            return state, ()


def _quantity(state: Scanning, key: str, rules: Rules, now: float) -> Scanning:
    """A quantity is typed for the marked line: OK takes it, cancel leaves it as it was, nought removes the line."""
    match key:
        case "cancel":
            return replace(state, quantity="")
        case "back":
            return replace(state, quantity=state.quantity[:-1])
        case "ok":
            done = replace(state, quantity="")
            try:
                content = cart.set_quantity(state.cart, state.marked, int(state.quantity))
            except CartRefused as refused:
                return replace(done, note=Note(refused.reason, now + rules.note_s))
            return replace(done, cart=content, marked=max(0, min(state.marked, len(content.lines) - 1)))
        case _ if len(key) == 1 and key in DIGITS and len(state.quantity) < 4:
            if state.cart.lines[state.marked].weighed and key != "0":
                return replace(state, note=Note("weighed", now + rules.note_s))
            return replace(state, quantity=state.quantity + key)
        case _:
            return state

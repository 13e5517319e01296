"""A clerk takes a sale back: `step(state, event, rules, now) -> (state, effects)`. Reads no clock, does no I/O.

The PIN comes first, before any sale is shown; then the receipt's number (typed, or its QR code scanned); then the sale
with its amount, and OK. A sale that was paid is refunded whole, one that waits for its payer is cancelled. The till may
ask for it as well: it names the sale, and the PIN is still typed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import assert_never

from daemon.payment.money import Amount

CLERK = "clerk"
DIGITS = "0123456789"
PIN_LENGTH = (6, 12)
NUMBER_LONGEST = 12


class Standing(StrEnum):
    """What can be done about a sale: paid is refunded, waiting is cancelled; the others are said."""

    PAID = "paid"
    WAITING = "waiting"
    PAYING = "paying"
    BACK = "back"
    UNPAID = "unpaid"


@dataclass(frozen=True, slots=True)
class Sale:
    """`number` is what stands on the receipt; `today`: it was paid on this day of the box's clock."""

    order_id: str
    number: str
    amount: Amount
    standing: Standing
    today: bool = True


@dataclass(frozen=True, slots=True)
class Rules:
    """What a clerk may refund: of sales up to `up_to_minor` (0: none), and only of the same day unless `any_day`. A
    technician has no such limits. Times in seconds."""

    up_to_minor: int = 0
    any_day: bool = False
    idle_s: float = 60.0
    show_s: float = 4.0


# ---- where it stands ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Closed:
    """Nobody takes anything back."""


@dataclass(frozen=True, slots=True)
class AskPin:
    """`sale` is the one that the till named, if it did. `check` tells the answers to different tries apart."""

    until_s: float
    sale: Sale | None = None
    typed: str = field(default="", repr=False)
    wrong_tries_left: int | None = None
    checking: bool = False
    check: int = 0


@dataclass(frozen=True, slots=True)
class AskNumber:
    role: str
    until_s: float
    typed: str = ""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Confirm:
    role: str
    sale: Sale
    until_s: float


@dataclass(frozen=True, slots=True)
class Told:
    """`word` is `refunding`, `cancelled`, or why not; `locked` after too many wrong PINs."""

    word: str
    until_s: float
    sale: Sale | None = None


State = Closed | AskPin | AskNumber | Confirm | Told


# ---- what happens, and what comes of it -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """The menu key on the idle screen, or the till, which names the `sale`."""

    sale: Sale | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """`0`..`9`, `back`, `ok`, `cancel`; others are ignored."""

    key: str


@dataclass(frozen=True, slots=True)
class PinChecked:
    """`role` is whose PIN it was, None when nobody's; `left` counts the tries after this one."""

    check: int
    role: str | None
    left: int = 0


@dataclass(frozen=True, slots=True)
class SaleFound:
    """None: no sale of this box has the number."""

    sale: Sale | None


@dataclass(frozen=True, slots=True)
class Done:
    """The payment's word on `TakeBack`."""

    word: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A deadline of `next_deadline` has passed."""


Event = Begin | Key | PinChecked | SaleFound | Done | Tick


@dataclass(frozen=True, slots=True)
class TakeCounter:
    """Display and keypad are the clerk's: orders wait."""


@dataclass(frozen=True, slots=True)
class FreeCounter:
    """They are the payment's again."""


@dataclass(frozen=True, slots=True)
class CheckPin:
    """Answered by `PinChecked`."""

    check: int
    pin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FindSale:
    """Answered by `SaleFound`."""

    number: str


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Refund or cancel it, on the authority of `role`. Answered by `Done`."""

    sale: Sale
    role: str


Effect = TakeCounter | FreeCounter | CheckPin | FindSale | TakeBack
Result = tuple[State, tuple[Effect, ...]]


def step(state: State, event: Event, rules: Rules, now: float) -> Result:
    """What `event` changes; an event that does not fit changes nothing."""
    match state, event:
        case Closed(), Begin(sale):
            return AskPin(now + rules.idle_s, sale), (TakeCounter(),)
        case Closed(), _:
            return state, ()
        case _, Key("cancel"):
            return Closed(), (FreeCounter(),)
        case _, Tick():
            return (Closed(), (FreeCounter(),)) if state.until_s <= now else (state, ())
        case AskPin(), Key(key) if not state.checking:
            return _pin_key(replace(state, until_s=now + rules.idle_s), key)
        case AskPin(checking=True), PinChecked() if event.check == state.check:
            return _pin_checked(state, event, rules, now)
        case AskNumber(), Key(key):
            return _number_key(replace(state, until_s=now + rules.idle_s, note=None), key)
        case AskNumber(), SaleFound(sale):
            if sale is None:
                return replace(state, typed="", note="no_such_sale"), ()
            return _shown(state.role, sale, rules, now), ()
        case Confirm(), Key("ok"):
            return state, (TakeBack(state.sale, state.role),)
        case Confirm(), Done(word):
            return Told(word, now + rules.show_s, state.sale), ()
        case Told(), Key("ok"):
            return Closed(), (FreeCounter(),)
        case _:
            return state, ()


def next_deadline(state: State) -> float | None:
    """When a `Tick` is wanted, in monotonic seconds."""
    return None if isinstance(state, Closed) else state.until_s


def refusal(role: str, sale: Sale, rules: Rules) -> str | None:
    """Why this sale can't be taken back on this authority; None: it can."""
    match sale.standing:
        case Standing.WAITING:
            return None
        case Standing.PAYING | Standing.BACK | Standing.UNPAID as standing:
            return f"sale_{standing.value}"
        case Standing.PAID if role != CLERK:
            return None
        case Standing.PAID:
            if sale.amount.minor > rules.up_to_minor:
                return "above_clerks_limit"
            return None if sale.today or rules.any_day else "not_today"
        case _:
            assert_never(sale.standing)


def _shown(role: str, sale: Sale, rules: Rules, now: float) -> State:
    why_not = refusal(role, sale, rules)
    if why_not is not None:
        return Told(why_not, now + rules.show_s, sale)
    return Confirm(role, sale, now + rules.idle_s)


def _pin_key(state: AskPin, key: str) -> Result:
    if key == "ok" and len(state.typed) >= PIN_LENGTH[0]:
        check = state.check + 1
        return replace(state, typed="", checking=True, check=check), (CheckPin(check, state.typed),)
    if key == "back":
        return replace(state, typed=state.typed[:-1]), ()
    if len(key) == 1 and key in DIGITS and len(state.typed) < PIN_LENGTH[1]:
        return replace(state, typed=state.typed + key), ()
    return state, ()


def _pin_checked(state: AskPin, event: PinChecked, rules: Rules, now: float) -> Result:
    if event.role is None and event.left == 0:
        return Told("locked", now + rules.show_s), ()
    if event.role is None:
        return replace(state, checking=False, wrong_tries_left=event.left, until_s=now + rules.idle_s), ()
    if state.sale is not None:
        return _shown(event.role, state.sale, rules, now), ()
    return AskNumber(event.role, now + rules.idle_s), ()


def _number_key(state: AskNumber, key: str) -> Result:
    if key == "ok" and state.typed:
        return state, (FindSale(state.typed),)
    if key == "back":
        return replace(state, typed=state.typed[:-1]), ()
    if len(key) == 1 and key in DIGITS and len(state.typed) < NUMBER_LONGEST:
        return replace(state, typed=state.typed + key), ()
    return state, ()

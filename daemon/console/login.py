"""Who may use the console: a technician with a log-in ticket of this box's fleet, or with the box's offline PIN."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from daemon.console.guest_book import GuestBook
from daemon.console.place import Place
from mqtt import provisioning
from mqtt.armour import unarmour
from mqtt.errors import EnvelopeRefused, MqttError, RefusalReason

BY_PIN = "pin"

_TICKET = re.compile(r"[A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]{8,}(\.[A-Za-z0-9_=-]*)?")
# A PIN, also with a letter too many; a number of a card or a phone. The time in an order's id stays.
_DIGITS = re.compile(r"\b[0-9]{4,}\b|(?<![0-9])(?<!\bo)[0-9]{6,}")
_LONG = re.compile(r"[A-Za-z0-9_/+=-]{32,}")
_BLOCK = re.compile(r"-----(BEGIN|END)[A-Z ]*-----.*")


@dataclass(frozen=True, slots=True)
class Welcome:
    """`who` goes into the journal beside everything that is typed."""

    who: str


@dataclass(frozen=True, slots=True)
class Denied:
    """`why` is said to whoever tried; it never tells more than they know."""

    why: str


def log_in(text: str, place: Place, book: GuestBook, now: Callable[[], int], trusted: bool) -> Welcome | Denied:
    """`text` is what was typed or pasted. `now` gives unix seconds; without a `trusted` clock only the PIN counts."""
    if provisioning.PIN.fullmatch(text.strip()):
        return _by_pin(text.strip(), place, book, now())
    if "." in text or "BEGIN" in text:
        return _by_ticket(text, place, book, now, trusted)
    return Denied("that is neither a ticket nor a PIN")


def masked(line: str) -> str:
    """A typed line as it may be journaled: what could be a ticket, a key or a PIN is left out."""
    line = _BLOCK.sub("<block>", line)
    line = _TICKET.sub("<ticket>", line)
    line = _LONG.sub("<long>", line)
    return _DIGITS.sub("<digits>", line)[:240]


def _by_pin(pin: str, place: Place, book: GuestBook, now: int) -> Welcome | Denied:
    if place.pin_hash is None:
        return Denied("this box has no PIN: use a ticket")
    counted = book.count_try(now)
    if counted is None:
        return Denied("no PIN can be tried now: the try can't be counted (disk full?); use a ticket")
    if not counted.allowed:
        return Denied(f"too many wrong PINs: locked for {_minutes(counted.locked_until - now)}; a ticket works")
    if provisioning.pin_fits(pin, place.pin_hash):
        book.clear_tries()
        return Welcome(BY_PIN)
    if counted.left:
        return Denied(f"wrong PIN; {counted.left} {'try' if counted.left == 1 else 'tries'} left")
    return Denied(f"wrong PIN: locked for {_minutes(counted.locked_until - now)}; a ticket works")


def _by_ticket(text: str, place: Place, book: GuestBook, now: Callable[[], int], trusted: bool) -> Welcome | Denied:
    if place.fleet_key is None or place.box_id is None:
        return Denied("this box does not know its fleet's key: no ticket can be checked")
    if not trusted:
        return Denied("this box does not know the time, so no ticket can be believed: use the PIN")
    try:
        claims, who = provisioning.open_login(unarmour("LOGIN", text), place.fleet_key, place.box_id, now)
    except EnvelopeRefused as error:
        return Denied(_TICKET_SAID.get(error.reason, "this is no log-in ticket for this box"))
    except MqttError as error:
        return Denied(error.why)
    if not book.use_ticket(claims.jti, claims.exp, now()):
        return Denied("this ticket was used before")
    return Welcome(who)


_TICKET_SAID = {
    RefusalReason.EXPIRED: "this ticket has expired",
    RefusalReason.WRONG_AUDIENCE: "this ticket is for another box",
    RefusalReason.BAD_SIGNATURE: "this ticket is badly signed",
    RefusalReason.UNKNOWN_KEY: "this ticket is not by this box's fleet",
    RefusalReason.NOT_YET_VALID: "this ticket is of the future: compare the clocks",
}


def _minutes(seconds: int) -> str:
    return f"{max(1, round(seconds / 60))} min"

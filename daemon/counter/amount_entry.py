"""An amount as it grows under a clerk's fingers: text in, text out, and the minor units that it stands for. Pure.

What is typed is read as it is written on a price tag: `18` is 18 yuan, `18.5` is 18.50; a currency without decimals has
no point. No float is ever made of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.payment.money import decimals

DIGITS = "0123456789"


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands on the display so far. `limit_minor` is the most that may be typed, in minor units."""

    currency: str
    limit_minor: int
    text: str = ""

    @property
    def minor(self) -> int:
        """What the keys amount to so far, in minor units; 0 while nothing is typed."""
        return to_minor(self.text, self.currency)


@dataclass(frozen=True, slots=True)
class Pressed:
    """`typed` after the key. `note` says why nothing changed: `above_limit`, `no_decimals`, `all_decimals`, or None."""

    typed: Typed
    note: str | None = None


def to_minor(text: str, currency: str) -> int:
    """`"18.5"` -> 1850 for CNY. For text that `press` made; anything else is `daemon.payment.money.parse`'s."""
    whole, _, fraction = text.partition(".")
    return int((whole or "0") + fraction.ljust(decimals(currency), "0"))


def press(typed: Typed, key: str) -> Pressed:
    """The amount after one more key: a digit, `dot` or `back`; other keys change nothing."""
    text, places = typed.text, decimals(typed.currency)
    if key == "back":
        return Pressed(replace(typed, text="" if text == "0." else text[:-1]))
    if key == "dot":
        if places == 0:
            return Pressed(typed, "no_decimals")
        return Pressed(typed if "." in text else replace(typed, text=(text or "0") + "."))
    if len(key) != 1 or key not in DIGITS:
        return Pressed(typed)
    if "." in text and len(text.partition(".")[2]) >= places:
        return Pressed(typed, "all_decimals")
    longer = replace(typed, text=key if text == "0" else text + key)
    return Pressed(typed, "above_limit") if longer.minor > typed.limit_minor else Pressed(longer)

"""Amounts: integers in the currency's minor unit, with an ISO 4217 code. No float ever holds money."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_MINOR = 10**12

# ISO 4217: code -> (digits after the decimal point, symbol)
CURRENCIES: dict[str, tuple[int, str]] = {
    "CNY": (2, "¥"),
    "HKD": (2, "HK$"),
    "MOP": (2, "MOP$"),
    "TWD": (2, "NT$"),
    "USD": (2, "$"),
    "EUR": (2, "€"),
    "GBP": (2, "£"),
    "SGD": (2, "S$"),
    "THB": (2, "฿"),
    "MYR": (2, "RM"),
    "JPY": (0, "¥"),
    "KRW": (0, "₩"),
    "VND": (0, "₫"),
    "KWD": (3, "KD "),
    "BHD": (3, "BD "),
}

_DECIMAL = re.compile(r"(0|[1-9][0-9]*)(?:\.([0-9]+))?", re.ASCII)


class AmountRefused(ValueError):
    """An amount that is no exact, positive sum of a known currency."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A positive sum of money.

    Raises:
        AmountRefused: for anything but 1..10**12 whole minor units of a known currency.
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int:
            raise AmountRefused(f"an amount is a whole number of minor units, not {self.minor!r}")
        if self.currency not in CURRENCIES:
            raise AmountRefused(f"currency {self.currency!r} is not known; known are {', '.join(sorted(CURRENCIES))}")
        if not 0 < self.minor <= MAX_MINOR:
            raise AmountRefused(f"an amount lies between 1 and {MAX_MINOR} minor units, not {self.minor}")

    def __str__(self) -> str:
        return format_amount(self.minor, self.currency)


def decimals(currency: str) -> int:
    """Digits after the decimal point of an ISO 4217 currency."""
    return CURRENCIES[currency][0]


def format_amount(minor: int, currency: str) -> str:
    """`1850, "CNY"` -> `¥18.50`, with thousands separated by commas."""
    places, symbol = CURRENCIES[currency]
    whole, part = divmod(abs(minor), 10**places)
    text = f"{symbol}{whole:,}" + (f".{part:0{places}d}" if places else "")
    return text if minor >= 0 else f"-{text}"


def parse_amount(text: str, currency: str) -> Amount:
    """`"18.5"` -> 1850 minor units of CNY.

    Raises:
        AmountRefused: for a sign, an exponent, separators, or more decimals than the currency has.
    """
    if currency not in CURRENCIES:
        raise AmountRefused(f"currency {currency!r} is not known; known are {', '.join(sorted(CURRENCIES))}")
    match = _DECIMAL.fullmatch(text.strip())
    if match is None:
        raise AmountRefused(f"{text!r} is not an amount; write it like 18.50")
    whole, part = match[1], match[2] or ""
    places = decimals(currency)
    if len(part) > places:
        raise AmountRefused(f"{text!r} has {len(part)} decimals; {currency} has {places}")
    if len(whole) > len(str(MAX_MINOR)):
        raise AmountRefused(f"{text!r} is more than this box can take")
    return Amount(int(whole) * 10**places + int(part.ljust(places, "0") or "0"), currency)

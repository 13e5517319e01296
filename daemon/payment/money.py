"""Amounts: integers in the currency's minor unit, with an ISO 4217 code. No float ever holds money.

The one list of currencies and their decimals: the display, the box's config and the fleet all go by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_MINOR = 10**12

# ISO 4217: currencies without, with three and with four decimals; the other ones listed have two.
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"
_TWO = (
    "AED AMD ARS AUD AZN BDT BGN BND BRL BWP BYN CAD CHF CNY COP CRC CZK DKK DZD EGP ETB EUR FJD GBP GEL GHS HKD HNL"
    " HUF IDR ILS INR JMD KES KGS KHR KZT LAK LKR MAD MDL MKD MMK MNT MOP MUR MVR MXN MYR NAD NGN NOK NPR NZD PAB PEN"
    " PGK PHP PKR PLN QAR RON RSD RUB SAR SEK SGD THB TJS TMT TRY TTD TWD TZS UAH USD UYU UZS ZAR ZMW"
)
DECIMALS: dict[str, int] = (
    dict.fromkeys(_NONE.split(), 0)
    | dict.fromkeys(_TWO.split(), 2)
    | dict.fromkeys(_THREE.split(), 3)
    | dict.fromkeys(_FOUR.split(), 4)
)

_PLAIN = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?", re.ASCII)


class AmountRefused(ValueError):
    """An amount that is no exact, positive sum of a known currency. `hint` says how to write it, or is empty."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(f"{why} ({hint})" if hint else why)
        self.why, self.hint = why, hint


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
        decimals(self.currency)
        if not 0 < self.minor <= MAX_MINOR:
            raise AmountRefused(f"an amount lies between 1 and {MAX_MINOR} minor units, not {self.minor}")

    def __str__(self) -> str:
        return f"{self.currency} {plain(self.minor, self.currency)}"


def decimals(currency: str) -> int:
    """Digits after the decimal point. Raises AmountRefused for a currency that is not listed."""
    if currency not in DECIMALS:
        raise AmountRefused(f"{currency[:10]!r} is not a currency that is known here", "ISO 4217, like CNY")
    return DECIMALS[currency]


def plain(minor: int, currency: str) -> str:
    """`1850, "CNY"` -> `18.50`, as `parse` reads it; a leading minus for a debit balance. Raises AmountRefused."""
    places = decimals(currency)
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).zfill(places + 1)
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def parse(text: str, currency: str, *, allow_zero: bool = False) -> int:
    """`"18.5"` -> 1850 minor units of CNY.

    Raises:
        AmountRefused: for a sign, an exponent, separators, more decimals than the currency has, zero, too much.
    """
    places = decimals(currency)
    if text.strip().startswith("-"):
        raise AmountRefused("an amount is never negative")
    match = _PLAIN.fullmatch(text)
    if match is None:
        raise AmountRefused("not a plain decimal number", "write 18.50, without signs, spaces or separators")
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > places:
        raise AmountRefused(f"{currency} has {places} decimals" if places else f"{currency} has no decimals")
    minor = int(whole + fraction.ljust(places, "0"))
    if minor == 0 and not allow_zero:
        raise AmountRefused("must be more than zero")
    if minor > MAX_MINOR:
        raise AmountRefused(f"more than {plain(MAX_MINOR, currency)}")
    return minor

"""Amounts between people ("18.50") and the ledger (1850): exact, never through a float."""

from __future__ import annotations

import re

from fleet.errors import AmountRefused

MAX_AMOUNT_MINOR = 10**12

# ISO 4217: currencies without, and with three decimals; the rest listed have two.
_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_TWO = (
    "AED AMD ARS AUD AZN BDT BGN BND BRL BWP BYN CAD CHF CNY COP CRC CZK DKK DZD EGP ETB EUR FJD GBP GEL GHS HKD HNL"
    " HUF IDR ILS INR JMD KES KGS KHR KZT LAK LKR MAD MDL MKD MMK MNT MOP MUR MVR MXN MYR NAD NGN NOK NPR NZD PAB PEN"
    " PGK PHP PKR PLN QAR RON RSD RUB SAR SEK SGD THB TJS TMT TRY TTD TWD TZS UAH USD UYU UZS ZAR ZMW"
)
DECIMALS: dict[str, int] = (
    dict.fromkeys(_NONE.split(), 0) | dict.fromkeys(_TWO.split(), 2) | dict.fromkeys(_THREE.split(), 3)
)

_AMOUNT = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,6}))?")


def parse_amount(text: str, currency: str, *, allow_zero: bool = False) -> int:
    """Minor units. Raises AmountRefused: no digits, too many decimals, zero, negative, too large, unknown currency."""
    what = f"amount {text[:40]!r}"
    decimals = decimals_of(currency)
    if text.strip().startswith("-"):
        raise AmountRefused(what, "an amount is never negative")
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise AmountRefused(what, "not a plain decimal number", "write 18.50, without signs, spaces or separators")
    whole, fraction = match[1], match[2] or ""
    if len(fraction) > decimals:
        raise AmountRefused(what, f"{currency} has {decimals} decimals" if decimals else f"{currency} has no decimals")
    minor = int(whole + fraction.ljust(decimals, "0"))
    if minor == 0 and not allow_zero:
        raise AmountRefused(what, "must be more than zero")
    if minor > MAX_AMOUNT_MINOR:
        raise AmountRefused(what, f"more than {format_amount(MAX_AMOUNT_MINOR, currency)}")
    return minor


def format_amount(minor: int, currency: str) -> str:
    """Plain digits with the currency's decimals, as `parse_amount` reads them; a leading minus for a debit balance."""
    decimals = decimals_of(currency)
    sign, digits = ("-" if minor < 0 else ""), str(abs(minor)).rjust(decimals + 1, "0")
    return sign + (f"{digits[:-decimals]}.{digits[-decimals:]}" if decimals else digits)


def decimals_of(currency: str) -> int:
    """Raises AmountRefused for a currency that is not in the table."""
    if currency not in DECIMALS:
        raise AmountRefused(f"currency {currency[:10]!r}", "not a currency this fleet knows", "ISO 4217, like CNY")
    return DECIMALS[currency]

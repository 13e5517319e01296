"""Writes an amount exactly: integer minor units in, "¥18.50" out; no floating point on the way.

How many decimals a currency has is `daemon.payment.money`'s to know; one that it does not list is written with two.
"""

from __future__ import annotations

from daemon.payment.money import DECIMALS

# ¥ alone is the renminbi here, so the yen says whose it is; likewise the dollars. Other codes stand before the number.
_SYMBOLS = {
    "AUD": "A$",
    "BRL": "R$",
    "CAD": "C$",
    "CNY": "¥",
    "EUR": "€",
    "GBP": "£",
    "HKD": "HK$",
    "JPY": "JP¥",
    "KRW": "₩",
    "NZD": "NZ$",
    "SGD": "S$",
    "TWD": "NT$",
    "USD": "$",
}


def decimals(currency: str) -> int:
    """Digits after the point in this currency."""
    return DECIMALS.get(currency, 2)


def number(amount_minor: int, currency: str) -> str:
    """The amount without its currency: 1850 CNY -> "18.50", 1234567 JPY -> "1,234,567"."""
    sign = "-" if amount_minor < 0 else ""
    places = decimals(currency)
    if not places:
        return f"{sign}{abs(amount_minor):,}"
    whole, fraction = divmod(abs(amount_minor), 10**places)
    return f"{sign}{whole:,}.{fraction:0{places}d}"


def amount(amount_minor: int, currency: str) -> str:
    """The amount as it stands on the display: "¥18.50", "$1,234.00", "KWD 1.250"."""
    sign, digits = ("-", number(-amount_minor, currency)) if amount_minor < 0 else ("", number(amount_minor, currency))
    symbol = _SYMBOLS.get(currency)
    return f"{sign}{symbol}{digits}" if symbol else f"{sign}{currency} {digits}"


def typed_amount(typed: str, currency: str) -> str:
    """An amount as far as it is typed, digits and at most one point: "18." is "¥18.", and nothing is "¥0"."""
    whole, point, fraction = typed.partition(".")
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    return f"{symbol}{int(whole or '0'):,}{point}{fraction}"


def spoken(amount_minor: int, currency: str, locale: str) -> str:
    """The amount as a voice reads it well: no grouping commas, the currency's spoken name where there is one."""
    digits = number(amount_minor, currency).replace(",", "")
    if currency == "CNY":
        return f"{digits}元" if locale.startswith("zh") else f"{digits} yuan"
    return f"{digits} {currency}"

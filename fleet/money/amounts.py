"""Amounts between people ("18.50") and the ledger (1850): the box's own rules, with the fleet's errors."""

from __future__ import annotations

from daemon.payment import money
from fleet.errors import AmountRefused

MAX_AMOUNT_MINOR = money.MAX_MINOR
DECIMALS = money.DECIMALS


def parse_amount(text: str, currency: str, *, allow_zero: bool = False) -> int:
    """Minor units. Raises AmountRefused: no digits, too many decimals, zero, negative, too large, unknown currency."""
    try:
        return money.parse(text, currency, allow_zero=allow_zero)
    except money.AmountRefused as refused:
        raise AmountRefused(f"amount {text[:40]!r}", refused.why, refused.hint) from refused


def format_amount(minor: int, currency: str) -> str:
    """Plain digits with the currency's decimals, as `parse_amount` reads them; a leading minus for a debit balance."""
    try:
        return money.plain(minor, currency)
    except money.AmountRefused as refused:
        raise AmountRefused(f"currency {currency[:10]!r}", refused.why, refused.hint) from refused

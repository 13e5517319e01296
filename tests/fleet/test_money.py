"""Amounts are exact or refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import AmountRefused
from fleet.money.amounts import DECIMALS, MAX_AMOUNT_MINOR, format_amount, parse_amount


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [("18.50", "CNY", 1850), ("18.5", "CNY", 1850), ("18", "CNY", 1800), ("0.01", "CNY", 1), ("007", "JPY", 7),
     ("1200", "JPY", 1200), ("1.234", "KWD", 1234), ("1.1", "KWD", 1100), ("4.35", "USD", 435), ("0.29", "CNY", 29),
     ("1.15", "EUR", 115), ("10000000000", "CNY", MAX_AMOUNT_MINOR)],
)  # fmt: skip
def test_a_decimal_becomes_minor_units_without_a_rounding_anywhere(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "why"),
    [("18.505", "CNY", "2 decimals"), ("1.5", "JPY", "no decimals"), ("-18.50", "CNY", "never negative"),
     ("0", "CNY", "more than zero"), ("0.00", "CNY", "more than zero"), ("", "CNY", "plain"), ("1e3", "CNY", "plain"),
     ("1,000", "CNY", "plain"), ("+1", "CNY", "plain"), (" 1", "CNY", "plain"), ("1.", "CNY", "plain"),
     (".5", "CNY", "plain"),
     ("NaN", "CNY", "plain"), ("１８", "CNY", "plain"), ("1\n", "CNY", "plain"), ("10000000000.01", "CNY", "more than"),
     ("9" * 16, "CNY", "plain"), ("1", "QQQ", "not a currency"), ("1", "cny", "not a currency")],
)  # fmt: skip
def test_what_is_no_exact_amount_is_refused_and_says_why(text: str, currency: str, why: str) -> None:
    with pytest.raises(AmountRefused, match=why):
        parse_amount(text, currency)


@given(st.integers(1, MAX_AMOUNT_MINOR), st.sampled_from(sorted(DECIMALS)))
def test_writing_and_reading_an_amount_gives_it_back(minor: int, currency: str) -> None:
    assert parse_amount(format_amount(minor, currency), currency) == minor


@given(st.text(max_size=20))
def test_no_text_raises_anything_but_a_refusal(text: str) -> None:
    try:
        assert parse_amount(text, "CNY") > 0
    except AmountRefused:
        return


def test_a_debit_balance_is_written_with_its_minus() -> None:
    assert format_amount(-5, "CNY") == "-0.05"
    assert format_amount(0, "KWD") == "0.000"
    assert format_amount(-7, "JPY") == "-7"

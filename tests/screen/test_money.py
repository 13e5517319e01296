"""Amounts are written exactly, whatever the currency."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.screen.money import amount, decimals, number, spoken


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
    [
        (1850, "CNY", "¥18.50"),
        (0, "CNY", "¥0.00"),
        (5, "CNY", "¥0.05"),
        (999_999_999, "CNY", "¥9,999,999.99"),
        (-1850, "CNY", "-¥18.50"),
        (-5, "USD", "-$0.05"),
        (1850, "JPY", "JP¥1,850"),
        (1_234_567, "KRW", "₩1,234,567"),
        (1250, "KWD", "KWD 1.250"),
        (123_456, "EUR", "€1,234.56"),
        (100, "CHF", "CHF 1.00"),
        (12_345, "CLF", "CLF 1.2345"),
    ],
)
def test_an_amount_reads_as_on_a_receipt(minor: int, currency: str, written: str) -> None:
    assert amount(minor, currency) == written


@given(st.integers(-(10**18), 10**18), st.sampled_from(["CNY", "JPY", "KWD", "CLF", "QQQ"]))
def test_no_cent_is_ever_lost(minor: int, currency: str) -> None:
    written = number(minor, currency)
    assert int(written.replace(",", "").replace(".", "")) == minor
    assert len(written.partition(".")[2]) == decimals(currency)


def test_a_voice_reads_amounts_without_commas_or_signs() -> None:
    assert spoken(123_456, "CNY", "zh-CN") == "1234.56元"
    assert spoken(1850, "CNY", "en") == "18.50 yuan"
    assert spoken(1850, "JPY", "en") == "1850 JPY"

"""An amount is exact, positive and of a known currency, or there is none."""

from __future__ import annotations

import pytest

from daemon.payment.money import MAX_MINOR, Amount, AmountRefused, plain


@pytest.mark.parametrize("minor", [0, -1, MAX_MINOR + 1, 18.5, "1850", True, None])
def test_what_is_no_amount_is_refused(minor):
    with pytest.raises(AmountRefused):
        Amount(minor, "CNY")


@pytest.mark.parametrize("currency", ["QQQ", "cny", "", "CNY "])
def test_an_unknown_currency_is_refused(currency):
    with pytest.raises(AmountRefused, match="not a currency"):
        Amount(1850, currency)


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1850, "CNY", "18.50"), (5, "CNY", "0.05"), (1850, "JPY", "1850"), (5, "KWD", "0.005"), (12345, "CLF", "1.2345")],
)
def test_decimals_follow_the_currency(minor, currency, text):
    assert plain(minor, currency) == text
    assert str(Amount(minor, currency)) == f"{currency} {text}"

"""A clerk types what is to be paid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.counter import machine
from daemon.counter.amount_entry import Typed, press
from daemon.payment.money import Amount, decimals, parse


@pytest.mark.parametrize(
    ("currency", "keys", "minor"),
    [
        ("CNY", "18.5", 1850), ("CNY", "18", 1800), ("CNY", ".5", 50), ("CNY", "0.05", 5), ("CNY", "007", 700),
        ("JPY", "1850", 1850), ("KRW", "5000", 5000), ("KWD", "1.250", 1250), ("KWD", "1.2", 1200),
    ],
)  # fmt: skip
def test_an_amount_is_read_as_it_stands_on_a_price_tag(clerk, currency, keys, minor):
    clerk = clerk(currency, catalogue=None)
    clerk.press(*("dot" if key == "." else key for key in keys), "ok")
    assert [order.amount for order in clerk.orders] == [Amount(minor, currency)]


def test_the_first_key_takes_the_counter_and_the_order_gives_it_back(clerk):
    clerk = clerk()
    clerk.press("5", "ok")
    clerk.does(machine.OrderMade())
    assert [type(effect).__name__ for effect in clerk.effects] == ["TakeCounter", "MakeOrder", "FreeCounter"]
    assert clerk.state == machine.Closed()


@pytest.mark.parametrize("keys", ["5", "5.", "5.5"])
def test_back_takes_keys_away_and_then_leaves(clerk, keys):
    clerk = clerk()
    clerk.press(*("dot" if key == "." else key for key in keys))
    for _ in keys:
        assert isinstance(clerk.state, machine.Typing)
        clerk.press("back")
    assert clerk.state.typed.text == ""
    assert clerk.press("back") == machine.Closed()
    assert clerk.orders == []


def test_cancel_forgets_the_amount(clerk):
    clerk = clerk()
    clerk.press("1", "2", "cancel")
    assert clerk.state == machine.Closed()
    assert clerk.orders == []


@pytest.mark.parametrize("keys", [("0", "ok"), ("dot", "ok"), ("0", "dot", "0", "0", "ok")])
def test_nothing_can_not_be_asked_for(clerk, keys):
    clerk = clerk()
    clerk.press(*keys)
    assert clerk.state.note.reason == "zero"
    assert clerk.orders == []


def test_a_key_that_would_go_over_the_limit_is_refused_and_said(clerk):
    clerk = clerk(limit_minor=50_000)
    clerk.press("5", "0", "1")
    assert clerk.state.typed.minor == 5000
    assert clerk.state.note.reason == "above_limit"
    clerk.press("0", "ok")
    assert clerk.orders[0].amount.minor == 50_000


def test_a_currency_without_decimals_has_no_point_and_one_with_three_no_fourth(clerk):
    yen = clerk("JPY", catalogue=None)
    yen.press("5", "dot")
    assert (yen.state.typed.text, yen.state.note.reason) == ("5", "no_decimals")
    dinar = clerk("KWD", catalogue=None)
    dinar.press("1", "dot", "2", "5", "0", "9")
    assert (dinar.state.typed.text, dinar.state.note.reason) == ("1.250", "all_decimals")


def test_an_order_that_can_not_be_made_now_keeps_what_was_typed(clerk):
    clerk = clerk()
    clerk.press("7", "ok")
    clerk.does(machine.OrderRefused("no_clock"))
    assert (clerk.state.typed.minor, clerk.state.note.reason) == (700, "no_clock")
    clerk.press("ok")
    assert len(clerk.orders) == 2


def test_a_clerk_who_walks_away_leaves_the_counter_free(clerk):
    clerk = clerk()
    clerk.press("7")
    clerk.now = machine.next_deadline(clerk.state)
    clerk.does(machine.Tick())
    assert clerk.state == machine.Closed()
    assert isinstance(clerk.effects[-1], machine.FreeCounter)


def test_a_box_that_gets_its_orders_pushed_ignores_the_keys(clerk):
    clerk = clerk(clerk_amounts=False)
    clerk.press("1", "8", "ok")
    assert clerk.state == machine.Closed()
    assert clerk.effects == []


@given(
    st.lists(st.sampled_from([*"0123456789", "dot", "back", "menu"]), max_size=30),
    st.sampled_from(["CNY", "JPY", "KWD"]),
)
def test_whatever_is_mashed_is_an_exact_amount_within_the_limit(keys, currency):
    typed = Typed(currency, 500_000)
    for key in keys:
        typed = press(typed, key).typed
    assert 0 <= typed.minor <= 500_000
    assert len(typed.text.partition(".")[2]) <= decimals(currency)
    if typed.text:
        assert parse(typed.text.rstrip("."), currency, allow_zero=True) == typed.minor

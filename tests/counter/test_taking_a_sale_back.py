"""A clerk takes a sale back, key by key: the PIN first, then the number, then the amount and OK."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.counter import take_back as tb
from daemon.counter.take_back import Sale, Standing
from daemon.payment.money import Amount

RULES = tb.Rules(up_to_minor=5000)
SALE = Sale("o1", "42", Amount(1850, "CNY"), Standing.PAID)


class Clerk:
    """Presses keys, and answers as the box would."""

    def __init__(self, rules=RULES, role="clerk"):
        self.state, self.rules, self.role, self.done, self.now = tb.Closed(), rules, role, [], 100.0

    def step(self, event):
        self.state, effects = tb.step(self.state, event, self.rules, self.now)
        self.done += effects
        return effects

    def press(self, *keys):
        for key in keys:
            self.step(tb.Key(key))

    def logged_in(self, sale=None):
        self.step(tb.Begin(sale))
        self.press(*"135790", "ok")
        self.step(tb.PinChecked(self.state.check, self.role, 2))
        return self

    def at(self, sale):
        """The sale that was typed is on the display, or why it can't be taken back."""
        self.press("4", "2", "ok")
        self.step(tb.SaleFound(sale))
        return self.state


def test_pin_number_amount_ok_and_the_money_goes_back():
    clerk = Clerk().logged_in()
    assert isinstance(clerk.at(SALE), tb.Confirm)
    clerk.press("ok")
    assert clerk.done[-1] == tb.TakeBack(SALE, "clerk")
    clerk.step(tb.Done("refunding"))
    assert clerk.state.word == "refunding"
    clerk.press("ok")
    assert clerk.done[-1] == tb.FreeCounter()
    assert [type(e) for e in clerk.done] == [tb.TakeCounter, tb.CheckPin, tb.FindSale, tb.TakeBack, tb.FreeCounter]


def test_no_sale_is_shown_before_the_pin_was_right():
    clerk = Clerk()
    clerk.step(tb.Begin(SALE))  # the till names it
    assert isinstance(clerk.state, tb.AskPin)
    clerk.press("ok", "1", "2", "ok")  # nothing, and too short
    assert clerk.done == [tb.TakeCounter()]
    clerk.press(*"3456", "ok")
    clerk.step(tb.PinChecked(clerk.state.check, None, 1))
    assert (clerk.state.wrong_tries_left, clerk.state.typed) == (1, "")
    clerk.step(tb.SaleFound(SALE))
    clerk.press("ok")
    assert isinstance(clerk.state, tb.AskPin)
    assert not any(isinstance(e, tb.TakeBack) for e in clerk.done)


def test_the_tills_sale_is_shown_right_after_the_pin():
    assert Clerk().logged_in(SALE).state == tb.Confirm("clerk", SALE, 160.0)


def test_the_last_wrong_pin_ends_it():
    clerk = Clerk()
    clerk.step(tb.Begin())
    clerk.press(*"135790", "ok")
    clerk.step(tb.PinChecked(clerk.state.check, None, 0))
    assert clerk.state.word == "locked"


def test_an_answer_to_an_earlier_try_lets_nobody_in():
    clerk = Clerk()
    clerk.step(tb.Begin())
    clerk.press(*"111111", "ok")
    first = clerk.state.check
    clerk.step(tb.PinChecked(first, None, 2))
    clerk.press(*"222222", "ok")
    clerk.step(tb.PinChecked(first, "clerk", 2))
    assert isinstance(clerk.state, tb.AskPin)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"amount": Amount(5001, "CNY")}, "above_clerks_limit"),
        ({"today": False}, "not_today"),
        ({"standing": Standing.PAYING}, "sale_paying"),
        ({"standing": Standing.BACK}, "sale_back"),
        ({"standing": Standing.UNPAID}, "sale_unpaid"),
    ],
)
def test_what_a_clerk_may_not_take_back_is_said_and_not_asked(changes, word):
    clerk = Clerk().logged_in()
    state = clerk.at(replace(SALE, **changes))
    assert state.word == word
    clerk.press("ok")
    assert not any(isinstance(e, tb.TakeBack) for e in clerk.done)


def test_by_default_a_clerk_refunds_nothing_but_may_cancel_what_waits():
    clerk = Clerk(rules=tb.Rules()).logged_in()
    assert clerk.at(SALE).word == "above_clerks_limit"
    clerk = Clerk(rules=tb.Rules()).logged_in()
    waiting = replace(SALE, standing=Standing.WAITING)
    assert isinstance(clerk.at(waiting), tb.Confirm)


def test_the_technician_has_no_such_limits():
    clerk = Clerk(rules=tb.Rules(), role="technician").logged_in()
    old = replace(SALE, amount=Amount(10**9, "CNY"), today=False)
    assert isinstance(clerk.at(old), tb.Confirm)
    assert clerk.at(SALE) is not None


def test_a_number_that_is_no_sale_is_said_and_can_be_typed_again():
    clerk = Clerk().logged_in()
    state = clerk.at(None)
    assert (state.note, state.typed) == ("no_such_sale", "")
    clerk.press("7")
    assert (clerk.state.note, clerk.state.typed) == (None, "7")


@pytest.mark.parametrize("keys", [(), ("1",), (*"135790", "ok")])
def test_cancel_and_walking_away_free_the_counter(keys):
    for leave in (tb.Key("cancel"), tb.Tick()):
        clerk = Clerk()
        clerk.step(tb.Begin())
        clerk.press(*keys)
        clerk.now += 61
        clerk.step(leave)
        assert clerk.state == tb.Closed()
        assert clerk.done[-1] == tb.FreeCounter()


def test_mashing_the_keypad_takes_nothing_back():
    clerk = Clerk()
    clerk.press(*"0123456789", "ok", "back", "dot", "menu", "ok")
    assert clerk.state == tb.Closed()
    clerk.logged_in()
    clerk.press("dot", "menu", "ok", "back", "back", *"98765432109876543210")
    assert len(clerk.state.typed) == tb.NUMBER_LONGEST
    assert not any(isinstance(e, tb.TakeBack | tb.FindSale) for e in clerk.done)

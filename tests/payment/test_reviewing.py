"""What a member pays: asked for while the payer types, shown before any money moves, and never believed too much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.payment.effects import AskQuote, AttemptMoved, Noted, Persist
from daemon.payment.events import (
    Answer,
    AnswerStatus,
    FaceOutcome,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    LinkDown,
    OrderArrived,
    Quoted,
)
from daemon.payment.money import Amount
from daemon.payment.order import Discount, Identified, Offer, Quote, Thanks
from daemon.payment.state import AskFactor, Idle, Paying, Reviewing, Rules, Showing, State

GRACE = Identified("grace", 0.8, 0.6, 0.99)
TWIN = Identified("hope", 0.79, -0.01, 0.99)


@pytest.fixture
def counter(counter):
    counter.state = State(rules=Rules(quote_s=1.0, show_s=4.0, offer_s=15.0))
    return counter


def changes(effects):
    return [change for effect in effects if isinstance(effect, Persist) for change in effect.changes]


def quote(minor=1665, expires_s=300.0, off=None, **more):
    off = 1850 - minor if off is None else off
    return Quote("q1", Amount(minor, "CNY"), expires_s, (Discount("10% off", off, "applied", "off"),), **more)


def up_to_pin(counter):
    counter.send(OrderArrived(counter.order()))
    return counter.see()


def right_pin(counter):
    for key in (*"2580", "ok"):
        counter.send(KeyPressed(key))
    return counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 3, "grace"))


def confirmed(counter):
    found = [c.request for c in changes(counter.done) if isinstance(c, AttemptMoved) and c.request is not None]
    return found[-1] if found else None


def test_the_price_is_asked_for_as_soon_as_the_face_is_known(counter):
    assert AskQuote("o1", "grace") in up_to_pin(counter)
    counter.send(Quoted("o1", "grace", quote()))
    assert isinstance(counter.state.stage, AskFactor), "the payer goes on typing"
    right_pin(counter)
    assert isinstance(counter.state.stage, Reviewing)
    assert confirmed(counter) is None, "no money before the price was agreed to"
    counter.send(KeyPressed("ok"))
    request = confirmed(counter)
    assert (request.amount, request.quote, request.listed) == (Amount(1665, "CNY"), "q1", Amount(1850, "CNY"))


def test_twins_are_priced_once_the_pin_says_which_of_them_it_is(counter):
    counter.send(OrderArrived(counter.order()))
    seen = counter.see(FaceOutcome.AMBIGUOUS, GRACE, TWIN)
    assert not any(isinstance(effect, AskQuote) for effect in seen)
    assert AskQuote("o1", "grace") in right_pin(counter)


def test_without_an_answer_the_whole_amount_is_paid_after_a_bounded_wait_and_the_journal_says_so(counter):
    up_to_pin(counter)
    counter.now = 0.4
    right_pin(counter)
    assert isinstance(counter.state.stage, Reviewing)
    assert counter.state.stage.checking
    waited = counter.wait(0.6)
    assert [c.facts["reason"] for c in changes(waited) if isinstance(c, Noted) and c.name == "quote_missing"]
    assert confirmed(counter).amount == Amount(1850, "CNY")
    assert confirmed(counter).quote is None


def test_while_a_payer_typed_for_longer_than_that_nobody_waits(counter):
    up_to_pin(counter)
    counter.now = 5.0
    right_pin(counter)
    assert isinstance(counter.state.stage, Paying)


def test_who_has_no_coupon_presses_no_key_more(counter):
    up_to_pin(counter)
    counter.send(Quoted("o1", "grace", Quote(None, Amount(1850, "CNY"), 300.0)))
    right_pin(counter)
    assert isinstance(counter.state.stage, Paying)


@pytest.mark.parametrize(
    "wrong",
    [
        Quoted("o2", "grace", quote()),
        Quoted("o1", "hope", quote()),
        Quoted("o1", "grace", quote(expires_s=0.0)),
        Quoted("o1", "grace", quote(1900, off=0)),
        Quoted("o1", "grace", quote(1665, off=100)),
        Quoted("o1", "grace", replace(quote(), quote_id=None)),
        Quoted("o1", "grace", replace(quote(), amount=Amount(1665, "USD"))),
        Quoted("o1", "grace", replace(quote(), spends_points=True)),
    ],
    ids=["order", "payer", "expired", "dearer", "does not add up", "no id", "currency", "points nobody asked for"],
)
def test_a_quote_that_is_not_the_one_asked_for_changes_nothing(counter, wrong):
    up_to_pin(counter)
    before = counter.state
    counter.send(wrong)
    assert counter.state == before


def test_a_quote_that_ran_out_on_the_display_is_asked_for_again_and_shown_again(counter):
    up_to_pin(counter)
    counter.send(Quoted("o1", "grace", quote(expires_s=2.0)))
    right_pin(counter)
    counter.now = 3.0
    assert AskQuote("o1", "grace") in counter.send(KeyPressed("ok"))
    assert confirmed(counter) is None
    counter.send(Quoted("o1", "grace", quote(1700)))
    assert isinstance(counter.state.stage, Reviewing)
    counter.send(KeyPressed("ok"))
    assert confirmed(counter).amount == Amount(1700, "CNY")


def test_points_are_spent_with_one_key_and_kept_with_the_same(counter):
    up_to_pin(counter)
    counter.send(Quoted("o1", "grace", quote(points=200, points_off_minor=200)))
    right_pin(counter)
    assert AskQuote("o1", "grace", True) in counter.send(KeyPressed("1"))
    counter.send(Quoted("o1", "grace", quote(1465, points=200, points_off_minor=200, spends_points=True)))
    assert AskQuote("o1", "grace", False) in counter.send(KeyPressed("1"))
    counter.wait(1.0)
    assert counter.state.stage.turn.known.price.quote.amount == Amount(1465, "CNY"), "what was shown before stands"
    counter.send(KeyPressed("ok"))
    assert confirmed(counter).amount == Amount(1465, "CNY")


@pytest.mark.parametrize(("minor", "stage"), [(99, Paying), (100, Reviewing)])
def test_points_alone_stop_a_payer_only_where_they_are_worth_a_whole_unit(counter, minor, stage):
    up_to_pin(counter)
    counter.send(Quoted("o1", "grace", quote(1850, points=minor, points_off_minor=minor)))
    right_pin(counter)
    assert isinstance(counter.state.stage, stage)


def test_who_walks_away_from_the_price_pays_nothing(counter):
    up_to_pin(counter)
    counter.send(Quoted("o1", "grace", quote()))
    right_pin(counter)
    counter.wait(31.0)
    assert confirmed(counter) is None
    counter.wait(5.0)
    assert isinstance(counter.state.stage, Idle)


def test_nobody_is_asked_while_the_link_is_down(counter):
    counter.send(LinkDown())
    counter.now = 1.0
    assert not any(isinstance(effect, AskQuote) for effect in up_to_pin(counter))


def test_an_agreed_price_is_not_accepted_offline(counter):
    up_to_pin(counter)
    counter.send(Quoted("o1", "grace", quote()))
    right_pin(counter)
    counter.send(LinkDown())
    counter.now = 20.0
    counter.send(KeyPressed("ok"))
    assert confirmed(counter) is None
    assert counter.state.stage.reason == "offline"


def test_an_offer_stands_longer_than_a_receipt_until_somebody_waits(counter):
    counter.state = State(rules=replace(counter.state.rules, quote_s=0.0))
    up_to_pin(counter)
    right_pin(counter)
    offer = Offer("c1", "See you", 1_900_000_000)
    paid = Answer("o1", 1, AnswerStatus.APPROVED, "ok", Amount(1850, "CNY"), "r1", Thanks(18, 18, offer))
    counter.send(paid)
    assert counter.state.stage.thanks.offer == offer
    counter.wait(6.0)
    assert isinstance(counter.state.stage, Showing)
    counter.send(OrderArrived(counter.order("o2")))
    counter.wait(0.0)
    assert counter.state.stage.turn.order.order_id == "o2"

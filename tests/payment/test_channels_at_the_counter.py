"""Which channel a payment goes through, and what the next one makes of how it ended."""

from __future__ import annotations

from daemon.payment.channels import ChannelConfig
from daemon.payment.effects import AttemptMoved, Noted, Persist, Query
from daemon.payment.events import (
    Answer,
    AnswerStatus,
    CodeScanned,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    OrderArrived,
)
from daemon.payment.money import Amount
from daemon.payment.state import Paying, Rules, Showing, State
from daemon.payment.status import Status

CNY = frozenset({"CNY"})
FIRST = ChannelConfig("first", CNY, priority=1, max_minor=5000, answer_s=3.0, query_for_s=5.0)
SECOND = ChannelConfig("second", CNY, priority=2)


def pay(counter, order_id, minor=1850):
    counter.send(OrderArrived(counter.order(order_id, minor, lives_s=900)))
    counter.see()
    for key in (*"1234", "ok"):
        counter.send(KeyPressed(key))
    effects = counter.send(FactorChecked(order_id, counter.state.epoch, FactorOutcome.OK, 2))
    requests = [
        c.request for e in effects if isinstance(e, Persist) for c in e.changes
        if isinstance(c, AttemptMoved) and c.request is not None
    ]  # fmt: skip
    return requests[0].channel if requests else None


def test_the_request_names_the_channel_that_was_chosen_and_the_journal_why(counter):
    counter.state = State(rules=Rules(channels=(SECOND, FIRST)))
    assert pay(counter, "o1") == "first"
    [noted] = [c for e in counter.done if isinstance(e, Persist) for c in e.changes
               if isinstance(c, Noted) and c.name == "channel"]  # fmt: skip
    assert noted.facts == {"order_id": "o1", "channel": "first", "reason": "by_priority"}


def test_what_the_first_channel_does_not_take_goes_through_the_second(counter):
    counter.state = State(rules=Rules(channels=(FIRST, SECOND)))
    assert pay(counter, "o1", 5001) == "second"


def test_an_amount_that_no_channel_takes_is_refused_before_anything_is_sent(counter):
    counter.state = State(rules=Rules(channels=(FIRST,)))
    assert pay(counter, "o1", 5001) is None
    assert isinstance(counter.state.stage, Showing)
    assert (counter.state.stage.status, counter.state.stage.reason) == (Status.CANCELLED, "no_channel")
    assert not counter.state.settling


def test_a_channel_has_its_own_waits(counter):
    counter.state = State(rules=Rules(channels=(FIRST, SECOND)))
    pay(counter, "o1")
    assert not any(isinstance(e, Query) for e in counter.wait(2.9))
    assert any(isinstance(e, Query) for e in counter.wait(0.2))
    counter.wait(6)
    assert next(iter(counter.state.settling.values())).status is Status.REVERSING


def test_a_channel_that_stays_silent_three_times_makes_room_for_the_next_and_is_tried_again_later(counter):
    counter.state = State(rules=Rules(channels=(FIRST, SECOND)))
    for n in range(3):
        assert pay(counter, f"o{n}") == "first"
        counter.wait(9)
        counter.answer(AnswerStatus.REVERSED, order_id=f"o{n}")
        counter.wait(5)
    assert pay(counter, "o3") == "second"
    counter.answer(AnswerStatus.APPROVED, order_id="o3")
    counter.wait(40)
    assert pay(counter, "o4") == "first"
    counter.answer(AnswerStatus.APPROVED, order_id="o4")
    counter.wait(5)
    assert pay(counter, "o5") == "first"


def test_a_payer_without_money_is_no_fault_of_the_channel(counter):
    counter.state = State(rules=Rules(channels=(FIRST, SECOND), max_attempts=1))
    for n in range(5):
        assert pay(counter, f"o{n}") == "first"
        counter.send(Answer(f"o{n}", 1, AnswerStatus.DECLINED, "insufficient_funds", Amount(1850, "CNY"), None))
        counter.wait(5)


def test_an_attempt_never_changes_its_channel_after_it_was_submitted(counter):
    counter.state = State(rules=Rules(channels=(FIRST, SECOND)))
    pay(counter, "o1")
    counter.wait(4)
    assert isinstance(counter.state.stage, Paying)
    assert [s.request.channel for s in counter.state.settling.values()] == ["first"]


def test_a_scanned_code_goes_through_its_own_apps_channel(counter):
    wechat = ChannelConfig("wechat-like", CNY, priority=1, codes=frozenset({"wechat"}))
    alipay = ChannelConfig("alipay-like", CNY, priority=2, codes=frozenset({"alipay"}))
    for order_id, code, name in (
        ("o1", "286281234567890123", "alipay-like"),
        ("o2", "134567890123456789", "wechat-like"),
    ):
        counter.state = State(rules=Rules(channels=(wechat, alipay), flow="qr_scanned"))
        counter.send(OrderArrived(counter.order(order_id, 1850, lives_s=900)))
        effects = counter.send(CodeScanned(code))
        [request] = [c.request for e in effects if isinstance(e, Persist) for c in e.changes
                     if isinstance(c, AttemptMoved) and c.request is not None]  # fmt: skip
        assert (request.channel, request.auth_code) == (name, code)
        [noted] = [c for e in effects if isinstance(e, Persist) for c in e.changes if isinstance(c, Noted)]
        assert noted.facts == {"order_id": order_id, "channel": name, "reason": "by_code"}

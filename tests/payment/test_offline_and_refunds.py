"""What a box may accept while it can ask nobody, and money on its way back."""

from __future__ import annotations

import pytest

from daemon.payment import core
from daemon.payment.effects import AttemptMoved, OrderClosed, Persist, Refund, SendVoucher, Submit
from daemon.payment.events import (
    Answer,
    AnswerStatus,
    ApprovedLate,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    LinkDown,
    LinkUp,
    OrderArrived,
    RefundAsked,
)
from daemon.payment.money import Amount
from daemon.payment.order import Circumstances, PayRequest
from daemon.payment.policy import OfflineCaps, Policy
from daemon.payment.state import Rules, Showing, State
from daemon.payment.status import Status

CAPS = OfflineCaps("CNY", 2000, 5000, 9000, 3)
CNY = Amount(1850, "CNY")
REQUEST = PayRequest("o1", 1, CNY, "grace", ("face", "pin"), "simulated", "face_first")


def moved(effects):
    found = [c for e in effects if isinstance(e, Persist) for c in e.changes if isinstance(c, AttemptMoved)]
    return [c.status for c in found]


def closed(effects):
    return [(c.status, c.reason) for e in effects if isinstance(e, Persist) for c in e.changes
            if isinstance(c, OrderClosed)]  # fmt: skip


def pay(counter, caps=CAPS, minor=1850, down_s=11.0, outcome=FactorOutcome.OK, **around):
    counter.state = State(rules=Rules(policy=Policy(offline=caps)))
    counter.send(LinkDown())
    counter.wait(down_s)
    counter.send(OrderArrived(counter.order(minor=minor)))
    counter.see(around=Circumstances(**around))
    for key in (*"1234", "ok"):
        counter.send(KeyPressed(key))
    return counter.send(FactorChecked("o1", counter.state.epoch, outcome, 2))


def refused(counter):
    stage = counter.state.stage
    assert isinstance(stage, Showing)
    return (stage.status, stage.reason) == (Status.CANCELLED, "offline")


def test_offline_is_off_by_default(counter):
    pay(counter, caps=OfflineCaps())
    assert refused(counter)
    assert not counter.state.settling


def test_a_payment_within_the_caps_is_accepted_and_handed_in_when_the_link_is_back(counter):
    effects = pay(counter)
    assert moved(effects) == [Status.CONFIRMED, Status.ACCEPTED_OFFLINE]
    assert not any(isinstance(e, Submit) for e in effects)
    assert counter.state.stage.status is Status.ACCEPTED_OFFLINE
    [voucher] = [e for e in counter.send(LinkUp()) if isinstance(e, SendVoucher)]
    assert (voucher.request.order_id, voucher.request.amount) == ("o1", CNY)
    effects = counter.answer(AnswerStatus.APPROVED)
    assert moved(effects) == [Status.APPROVED]
    assert closed(effects) == [(Status.APPROVED, "ok")]
    assert not counter.state.settling


def test_a_voucher_is_repeated_until_it_is_answered_and_a_refused_one_is_written_off(counter):
    pay(counter)
    counter.send(LinkUp())
    assert any(isinstance(e, SendVoucher) for e in counter.wait(16))
    counter.answer(AnswerStatus.PENDING)
    assert counter.state.settling
    effects = counter.answer(AnswerStatus.DECLINED)
    assert moved(effects) == [Status.WRITTEN_OFF]


def test_goods_are_released_only_once_the_acceptance_is_on_disk(counter):
    counter.disk_works = True
    pay(counter)
    counter.disk_works = False
    counter.state = State(rules=counter.state.rules, offline_since=0.0)
    counter.send(OrderArrived(counter.order("o2")))
    counter.see()
    for key in (*"1234", "ok"):
        counter.send(KeyPressed(key))
    counter.send(FactorChecked("o2", counter.state.epoch, FactorOutcome.OK, 2))
    assert not isinstance(counter.state.stage, Showing)


def test_a_power_cut_loses_no_voucher(counter):
    pay(counter)
    state, effects = core.recover(counter.state.rules, ((REQUEST, Status.ACCEPTED_OFFLINE),), (), counter.now)
    counter.state = state
    assert effects == ()
    assert any(isinstance(e, SendVoucher) for e in counter.wait(1))


@pytest.mark.parametrize(
    "over",
    [
        {"minor": 2001}, {"payer_sum_day": 3151}, {"box_sum_day": 7151}, {"payer_count_day": 3},
        {"outcome": FactorOutcome.DURESS}, {"caps": OfflineCaps("HKD", 2000, 5000, 9000, 3)},
    ],
    ids=["per payment", "per payer", "per box", "count", "duress", "another currency"],
)  # fmt: skip
def test_each_cap_holds_by_itself(counter, over):
    pay(counter, **over)
    assert refused(counter)


def test_at_each_cap_a_payment_is_still_accepted(counter):
    pay(counter, minor=2000, payer_sum_day=3000, box_sum_day=7000, payer_count_day=2)
    assert counter.state.stage.status is Status.ACCEPTED_OFFLINE


def test_a_link_that_has_only_just_gone_is_waited_for(counter):
    assert any(isinstance(e, Submit) for e in pay(counter, down_s=2.0))


def test_a_sale_is_refunded_on_demand_and_the_demand_repeated(counter):
    effects = counter.send(RefundAsked(REQUEST, "technician"))
    assert moved(effects) == [Status.REFUNDING]
    assert Refund("o1", 1, "technician") in effects
    assert Refund("o1", 1, "technician") in counter.wait(16)
    counter.answer(AnswerStatus.APPROVED)
    assert counter.state.settling, "that is how the capture stands"
    effects = counter.answer(AnswerStatus.REFUNDED)
    assert (moved(effects), closed(effects)) == ([Status.REFUNDED], [(Status.REFUNDED, "ok")])


def test_nothing_is_demanded_back_before_that_is_on_disk(counter):
    counter.disk_works = False
    effects = counter.send(RefundAsked(REQUEST, "clerk"))
    assert not any(isinstance(e, Refund) for e in effects)


def test_a_refused_refund_leaves_the_sale_as_it_was(counter):
    counter.send(RefundAsked(REQUEST, "clerk"))
    effects = counter.answer(AnswerStatus.DECLINED)
    assert (moved(effects), closed(effects)) == ([Status.APPROVED], [])


def test_a_refund_asked_for_twice_at_once_is_one(counter):
    counter.send(RefundAsked(REQUEST, "clerk"))
    assert counter.send(RefundAsked(REQUEST, "clerk")) == []


def test_an_approval_for_a_reversed_attempt_becomes_a_refund(counter):
    late = Answer("o1", 1, AnswerStatus.APPROVED, "ok", CNY, "ref-1")
    effects = counter.send(ApprovedLate(REQUEST, late))
    assert moved(effects) == [Status.REFUNDING]
    assert counter.send(ApprovedLate(REQUEST, late)) == []
    effects = counter.answer(AnswerStatus.REFUNDED)
    assert moved(effects) == [Status.REFUNDED]


def test_a_refund_goes_on_after_a_power_cut(counter):
    counter.state, _ = core.recover(Rules(), ((REQUEST, Status.REFUNDING),), (), counter.now)
    assert Refund("o1", 1) in counter.wait(1)


def test_who_wanted_a_refund_is_known_after_a_power_cut(counter):
    asked = ((REQUEST, Status.REFUNDING),)
    counter.state, _ = core.recover(Rules(), asked, (), counter.now, {("o1", 1): "clerk"})
    assert Refund("o1", 1, "clerk") in counter.wait(1)
    assert moved(counter.answer(AnswerStatus.DECLINED)) == [Status.APPROVED]
    counter.state, _ = core.recover(Rules(), asked, (), counter.now)
    assert moved(counter.answer(AnswerStatus.DECLINED)) == [Status.REFUNDED], "nothing is left to pay back"

"""Whoever asked for a payment may take it back, as long as no money can be on its way."""

from __future__ import annotations

import pytest

from daemon.payment.effects import OrderClosed, Persist, StopWatching
from daemon.payment.events import (
    Answer,
    AnswerStatus,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    OrderArrived,
    OrderWithdrawn,
)
from daemon.payment.money import Amount
from daemon.payment.state import Looking, Paying, Showing
from daemon.payment.status import Status


def closed(effects):
    changes = [change for effect in effects if isinstance(effect, Persist) for change in effect.changes]
    return [(c.order_id, c.status, c.reason) for c in changes if isinstance(c, OrderClosed)]


def test_an_order_at_the_counter_ends_and_the_camera_rests(counter):
    counter.send(OrderArrived(counter.order()))
    effects = counter.send(OrderWithdrawn("o1", "by_till"))
    assert closed(effects) == [("o1", Status.CANCELLED, "by_till")]
    assert StopWatching() in effects
    assert isinstance(counter.state.stage, Showing)


def test_an_order_that_waits_ends_and_the_one_at_the_counter_goes_on(counter):
    counter.send(OrderArrived(counter.order("o1")))
    counter.send(OrderArrived(counter.order("o2")))
    assert closed(counter.send(OrderWithdrawn("o2", "by_till"))) == [("o2", Status.CANCELLED, "by_till")]
    assert isinstance(counter.state.stage, Looking)
    assert counter.state.waiting == ()


def test_an_order_that_is_being_paid_can_not_be_taken_back(counter):
    counter.send(OrderArrived(counter.order()))
    counter.see()
    for key in "2580":
        counter.send(KeyPressed(key))
    counter.send(KeyPressed("ok"))
    counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 3, "grace"))
    assert isinstance(counter.state.stage, Paying)
    assert counter.send(OrderWithdrawn("o1", "by_till")) == []
    assert isinstance(counter.state.stage, Paying)


def test_taken_back_twice_or_never_asked_for_changes_nothing(counter):
    counter.send(OrderArrived(counter.order()))
    counter.send(OrderWithdrawn("o1", "by_till"))
    assert counter.send(OrderWithdrawn("o1", "by_till")) == []
    assert counter.send(OrderWithdrawn("o9", "by_till")) == []


@pytest.mark.parametrize(("reason", "again"), [("order_closed", False), ("insufficient_funds", True)])
def test_an_order_that_the_ledger_closed_meanwhile_is_not_offered_again(counter, reason, again):
    counter.send(OrderArrived(counter.order()))
    counter.see()
    for key in ("2", "5", "8", "0", "ok"):
        counter.send(KeyPressed(key))
    counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 3, "grace"))
    counter.send(Answer("o1", 1, AnswerStatus.DECLINED, reason, Amount(1850, "CNY"), None))
    assert isinstance(counter.state.stage, Showing)
    assert (counter.state.stage.then is not None) == again

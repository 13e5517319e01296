"""The fleet cancels an order that a box has: off the display, out of the queue, or too late."""

from __future__ import annotations

import json
import time

import pytest

from daemon.payment.effects import AttemptMoved, OrderClosed, OrderStored
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest
from daemon.payment.status import Status
from daemon.screen import views


@pytest.fixture
def box(rig):
    one = rig()
    one.start()
    return one


def cancel(box, order_id, command_id="c1"):
    box.say("command", {"command_id": command_id, "command": "order.cancel", "args": {"order_id": order_id}})


def ended(box, command_id="c1"):
    """How the box reported the command: (event, reason)."""
    rows = f"SELECT event, reason FROM commands WHERE command_id = '{command_id}' AND event IS NOT NULL"
    assert box.until(lambda: box.rows(rows) != [])
    return box.rows(rows)[0]


def test_an_order_on_the_display_is_taken_off_it(box):
    box.say("order", box.order("o1"))
    assert box.until(lambda: not box.box._payment.idle)
    cancel(box, "o1")
    assert box.until(lambda: box.rows("SELECT status, reason FROM orders") == [("cancelled", "by_fleet")])
    assert ended(box) == ("cancel.done", "cancelled")
    assert box.until(lambda: isinstance(box.box._front._view, views.Declined | views.Cancelled))


def test_an_order_in_the_queue_goes_and_the_one_at_the_counter_stays(box):
    box.say("order", box.order("o1"), label="o1")
    box.say("order", box.order("o2"), label="o2")
    assert box.until(lambda: {"o1", "o2"} <= set(box.acked))
    cancel(box, "o2")
    assert ended(box) == ("cancel.done", "cancelled")
    assert box.box._payment.state.stage.turn.order.order_id == "o1"


def test_once_the_payer_has_confirmed_it_is_too_late(rig):
    box = rig()
    amount = Amount(1850, "CNY")
    request = PayRequest("o1", 1, amount, "grace", ("face", "pin"), "simulated", "face_first")
    box.write(
        OrderStored(Order("o1", amount, None, time.monotonic() + 60)),
        AttemptMoved("o1", 1, Status.CONFIRMED, request=request),
        AttemptMoved("o1", 1, Status.SUBMITTED),
    )
    box.start()
    cancel(box, "o1")
    assert ended(box) == ("cancel.failed", "too_late")
    assert ("cancelled",) not in box.rows("SELECT status FROM orders")


def test_what_is_paid_is_refunded_not_cancelled(rig):
    box = rig()
    amount = Amount(1850, "CNY")
    request = PayRequest("o1", 1, amount, "grace", ("face", "pin"), "simulated", "face_first")
    box.write(
        OrderStored(Order("o1", amount, None, time.monotonic() + 60)),
        AttemptMoved("o1", 1, Status.CONFIRMED, request=request),
        AttemptMoved("o1", 1, Status.APPROVED, "ok", "R1"),
        OrderClosed("o1", Status.APPROVED, "ok"),
    )
    box.start()
    cancel(box, "o1")
    assert ended(box) == ("cancel.failed", "too_late")
    assert box.rows("SELECT status FROM attempts") == [("approved",)]


def test_an_order_that_the_box_never_had_is_said_to_be_unknown(box):
    cancel(box, "o7")
    assert ended(box) == ("cancel.failed", "unknown_order")


def test_said_twice_it_is_done_once(box):
    box.say("order", box.order("o1"))
    assert box.until(lambda: not box.box._payment.idle)
    cancel(box, "o1")
    assert ended(box) == ("cancel.done", "cancelled")
    cancel(box, "o1")
    assert box.until(lambda: box.acked.count("command") == 2)
    closed = [json.loads(row[0]) for row in box.rows("SELECT facts FROM journal WHERE name = 'order_closed'")]
    assert [c["order_id"] for c in closed] == ["o1"]


def test_a_command_without_an_order_is_refused_by_name(box):
    box.say("command", {"command_id": "c9", "command": "order.cancel", "args": {}})
    assert box.until(lambda: ("command_refused",) in box.rows("SELECT name FROM journal"))

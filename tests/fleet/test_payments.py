"""One charge, whatever happens: the gateway as a real process behind real brokers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest


def test_an_order_reaches_the_box_and_its_payment_is_approved_to_the_cent(scene: Any) -> None:
    order = scene.new_order("18.50", title="拿铁 Latte")
    # a set: the gateway may send it twice, when the box's state crosses it on the way
    assert {(o.amount_minor, o.currency, o.title) for o in scene.box.orders()} == {(1850, "CNY", "拿铁 Latte")}
    answer = scene.pay(order)
    assert (answer.status, answer.reason, answer.amount_minor, answer.currency) == ("approved", "ok", 1850, "CNY")
    assert (scene.payer_has(), scene.merchant_has()) == (10000 - 1850, 1850)
    scene.box.confirm(order["order_id"])
    assert scene.until(order, "approved")["final"]
    assert scene.fleet.entries(order["order_id"]) == ["capture"]


def test_the_same_request_again_gets_the_same_answer_and_charges_once(scene: Any) -> None:
    order = scene.new_order()
    first = scene.pay(order)
    again = scene.pay(order)
    assert again == first
    assert scene.payer_has() == 10000 - 1850
    assert scene.fleet.entries(order["order_id"]) == ["capture"]


def test_the_same_envelope_again_is_a_replay_without_any_effect(scene: Any, wait_for: Callable[..., Any]) -> None:
    order = scene.new_order()
    sealed = scene.box.send("pay.request", scene.box.request(order))
    scene.box.answer(order["order_id"])
    before = scene.fleet.refusals("replayed")
    scene.box.publish("pay.request", sealed.token)
    wait_for(lambda: scene.fleet.refusals("replayed") > before, what="counted as replayed")
    assert len(scene.box.answers()) == 1


def test_a_second_attempt_on_a_paid_order_is_declined(scene: Any) -> None:
    order = scene.new_order()
    assert scene.pay(order).status == "approved"
    second = scene.pay(order, attempt=2)
    assert (second.status, second.reason) == ("declined", "already_paid")
    assert scene.fleet.entries(order["order_id"]) == ["capture"]


def test_after_a_decline_a_new_attempt_may_pay(scene: Any) -> None:
    order = scene.new_order()
    assert scene.pay(order, payer="nobody").reason == "unknown_payer"
    assert scene.fleet.order_status(order["order_id"]) == "declined"
    assert scene.pay(order, attempt=2).status == "approved"


def test_an_attempt_older_than_one_that_was_answered_can_not_charge(scene: Any) -> None:
    order = scene.new_order()
    assert scene.pay(order, attempt=2, payer="nobody").status == "declined"
    late = scene.pay(order, attempt=1)
    assert (late.status, late.reason) == ("declined", "superseded")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount_minor": 1849}, "amount_mismatch"),
        ({"currency": "USD"}, "currency_mismatch"),
        ({"payer": "stranger"}, "unknown_payer"),
        ({"order_id": "o-made-up"}, "unknown_order"),
    ],
)
def test_a_request_that_does_not_fit_the_issued_order_is_declined(scene: Any, changes: Any, reason: str) -> None:
    order = scene.new_order()
    body = scene.box.request(order, 1, **changes)
    scene.box.send("pay.request", body)
    answer = scene.box.answer(body["order_id"])
    assert (answer.status, answer.reason) == ("declined", reason)
    assert scene.payer_has() == 10000


def test_more_than_the_balance_is_declined(scene: Any) -> None:
    answer = scene.pay(scene.new_order("100.01"))
    assert (answer.status, answer.reason) == ("declined", "insufficient_funds")
    assert scene.pay(scene.new_order("100.00")).status == "approved"
    assert scene.payer_has() == 0


@pytest.mark.parametrize("amount_minor", [0, -1850, 18.5, 1850.0, True, "1850", 10**12 + 1])
def test_an_amount_that_is_no_amount_is_refused_unread(
    scene: Any, amount_minor: Any, wait_for: Callable[..., Any]
) -> None:
    order = scene.new_order()
    before = scene.fleet.refusals("bad_body")
    scene.box.send("pay.request", scene.box.request(order, amount_minor=amount_minor))
    wait_for(lambda: scene.fleet.refusals("bad_body") > before, what="counted")
    assert scene.box.answers() == []


def test_an_expired_order_is_declined(scene: Any) -> None:
    order = scene.new_order()
    with closing(sqlite3.connect(scene.fleet.state / "ledger.db", timeout=10)) as books, books:
        books.execute("UPDATE orders SET expires_at = ? WHERE order_id = ?", (int(time.time()) - 1, order["order_id"]))
    answer = scene.pay(order)
    assert (answer.status, answer.reason) == ("declined", "order_expired")


def test_another_boxes_order_can_not_be_paid(scene: Any) -> None:
    order = scene.new_order()
    other = scene.another_box()
    other.connect()
    other.send("pay.request", other.request(order))
    assert other.answer(order["order_id"]).reason == "unknown_order"
    assert other.answer(order["order_id"]).amount_minor is None
    assert scene.pay(order).status == "approved"


def test_a_request_that_comes_after_the_query_about_it_is_never_charged(scene: Any) -> None:
    order = scene.new_order()
    late = scene.box.seal("pay.request", scene.box.request(order))
    scene.box.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"]).reason == "never_received"
    scene.box.publish("pay.request", late.token)
    second = scene.box.answer(order["order_id"], 2)
    assert (second.status, second.reason) == ("declined", "never_received")
    assert scene.payer_has() == 10000
    assert scene.pay(order, attempt=2).status == "approved"


def test_a_request_that_comes_after_its_reversal_is_never_charged(scene: Any) -> None:
    order = scene.new_order()
    scene.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"]).status == "reversed"
    assert scene.pay(order).status == "reversed"
    assert scene.fleet.entries(order["order_id"]) == []


def test_a_reversal_posts_the_money_back_once(scene: Any) -> None:
    order = scene.new_order()
    assert scene.pay(order).status == "approved"
    for count in (2, 3):
        scene.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
        assert scene.box.answer(order["order_id"], count).status == "reversed"
    assert scene.payer_has() == 10000
    assert scene.merchant_has() == 0
    assert scene.fleet.entries(order["order_id"]) == ["capture", "reversal"]
    assert scene.fleet.order_status(order["order_id"]) == "reversed"
    assert scene.pay(order, attempt=2).reason == "order_closed"


def test_twenty_copies_at_once_charge_once(scene: Any, wait_for: Callable[..., Any]) -> None:
    order = scene.new_order()
    for _ in range(20):
        sealed = scene.box.seal("pay.request", scene.box.request(order))
        scene.box.link.publish(f"kf/v1/{scene.box.id}/up/pay", sealed.token)
    wait_for(lambda: scene.box.answers(), what="an answer")
    again = scene.pay(order)
    assert {a.status for a in scene.box.answers()} == {"approved"}
    assert {a.reference for a in scene.box.answers()} == {again.reference}
    assert scene.fleet.entries(order["order_id"]) == ["capture"]


def test_a_channel_that_the_gateway_does_not_have_is_refused_by_name_and_what_it_has_is_said(scene: Any) -> None:
    answer = scene.pay(scene.new_order(), channel="moon-pay")
    assert (answer.status, answer.reason) == ("declined", "unknown_channel")
    assert "simulated" in answer.channels
    assert "moon-pay" not in answer.channels
    assert scene.payer_has() == 10000

"""The gateway killed with -9, the broker restarted, the box gone: afterwards the books are right and everyone knows."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest


def test_killed_before_the_provider_acted_it_asks_after_the_restart_and_never_pays_a_second_time(
    own_scene_with: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    scene = own_scene_with("--delay-s", "3")
    order = scene.new_order()
    scene.box.send("pay.request", scene.box.request(order))
    wait_for(lambda: scene.fleet.order_status(order["order_id"]) == "paying", what="received")
    scene.fleet.kill()
    assert scene.payer_has() == 10000
    scene.fleet.start("--delay-s", "0.2")
    answer = scene.box.answer(order["order_id"])
    assert (answer.status, answer.reason) == ("declined", "never_received")
    assert scene.payer_has() == 10000
    assert scene.pay(order, attempt=2).status == "approved"
    assert scene.fleet.entries(order["order_id"]) == ["capture"]


def test_killed_at_any_moment_of_many_payments_every_order_is_charged_at_most_once_and_told_right(
    own_scene: Any,
) -> None:
    scene = own_scene
    told: dict[str, str] = {}
    for round_number in range(4):
        orders = [scene.new_order("1.00") for _ in range(4)]
        for order in orders:
            scene.box.send("pay.request", scene.box.request(order))
        time.sleep(0.004 * round_number)
        scene.fleet.kill()
        scene.fleet.start()
        for order in orders:
            scene.box.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
        for order in orders:
            told[order["order_id"]] = scene.box.answer(order["order_id"]).status
    time.sleep(0.5)
    for order_id, status in told.items():
        assert scene.fleet.entries(order_id) == (["capture"] if status == "approved" else [])
        assert {a.status for a in scene.box.answers(order_id)} == {status}
    assert scene.payer_has() == 10000 - 100 * sum(status == "approved" for status in told.values())
    assert scene.merchant_has() == 100 * sum(status == "approved" for status in told.values())


def test_a_request_sent_while_the_gateway_was_down_is_settled_or_refused_but_never_both(own_scene: Any) -> None:
    scene = own_scene
    order = scene.new_order()
    scene.fleet.kill()
    scene.box.send("pay.request", scene.box.request(order))
    scene.fleet.start()
    scene.box.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    status = scene.box.answer(order["order_id"]).status
    assert scene.payer_has() == (10000 - 1850 if status == "approved" else 10000)


def test_an_order_made_while_the_box_was_away_is_there_when_it_comes_back(
    own_scene: Any, wait_for: Callable[..., Any]
) -> None:
    scene = own_scene
    scene.box.disconnect()
    order = scene.fleet.order(scene.box.id)
    again = type(scene.box)(scene.fleet.state / "fleet_public.pem", scene.fleet.broker_port, key=scene.box.key)
    scene.others.append(again)
    again.payer = scene.payer
    again.connect()
    wait_for(lambda: again.orders(), what="the order after coming back")
    assert again.orders()[0].order_id == order["order_id"]


def test_a_broker_that_forgot_everything_costs_nothing(own_scene: Any, wait_for: Callable[..., Any]) -> None:
    scene = own_scene
    scene.broker.stop()
    order = scene.fleet.order(scene.box.id)
    assert scene.fleet.order_status(order["order_id"]) == "queued"
    scene.broker.start()
    wait_for(lambda: order["order_id"] in [o.order_id for o in scene.box.orders()], 30, "the order on the box")
    assert scene.pay(order).status == "approved"


def test_an_answer_the_box_missed_comes_with_its_next_state(own_scene: Any, wait_for: Callable[..., Any]) -> None:
    scene = own_scene
    order = scene.new_order()
    assert scene.pay(order).status == "approved"
    scene.box.bodies.clear()
    scene.box.unsettled.append((order["order_id"], 1))
    scene.box.link.drop()
    assert scene.box.answer(order["order_id"]).status == "approved"


def test_a_box_that_goes_without_a_word_is_seen_to_be_gone_and_to_be_back(
    own_scene: Any, wait_for: Callable[..., Any]
) -> None:
    scene = own_scene

    def online() -> bool:
        return bool(next(b for b in scene.fleet.http("GET", "/v1/boxes")[1] if b["id"] == scene.box.id)["online"])

    wait_for(online, what="online")
    scene.box.disconnect()
    wait_for(lambda: not online(), what="the last will, believed")
    again = type(scene.box)(scene.fleet.state / "fleet_public.pem", scene.fleet.broker_port, key=scene.box.key)
    scene.others.append(again)
    again.connect()
    wait_for(online, what="online again")


@pytest.mark.parametrize(
    ("mode", "first", "charged"),
    [("lose-answer", "approved", True), ("lose-request", "declined", False), ("hang", "pending", False)],
)
def test_an_acquirer_that_does_not_answer_is_asked_and_reversed(
    own_scene_with: Callable[..., Any], mode: str, first: str, charged: bool
) -> None:
    scene = own_scene_with("--fail-mode", mode)
    order = scene.new_order()
    scene.box.send("pay.request", scene.box.request(order))
    time.sleep(0.7)
    assert scene.box.answers(order["order_id"]) == []
    scene.box.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"]).status == first
    assert scene.payer_has() == (10000 - 1850 if charged else 10000)
    scene.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"], 2).status == "reversed"
    assert scene.payer_has() == 10000


def test_a_reversal_that_overtakes_a_slow_acquirer_wins(own_scene_with: Callable[..., Any]) -> None:
    scene = own_scene_with("--delay-s", "1")
    order = scene.new_order()
    scene.box.send("pay.request", scene.box.request(order))
    scene.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"]).status == "reversed"
    time.sleep(1.5)
    assert [a.status for a in scene.box.answers(order["order_id"])] == ["reversed"]
    assert scene.fleet.entries(order["order_id"]) == []

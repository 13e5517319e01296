"""Orders that a box makes itself: believed, limited, matched by the payment, and nobody else's."""

from __future__ import annotations

import secrets

import pytest

from mqtt import topics
from mqtt.envelope import now_unix


def made(box, amount_minor=1850, **changes):
    now = now_unix()
    return {
        "order_id": f"{box.id}-{now}-{secrets.token_hex(6)}", "amount_minor": amount_minor, "currency": "CNY",
        "source": "clerk", "made_at": now, "expires_at": now + 120,
    } | changes  # fmt: skip


@pytest.fixture
def till(scene):
    """A scene whose box may make orders of up to 50.00 yuan and 10.000 dinars."""
    scene.fleet.cli("box", "allow-orders", scene.box.id, "--up-to", "50.00")
    scene.fleet.cli("box", "allow-orders", scene.box.id, "--up-to", "10.000", "--currency", "KWD")
    return scene


def test_the_order_is_known_before_its_pay_request_comes_and_is_paid(till):
    order = made(till.box, title="拿铁")
    till.box.send("order.made", order)
    answer = till.pay(order)
    assert (answer.status, answer.amount_minor) == ("approved", 1850)
    till.box.confirm(order["order_id"])
    view = till.until(order, "approved")
    assert view["made_by"] == {"source": "clerk", "reference": None}
    assert view["title"] == "拿铁"
    assert (till.payer_has(), till.merchant_has()) == (8150, 1850)


def test_the_same_order_again_changes_nothing_and_is_never_sent_down(till, wait_for):
    order = made(till.box, source="till", reference="A-1042")
    sealed = till.box.send("order.made", order)
    till.until(order, "on_box")
    till.box.publish("order.made", sealed.token)
    till.box.send("order.made", order)
    assert till.pay(order).status == "approved"
    till.box.send("order.made", order)
    till.box.confirm(order["order_id"])
    assert till.until(order, "approved")["made_by"] == {"source": "till", "reference": "A-1042"}
    till.box.send("order.made", open_one := made(till.box))
    till.until(open_one, "on_box")
    till.box.link.drop()
    wait_for(lambda: till.box.connections == 2, what="the box back")
    till.new_order("1.00")  # what the gateway had to send again was sent before it
    came = {order.order_id: order.amount_minor for order in till.box.orders()}  # at least once on the wire
    assert list(came.values()) == [100]


def test_the_same_id_with_another_amount_changes_nothing(till):
    order = made(till.box)
    till.box.send("order.made", order)
    till.box.send("order.made", order | {"amount_minor": 1})
    assert till.pay(order | {"amount_minor": 1}).reason == "amount_mismatch"
    assert till.pay(order, attempt=2).status == "approved"
    assert till.payer_has() == 8150


def test_a_pay_request_that_overtakes_its_order_is_declined_and_the_next_attempt_is_paid(till):
    order = made(till.box)
    first = till.pay(order)
    assert (first.status, first.reason) == ("declined", "unknown_order")
    till.box.send("order.made", order)
    assert till.pay(order, attempt=2).status == "approved"
    assert till.payer_has() == 8150


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount_minor": 5001}, "amount_above_limit"),
        ({"currency": "USD"}, "currency_not_allowed"),
        ({"currency": "KWD", "amount_minor": 10_001}, "amount_above_limit"),
        ({"expires_at": 2**33}, "lives_too_long"),
        ({"made_at": 2**33, "expires_at": 2**33 + 60}, "lives_too_long"),
    ],
)
def test_what_goes_over_the_limits_of_the_registration_is_kept_as_cancelled_and_never_paid(till, change, reason):
    order = made(till.box, **change)
    till.box.send("order.made", order)
    assert till.until(order, "cancelled")["reason"] == reason
    answer = till.pay(order)
    assert (answer.status, answer.reason) == ("declined", "order_closed")
    assert till.payer_has() == 10_000


def test_an_order_that_comes_late_is_known_and_can_not_be_paid_by_a_request_any_more(till):
    order = made(till.box, made_at=now_unix() - 7200, expires_at=now_unix() - 7000)
    till.box.send("order.made", order)
    till.until(order, "expired")
    assert till.pay(order).reason == "order_expired"
    assert till.payer_has() == 10_000


def test_a_box_that_was_not_allowed_makes_no_orders_and_the_right_can_be_taken_away(scene):
    order = made(scene.box)
    scene.box.send("order.made", order)
    assert scene.until(order, "cancelled")["reason"] == "box_makes_no_orders"
    for limit, status in (("20.00", "on_box"), ("0", "cancelled")):
        scene.fleet.cli("box", "allow-orders", scene.box.id, "--up-to", limit)
        order = made(scene.box)
        scene.box.send("order.made", order)
        scene.until(order, status)


def test_a_box_can_not_make_an_order_in_another_boxes_name(till):
    other = till.another_box()
    other.connect()
    theirs = made(other)
    till.box.send("order.made", theirs)
    assert till.pay(theirs).reason == "unknown_order"
    assert till.fleet.http("GET", f"/v1/orders/{theirs['order_id']}")[0] == 404


def test_an_order_on_another_boxes_topic_or_signed_by_another_is_refused(till, wait_for):
    other = till.another_box()
    other.connect()

    def refused(reason):
        return till.fleet.http("GET", "/v1/health")[1]["refused"].get(reason, 0)

    before = refused("wrong_issuer")
    order = made(till.box)
    till.box.link.publish(topics.up(other.id, "order"), till.box.seal("order.made", order).token).result(10)
    other.publish("order.made", till.box.seal("order.made", order).token)
    wait_for(lambda: refused("wrong_issuer") == before + 2, what="both refused")
    assert till.fleet.http("GET", f"/v1/orders/{order['order_id']}")[0] == 404


def test_an_order_that_the_box_cancelled_is_not_paid_any_more(till):
    order = made(till.box)
    till.box.send("order.made", order)
    till.until(order, "on_box")
    till.box.send(
        "event", {"event": "order.cancelled", "at": now_unix(), "order_id": order["order_id"], "reason": "by_clerk"}
    )
    assert till.until(order, "cancelled")["reason"] == "by_clerk"
    assert till.pay(order).reason == "order_closed"

"""Real faces, real models, a real store, a real broker: a box takes a payment, or says why not."""

from __future__ import annotations

import numpy as np


def is_green(picture):
    pixels = np.asarray(picture).astype(int)
    return (pixels[..., 1] > pixels[..., 0] + 40).mean() > 0.5


def test_grace_buys_a_coffee(shop):
    before = shop.balance("grace_hopper")
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Approved")
    shop.hands.wait_picture(is_green)
    assert shop.outcome(order_id)["status"] == "approved"
    assert round(float(before) - float(shop.balance("grace_hopper")), 2) == 18.5
    assert shop.charges(order_id) == 1
    [ruling] = [e for e in shop.journal("ruling") if e["facts"]["order_id"] == order_id]
    assert ruling["facts"]["rule"] == "amount_needs_pin"
    shop.books_agree()


def test_the_same_over_mosquitto(mosquitto_shop):
    shop = mosquitto_shop
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Approved")
    assert shop.outcome(order_id)["status"] == "approved"
    assert shop.charges(order_id) == 1
    shop.books_agree()


def test_nobody_in_view_ends_in_a_cancelled_order(shop):
    shop.hands.wait_screen("Idle")
    shop.hands.choose("nobody")
    order_id = shop.order()
    shop.hands.wait_screen("Look")
    shop.hands.wait_screen("Declined", timeout_s=15)
    view = shop.outcome(order_id)
    assert (view["status"], view["reason"]) == ("cancelled", "no_face")
    assert shop.charges(order_id) == 0


def test_a_stranger_pays_nothing(shop):
    shop.hands.wait_screen("Idle")
    shop.hands.choose("eileen_collins")
    order_id = shop.order()
    assert shop.hands.wait_event("face_decided")["reason"] == "stranger"
    shop.hands.wait_screen("Declined")
    view = shop.outcome(order_id, within_s=30)
    assert (view["status"], view["reason"]) == ("cancelled", "not_recognised")
    assert shop.charges(order_id) == 0


def test_a_photo_on_a_phone_pays_nothing(shop):
    shop.hands.wait_screen("Idle")
    shop.hands.choose("phone:grace_hopper")
    order_id = shop.order()
    view = shop.outcome(order_id, within_s=40)
    assert view["status"] == "cancelled"
    assert view["reason"] in ("spoof", "no_face", "not_recognised")
    assert "EnterPin" not in shop.hands.passed[-6:]
    assert shop.charges(order_id) == 0
    shop.hands.choose("nobody")


def test_a_cancelled_order_is_over_for_the_till_too(shop):
    order_id = shop.up_to_pin()
    shop.hands.press("cancel")
    view = shop.outcome(order_id)
    assert (view["status"], view["reason"]) == ("cancelled", "by_payer")


def test_an_order_that_nobody_pays_expires(shop):
    shop.hands.wait_screen("Idle")
    shop.hands.choose("grace_hopper")
    order_id = shop.order(expires_s=6)
    shop.hands.wait_screen("EnterPin")
    shop.hands.wait_screen("Declined", timeout_s=15)
    assert shop.outcome(order_id)["status"] == "expired"


def test_not_enough_money_is_said_and_another_attempt_may_be_made(shop):
    order_id = shop.up_to_pin(amount="4000.00")
    shop.type_pin("2580")
    shop.hands.wait_screen("Declined")
    assert shop.hands.wait_event("answer_arrived", order=order_id)["reason"] == "insufficient_funds"
    shop.hands.wait_screen("EnterPin")
    shop.hands.press("cancel")
    assert shop.outcome(order_id)["status"] in ("cancelled", "declined")
    assert shop.charges(order_id) == 0


def test_no_face_pin_or_template_is_ever_logged(shop):
    log = shop.town.services["box"].log.read_text()
    assert "2580" not in log
    assert "embedding" not in log

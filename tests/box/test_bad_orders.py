"""Orders that must not be believed, over the real broker: each is refused by name, and the box goes on."""

from __future__ import annotations

import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.errors import FleetError
from mqtt.envelope import Signer


def order(order_id: str, **changes: object) -> dict[str, object]:
    return {
        "order_id": order_id, "amount_minor": 1850, "currency": "CNY", "title": None,
        "expires_at": int(time.time()) + 60, **changes,
    }  # fmt: skip


def refused(shop, reason: str) -> None:
    assert shop.hands.wait_event("message_refused", timeout_s=10)["reason"] == reason
    assert shop.hands.screen == "Idle"


@pytest.fixture(autouse=True)
def _idle(shop):
    shop.hands.wait_screen("Idle", timeout_s=30)
    shop.hands.choose("nobody")


def test_an_expired_order(shop, forge):
    forge(order("forged-expired"), at=int(time.time()) - 3600)
    refused(shop, "expired")


def test_an_order_from_the_future(shop, forge):
    forge(order("forged-future"), at=int(time.time()) + 3600)
    refused(shop, "not_yet_valid")


def test_an_order_for_another_box(shop, forge):
    forge(order("forged-other"), audience="kf-aaaaaaaaaaaaaaaa")
    refused(shop, "wrong_audience")


def test_an_order_signed_by_somebody_else(shop, forge):
    key = Ed25519PrivateKey.generate()
    fleet = shop.town.fleet_json("init")["fleet"]
    forge(order("forged-key"), signer=Signer(key, fleet, fleet))
    refused(shop, "bad_signature")


@pytest.mark.parametrize("amount", [-1850, 0, 18.5, "1850", True, None, 10**13])
def test_an_amount_that_is_no_amount(shop, forge, amount):
    forge(order("forged-amount", amount_minor=amount))
    refused(shop, "bad_body")


def test_a_currency_that_nobody_knows_is_reported_to_the_fleet(shop, forge):
    forge(order("forged-currency", currency="QQQ"))
    assert shop.hands.wait_event("order_refused")["order"] == "forged-currency"


def test_a_retained_order(mosquitto_shop, forge_at_mosquitto):
    mosquitto_shop.hands.wait_screen("Idle")
    forge_at_mosquitto(order("forged-retained"), retain=True)
    refused(mosquitto_shop, "retained")


def test_the_same_envelope_twice_is_one_order(shop, forge):
    forge(order("forged-replay"), times=3)
    shop.hands.wait_screen("Look")
    shop.hands.press("cancel")
    shop.hands.wait_screen("Idle")
    time.sleep(0.5)
    assert shop.hands.screen == "Idle"
    assert len([e for e in shop.journal("order_stored") if e["facts"]["order_id"] == "forged-replay"]) == 1


def test_the_same_order_in_a_new_envelope_is_one_order(shop, forge):
    forge(order("forged-again"))
    shop.hands.wait_screen("Look")
    shop.hands.press("cancel")
    shop.hands.wait_screen("Idle")
    forge(order("forged-again"))
    assert shop.hands.wait_event("order_repeated")["order"] == "forged-again"
    assert shop.hands.screen == "Idle"


@pytest.mark.parametrize("amount", ["-18.50", "0", "18.505", "1e3", "¥18", "18,50"])
def test_the_till_takes_no_such_amount(shop, amount):
    with pytest.raises(FleetError, match="amount"):
        shop.town.fleet("order", "--box", "counter-1", f"--amount={amount}")

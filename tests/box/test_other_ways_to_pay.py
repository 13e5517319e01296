"""The ways beside the face, in a whole town: a code on the display, a code off a phone, and a refund afterwards."""

from __future__ import annotations

import json
import time

import pytest

from daemon.payment import emvco
from daemon.payment.money import Amount
from fleet.demo.town import wait_until
from fleet.errors import FleetError

SHOP = emvco.Merchant("com.example.pay", "M-0001", "Kingfisher", "Shanghai")
SETTINGS = """
[payment]
look_s = 20
pin_s = 20
show_s = 1.5
code_s = 40
answer_s = 5
query_first_s = 0.3
query_longest_s = 1
reverse_every_s = 1
ways = ["face_first", "qr_shown", "qr_scanned"]

[channels.simulated]
flows = ["face_first"]

[channels.wallet]
flows = ["qr_shown", "qr_scanned"]

[merchant]
scheme = "com.example.pay"
account = "M-0001"
name = "Kingfisher"
city = "Shanghai"
"""


@pytest.fixture(scope="module")
def town(open_shop):
    shop = open_shop(settings=SETTINGS)
    shop.enrol("grace_hopper", "100.00")
    return shop


def by_menu(shop, digit):
    """The payer leaves the face for another way with one key, and a digit."""
    shop.hands.wait_screen("Idle")
    shop.hands.choose("nobody")
    order_id = shop.order()
    shop.hands.wait_screen("Look")
    shop.hands.press("menu")
    shop.hands.wait_screen("Choose")
    shop.hands.press(digit)
    return order_id


def shown(order_id):
    """What stands in the code on the display: the screen's own test compares its squares with this."""
    return emvco.payload(SHOP, Amount(1850, "CNY"), order_id, 1)


def app_pays(shop, code):
    return shop.town.fleet_json("wallet", "--payer", "grace_hopper", "--code", code)


def waits(shop, order_id):
    """The gateway has the pay request, and waits for the payer's app."""
    return lambda: any(
        o["order_id"] == order_id and o["status"] == "paying" for o in shop.town.fleet_json("orders", "--limit", "20")
    )


def test_a_code_on_the_display_is_paid_by_the_payers_own_app(town):
    before = town.balance("grace_hopper")
    order_id = by_menu(town, "2")
    town.hands.wait_screen("ShowCode")
    assert wait_until(waits(town, order_id), 60, 0.2)
    assert app_pays(town, shown(order_id))["status"] == "approved"
    town.hands.wait_screen("Approved")
    assert town.outcome(order_id)["status"] == "approved"
    assert round(float(before) - float(town.balance("grace_hopper")), 2) == 18.5
    with pytest.raises(FleetError, match="no payment waits"):
        app_pays(town, shown(order_id))
    assert town.charges(order_id) == 1
    town.books_agree()


def test_a_code_that_the_payer_cancels_can_not_be_paid_afterwards(town):
    order_id = by_menu(town, "2")
    town.hands.wait_screen("ShowCode")
    assert wait_until(waits(town, order_id), 60, 0.2)
    town.hands.press("cancel")
    town.hands.wait_screen("Reversed")
    town.outcome(order_id)
    with pytest.raises(FleetError, match="no payment waits"):
        app_pays(town, shown(order_id))
    assert town.charges(order_id) == 0
    town.books_agree()


def test_a_code_off_the_payers_phone_is_scanned_and_paid_once(town):
    code = town.town.fleet_json("wallet", "--payer", "grace_hopper")["auth_code"]
    order_id = by_menu(town, "3")
    town.hands.wait_screen("ScanCode")
    town.hands.scan(code)
    town.hands.wait_screen("Approved")
    assert town.outcome(order_id)["status"] == "approved"
    assert town.charges(order_id) == 1
    second = by_menu(town, "3")
    town.hands.wait_screen("ScanCode")
    town.hands.scan(code)
    town.hands.wait_screen("Declined")
    assert town.charges(second) == 0
    assert code not in json.dumps(town.journal())
    assert code not in town.town.services["box"].log.read_text()
    town.hands.press("cancel")
    town.books_agree()


def test_a_technician_pays_an_order_back(town):
    before = town.balance("grace_hopper")
    order_id = by_menu(town, "2")
    town.hands.wait_screen("ShowCode")
    assert wait_until(waits(town, order_id), 60, 0.2)
    app_pays(town, shown(order_id))
    town.hands.wait_screen("Approved")
    town.outcome(order_id)
    town.hands.wait_screen("Idle")
    config = str(town.town.folder / "box" / "box.toml")
    assert "is being paid back" in town.town.kingfisher("refund", order_id, "--config", config)
    until_s = time.monotonic() + 20
    while town.balance("grace_hopper") != before and time.monotonic() < until_s:
        time.sleep(0.2)
    assert town.balance("grace_hopper") == before
    assert any(e["facts"].get("status") == "refunded" for e in town.journal("attempt"))
    town.books_agree()


def test_who_stands_before_the_box_is_told_to_whoever_asked_and_nothing_is_charged(town):
    town.hands.wait_screen("Idle")
    before = town.balance("grace_hopper")
    asked = town.town.begin_fleet("verify", "--box", "counter-1", "--title", "Room 1204")
    town.hands.choose("grace_hopper")
    town.hands.wait_screen("EnterPin")
    town.type_pin("2580")
    town.hands.wait_screen("Verified")
    assert asked.wait(30) == 0
    assert town.balance("grace_hopper") == before
    [entry] = town.journal("identity_check")
    assert entry["facts"]["factors"] == "face,pin"
    assert "grace" not in json.dumps(entry)
    town.hands.choose("nobody")

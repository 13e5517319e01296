"""A box that keeps nobody, in a whole town: the gateway's matcher says who stands there, and a token pays once."""

from __future__ import annotations

import json

import pytest

SETTINGS = """
[payment]
look_s = 20
pin_s = 20
show_s = 1.5
answer_s = 5
query_first_s = 0.3
query_longest_s = 1
reverse_every_s = 1
offline_after_s = 1
ways = ["face_first", "phone_first", "qr_shown"]

[channels.simulated]
flows = ["face_first", "phone_first"]

[channels.wallet]
flows = ["qr_shown"]

[merchant]
scheme = "com.example.pay"
account = "M-0001"
name = "Kingfisher"
city = "Shanghai"
"""
PHONE = "13987654321"


@pytest.fixture(scope="module")
def shop(open_shop):
    shop = open_shop(settings=SETTINGS, open_loop="north")
    shop.enrol("grace_hopper")
    return shop


def face(shop, *words: str, given: str = ""):
    return json.loads(shop.town.fleet("--json", "face", *words).splitlines()[-1])


def balance_minor(shop) -> int:
    return round(float(shop.balance("grace_hopper")) * 100)


def test_an_enrolment_at_an_open_loop_box_goes_to_the_gateway_and_stays_nowhere_else(shop):
    [person] = face(shop, "list")["people"]
    assert (person["handle"], person["places"]) == ("grace_hopper", ["north"])
    status = json.loads(shop.town.kingfisher("store", "status", "--json", "--config", str(shop.town.config)))
    assert (status["profile"], status["people"], status["templates"]) == ("open-loop", 0, {})


def test_a_face_and_a_pin_pay_by_a_token_of_the_gateways_matcher(shop):
    before = balance_minor(shop)
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Approved")
    view = shop.outcome(order_id)
    assert (view["status"], view["payer"]) == ("approved", "grace_hopper")
    assert balance_minor(shop) == before - 1850
    assert shop.charges(order_id) == 1
    [attempt] = [e for e in shop.journal("attempt") if e["facts"]["order_id"] == order_id and e["facts"].get("factors")]
    assert attempt["facts"]["factors"] == "face,pin"
    shop.books_agree()

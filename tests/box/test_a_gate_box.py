"""A box that is a gate, in a whole town: who agreed walks through and is charged once, come what may to the power."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest

from fleet.demo import gate
from fleet.demo.scene import Scene
from fleet.demo.town import wait_until

FARE_MINOR, DAY_CAP_MINOR = 200, 700
SETTINGS = f"""
[payment]
show_s = 1.5
offline_after_s = 1

[gate]
on = true
passage_minor = {FARE_MINOR}
day_cap_minor = {DAY_CAP_MINOR}
passback_s = 5
open_s = 0.5
show_s = 1.0
offline = true

[policy]
unchallenged_up_to_minor = 500  # who stands before this box is a picture, and turns nothing when asked to

[policy.offline]
per_payment = 500
per_payer_day = 2000
per_box_day = 5000
payments_per_payer_day = 20

[[policy.rules]]
name = "gate"
then = "none"
when = {{ flow = ["gate"], amount = {{ at_most = 500 }}, currency = ["CNY"] }}
"""


@pytest.fixture(scope="module")
def shop(open_shop):
    shop = open_shop(settings=SETTINGS)
    gate.agree(Scene(shop.town, shop.hands, None, {"grace_hopper": "2580"}), "grace_hopper", "100.00")  # type: ignore[arg-type]
    return shop


def passes(shop) -> list[dict]:
    return [entry["facts"] for entry in shop.journal("passage")]


def charged(shop) -> int:
    """What she was charged today, in minor units."""
    return sum(made["minor"] for made in passes(shop))


def uncertain(shop) -> set[str]:
    """The orders of passages of which the box could not know, after a power cut, whether the gate had opened."""
    return {entry["facts"]["order_id"] for entry in shop.journal("gate_uncertain")}


def walk(shop, *screens: str) -> str:
    """She comes into view and goes; what the display said."""
    shop.hands.wait_screen("GateReady")
    shop.hands.choose("grace_hopper")
    said = shop.hands.wait_screen(*screens)
    shop.hands.choose("nobody")
    return str(said)


def again(shop) -> None:
    """A power cut, and the box starts with nobody in view."""
    shop.town.services["box"].kill()
    shop.town.start_box()
    with suppress(Exception):
        shop.hands.__exit__()
    shop.hands.__init__(shop.town.page_url, shop.town.folder / "screens")
    shop.hands.__enter__()
    shop.hands.wait_event("connected")


def wait_passback(shop) -> None:
    """Until she has been away for passback_s."""
    shop.hands.wait_screen("GateReady")
    away = time.time()
    assert wait_until(lambda: time.time() > away + 6, 30, 0.1)


def test_the_demos_scenario_proves_what_it_says(shop):
    """Her first passage, a step back, and a stranger."""
    scene = Scene(shop.town, shop.hands, None, {"grace_hopper": "2580"})  # type: ignore[arg-type]
    assert gate.play(scene)
    scene.agree()
    [facts] = passes(shop)
    assert shop.charges(facts["order_id"]) == 1
    assert shop.balance("grace_hopper") == "98.00"


def test_a_box_killed_the_moment_the_gate_opens_charges_once(shop):
    before = len(passes(shop))
    wait_passback(shop)
    shop.hands.wait_screen("GateReady")
    shop.hands.look_up()
    shop.hands.choose("grace_hopper")
    shop.hands.wait_event("gate_open")
    again(shop)
    made = passes(shop)
    assert len(made) == before + 1
    assert shop.outcome(made[-1]["order_id"], within_s=40)["status"] == "approved"
    assert shop.charges(made[-1]["order_id"]) == 1
    if made[-1]["order_id"] in uncertain(shop):  # killed before it was on disk that the gate had opened
        shop.hands.look_up()
        walk(shop, "GateOpen")
        shop.hands.wait_event("passage_resumed")
        assert passes(shop) == made
        assert shop.charges(made[-1]["order_id"]) == 1


def test_a_stranger_stays_outside_and_leaves_no_line_in_the_journal(shop):
    shop.hands.look_up()
    shop.hands.wait_screen("GateReady")
    shop.hands.choose("eileen_collins")
    shop.hands.wait_event("gate_refused", reason="not_recognised")
    shop.hands.wait_screen("GateShut")
    shop.hands.choose("nobody")
    assert "not_recognised" not in {entry["facts"]["reason"] for entry in shop.journal("gate_refused")}


def test_a_gate_that_did_not_open_and_a_box_killed_meanwhile_charge_the_passage_once_and_open_for_it_later(shop):
    wait_passback(shop)
    before = len(passes(shop))
    shop.hands.wait_screen("GateReady")
    shop.hands.fault("gate", "unplugged")
    shop.hands.look_up()
    shop.hands.choose("grace_hopper")
    shop.hands.wait_event("gate_refused", reason="no_gate")
    again(shop)
    made = passes(shop)
    assert len(made) == before + 1
    assert made[-1]["order_id"] in uncertain(shop)
    shop.hands.choose("grace_hopper")
    shop.hands.wait_event("passage_resumed")
    shop.hands.wait_screen("GateOpen")
    shop.hands.choose("nobody")
    assert len(passes(shop)) == before + 1
    assert shop.outcome(made[-1]["order_id"], within_s=40)["status"] == "approved"
    assert shop.charges(made[-1]["order_id"]) == 1


def test_offline_the_passage_is_a_voucher_that_is_charged_once_the_network_is_back(shop):
    before = charged(shop)
    wait_passback(shop)
    shop.hands.wait_screen("GateReady")
    shop.town.services["broker"].kill()
    try:
        shop.hands.wait_event("condition", name="offline")
        wait_until(lambda: False, 1.5)
        walk(shop, "GateOpen")
        order_id = passes(shop)[-1]["order_id"]
    finally:
        shop.town.start_broker()
    shop.hands.wait_event("condition_over", name="offline", timeout_s=60)
    assert wait_until(lambda: order_id in str(shop.town.fleet_json("orders", "--limit", "100")), 60, 0.3)
    assert shop.outcome(order_id, within_s=60)["status"] == "approved"
    assert passes(shop)[-1]["minor"] == min(FARE_MINOR, DAY_CAP_MINOR - before)
    assert shop.charges(order_id) == 1


def test_at_the_days_cap_the_gate_opens_for_nothing_and_the_books_agree(shop):
    while charged(shop) < DAY_CAP_MINOR:
        wait_passback(shop)
        walk(shop, "GateOpen")
    for order_id in [made["order_id"] for made in passes(shop) if "order_id" in made]:
        assert shop.outcome(order_id, within_s=60)["status"] == "approved"
    wait_passback(shop)
    walk(shop, "GateOpen")
    assert passes(shop)[-1]["minor"] == 0
    assert "order_id" not in passes(shop)[-1]
    assert shop.balance("grace_hopper") == "93.00"
    shop.books_agree()

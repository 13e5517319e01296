"""Each way to start an order, from its first key to the books: the demo's scenarios, played in one town."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.demo import goods
from fleet.demo.hands import Hands
from fleet.demo.scenarios import SCENARIOS
from fleet.demo.scene import Scene, enrol
from fleet.demo.till import Till
from fleet.demo.town import Town, wait_until

PINS = {"grace_hopper": "2580"}
PLAYED = [n for n, s in SCENARIOS.items() if s.box == "counter" and not (s.members or s.providers or s.friend)]
QUICK = """
look_s = 10
pin_s = 20
show_s = 1.5
answer_s = 4
query_first_s = 0.3
query_longest_s = 1
reverse_every_s = 1
"""


@pytest.fixture(scope="module")
def open_scene(
    models_folder: Path, portraits_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Scene]]:
    """Makes towns with a stocked shop, a till's line and grace enrolled; each closes with the module."""
    closing: list[Callable[[], object]] = []

    def make() -> Scene:
        folder = tmp_path_factory.mktemp("floor")
        settings = goods.shop_floor(folder / "till", QUICK)
        town = Town(folder, models_folder, portraits_folder, locale="en", settings=settings)
        till = Till(folder / "till")
        closing.append(till.__enter__().__exit__)
        town.found()
        goods.stock(town)
        town.start_broker()
        town.start_gateway()
        town.start_box()
        closing.append(town.stop)
        hands = Hands(town.page_url)
        scene = Scene(town, hands.__enter__(), till, PINS)
        closing.append(lambda: scene.hands.__exit__())  # others by then, after a power cut
        scene.idle()
        hands.wait_event("connected")
        enrol(scene, "grace_hopper", "1000.00")
        return scene

    yield make
    for close in reversed(closing):
        close()


@pytest.fixture(scope="module")
def scene(open_scene: Callable[[], Scene]) -> Scene:
    return open_scene()


@pytest.fixture(autouse=True)
def at_rest(scene: Scene) -> Iterator[None]:
    """Each scenario begins at an idle box with nobody there, and ends with books that agree."""
    scene.hands.choose("nobody")
    scene.idle()
    scene.hands.look_up()
    yield
    scene.hands.choose("nobody")
    scene.idle()
    scene.agree()


@pytest.mark.parametrize("name", PLAYED)
def test_the_scenario_proves_what_it_says(scene: Scene, name: str) -> None:
    assert SCENARIOS[name].play(scene)


def test_every_scenario_is_listed_with_what_to_do_by_hand() -> None:
    for name, scenario in SCENARIOS.items():
        assert scenario.name == name
        assert scenario.title
        assert scenario.by_hand


def test_a_receipt_comes_out_of_the_printer_and_one_without_paper_waits_without_holding_up_a_payment(scene: Scene):
    scene.hands.fault("printer", "no_paper")
    before = len(scene.hands.receipts)
    SCENARIOS["clerk-amount"].play(scene)
    scene.hands.wait_event("condition", name="no_paper")
    assert len(scene.hands.receipts) == before
    scene.hands.fault("printer", "none")
    scene.hands.wait_event("receipt_printed")
    assert "12.50" in scene.hands.receipts[-1]


def test_a_clerk_can_not_go_over_the_fleets_limit_for_this_box(scene: Scene) -> None:
    """The box's own limit is 5000.00; the registration is made stricter behind its back."""
    scene.town.fleet("box", "allow-orders", "counter-1", "--up-to", "1.00")
    try:
        scene.stand("grace_hopper")
        scene.hands.press("2", "ok")
        order_id = scene.made_by_box("clerk")
        scene.hands.wait_screen("EnterPin")
        scene.hands.press(*PINS["grace_hopper"], "ok")
        scene.hands.wait_screen("Declined")
        view = scene.final(order_id)
        assert (view["status"], view["reason"]) == ("cancelled", "amount_above_limit")
        scene.hands.press("cancel")
    finally:
        scene.town.fleet("box", "allow-orders", "counter-1", "--up-to", "5000.00")


def test_a_cancelled_cart_and_a_cancelled_amount_leave_no_order(scene: Scene) -> None:
    before = scene.town.fleet_json("ledger", "verify")["orders"]
    scene.hands.scan(goods.WATER)
    scene.hands.wait_screen("Cart")
    scene.hands.press("cancel")
    scene.hands.wait_screen("AskEmptyCart")
    scene.hands.press("ok")
    scene.idle()
    scene.hands.press("5")
    scene.hands.wait_screen("EnterAmount")
    scene.hands.press("cancel")
    scene.idle()
    assert scene.town.fleet_json("ledger", "verify")["orders"] == before


@pytest.mark.parametrize("after_ms", [0, 10, 30, 80, 200])
def test_power_cut_between_order_and_ack_gives_the_same_order_once(scene: Scene, after_ms: int) -> None:
    reference, amount_minor = f"cut-{after_ms}", 3000 + after_ms
    scene.till.order(reference, amount_minor)
    time.sleep(after_ms / 1000)
    scene.town.services["box"].kill()
    scene.town.start_box()
    scene.hands.__exit__()
    scene.hands = Hands(scene.town.page_url)
    scene.hands.__enter__()
    scene.hands.wait_event("recovered")
    scene.till.order(reference, amount_minor)
    scene.till.wait("ACK", ref=reference)
    scene.till.say("CANCEL", ref=reference)
    scene.till.wait("ACK", ref=reference, state="cancelled")
    stored = [e for e in scene.journal() if e["name"] == "order_stored" and e["facts"]["minor"] == amount_minor]
    assert len(stored) == 1
    assert wait_until(lambda: len(known(scene, reference)) == 1, 10)


def known(scene: Scene, reference: str) -> list[Any]:
    """What the gateway has of this till's reference."""
    orders = scene.town.fleet_json("orders", "--limit", "200")
    return [order for order in orders if order["made_by"]["reference"] == reference]

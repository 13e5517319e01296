"""What comes after a payer's OK: a refusal and another way, money that goes back, the books at the end of the day."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from daemon.payment import emvco
from daemon.payment.money import Amount
from fleet.demo.goods import SHOP
from fleet.demo.judging import FIRST
from fleet.demo.providers.bank import Fault
from fleet.demo.scene import Scene
from fleet.demo.town import BOX_NAME
from fleet.errors import FleetError

PAYER, FRIEND = "grace_hopper", "eileen_collins"
UTC_OFFSET_MIN = 480


def declined(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(PAYER)
    with step("an order for more than the payer has: face, PIN, and the gateway declines", people=True):
        order_id = scene.ask("600.00", "--expires-s", "300")
        hands.wait_screen("EnterPin")
        hands.press(*scene.pins[PAYER], "ok")
        hands.wait_screen("Declined")
    with step("try again: OK; declined again, as nothing has changed", people=True):
        hands.press("ok")
        hands.wait_screen("EnterPin")
        hands.press(*scene.pins[PAYER], "ok")
        hands.wait_screen("Declined")
    with step("another way: OK, menu, the code on the display; a friend's app pays it, she has enough", people=True):
        scene.town.fleet("topup", "--payer", FRIEND, "--amount", "1000.00", "--id", f"slip-{order_id}")
        hands.press("ok")
        hands.wait_screen("Look", "EnterPin")
        hands.press("menu")
        hands.wait_screen("Choose")
        hands.press("2")
        hands.wait_screen("ShowCode")
        scene.wait(lambda: scene.order(order_id)["status"] == "paying", "nothing waits to be paid")
        code = emvco.payload(SHOP, Amount(60000, "CNY"), order_id, 3)
        scene.town.fleet("wallet", "--payer", FRIEND, "--code", code)
        hands.wait_screen("Approved")
    view = scene.final(order_id)
    scene.require((view["payer"], view["attempt"]) == (FRIEND, 3), f"attempt {view['attempt']} by {view['payer']}")
    states = [f["reason"] for f in scene.noted("attempt", order_id) if f["status"] == "declined"]
    scene.require(states == ["insufficient_funds"] * 2, f"the journal says {states}")
    return "declined twice, tried again, and paid the third time another way: one order, one capture"


def refund(scene: Scene) -> str:
    hands, step, town = scene.hands, scene.step, scene.town
    scene.stand(PAYER)
    before = scene.balance(PAYER)
    with step("¥18.50 are paid by face and PIN", people=True):
        first = scene.ask("18.50")
        scene.pay()
        scene.final(first)
        hands.press("ok")
    with step("the operator gives ¥5.00 of it back, and once only, however often it is asked"):
        for _ in range(2):
            town.fleet("refund", first, "--amount", "5.00", "--id", f"cup-{first}", "--why", "cup broke", "--wait")
        scene.require(scene.balance(PAYER) == before - 1350, f"the payer has {scene.balance(PAYER)}")
    with step("more than is left is refused"):
        town.fleet("refund", first, "--amount", "14.00", "--why", "all of it", ok=(1,))
    with step("another ¥7.00 are paid; the technician gives them back at the box", people=True):
        second = scene.ask("7.00")
        scene.pay()
        scene.final(second)
        hands.press("ok")
        town.kingfisher("refund", second, "--config", str(town.config))
        scene.wait(lambda: scene.order(second)["status"] == "refunded", "the money did not go back")
    scene.require(scene.balance(PAYER) == before - 1350, f"the payer has {scene.balance(PAYER)}")
    scene.require(scene.noted("attempt", second)[-1]["status"] == "refunded", "the box does not know how it ended")
    return "a part went back from the fleet and a whole from the box, each once, and never more than was taken"


def take_back(scene: Scene) -> str:
    hands, step, town = scene.hands, scene.step, scene.town
    scene.stand(PAYER)
    before = scene.balance(PAYER)
    with step("a clerk gets a PIN, of which the box keeps a hash"):
        pin = json.loads(town.kingfisher("clerk-pin", "--new", "--json", "--config", str(town.config)))["pin"]
    with step("¥18.50 are paid; the receipt has a short number", people=True):
        small = scene.ask("18.50")
        scene.pay()
        scene.final(small)
        hands.press("ok")
        number = _number(scene, small)
    with step(f"the clerk: menu, PIN, {number}, OK; the amount is on the display, OK", people=True):
        _log_in(scene, pin)
        hands.press(*number, "ok")
        hands.wait_screen("AskTakeBack")
        hands.press("ok")
        hands.wait_screen("TakenBack")
        scene.wait(lambda: scene.order(small)["status"] == "refunded", "the money did not go back")
        hands.press("ok")
    scene.require(scene.balance(PAYER) == before, f"the payer has {scene.balance(PAYER)}")
    refunding = [f for f in scene.noted("attempt", small) if f["status"] == "refunding"]
    scene.require([f["reason"] for f in refunding] == ["clerk"], f"the journal says {refunding}")
    with step("a sale of ¥60.00 is more than a clerk may give back", people=True):
        large = scene.ask("60.00")
        scene.pay()
        scene.final(large)
        hands.press("ok")
        _log_in(scene, pin)
        hands.press(*_number(scene, large), "ok")
        hands.wait_screen("TakenBack")
        hands.press("ok")
    scene.require(scene.order(large)["status"] == "approved", "it went back all the same")
    with step("the fleet cancels an order that waits for its payer: it leaves the display"):
        scene.stand("nobody")
        waiting = scene.ask("5.00", "--expires-s", "300")
        hands.wait_screen("Look")
        said = town.fleet_json("cancel", waiting, "--wait")
        scene.require(said["box"] == "cancelled", f"the box says {said['box']}")
        hands.wait_screen("Declined", "Cancelled", "Idle")
    with step("one that is paid can't be cancelled: the refund is named"):
        try:
            town.fleet("cancel", large)
        except FleetError as refused:
            scene.require(f"kingfisher-fleet refund {large}" in str(refused), f"it says {refused}")
        else:
            raise FleetError("the scenario", "a paid order was cancelled")
    return "a clerk gave one sale back with a PIN and a number, and no larger one; the fleet took an open order back"


def _log_in(scene: Scene, pin: str) -> None:
    scene.idle()
    scene.hands.press("menu")
    scene.hands.wait_screen("Authorise")
    scene.hands.press(*pin, "ok")
    scene.hands.wait_screen("EnterReceipt")


def _number(scene: Scene, order_id: str) -> str:
    """As it stands on the receipt."""
    receipt = scene.town.kingfisher("receipt", order_id, "--config", str(scene.town.config))
    found = re.search(r"^(?:No\.|小票号) ?(\d+)$", receipt, re.MULTILINE)
    if found is None:
        raise FleetError("the scenario", "the receipt has no number")
    return found[1]


def reconcile(scene: Scene) -> str:
    step, town = scene.step, scene.town
    scene.stand(PAYER)
    bank = scene.providers[FIRST].bank
    owed = bank.kept_minor()
    day = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 60 * UTC_OFFSET_MIN))
    box_list = town.folder / "box.jsonl"

    def compare(*ok: int) -> dict[str, Any]:
        town.kingfisher(
            "journal", "attempts", "--day", day, "--out", str(box_list), "--db", str(town.box_db), "--utc-offset",
            str(UTC_OFFSET_MIN),
        )  # fmt: skip
        against = ("reconcile", "--box", BOX_NAME, "--day", day, "--with", str(box_list))
        return dict(town.fleet_json(*against, ok=ok))

    earlier = compare(0)
    with step("a day's payments: one by face and PIN, and one by a code", people=True):
        by_face = scene.ask("18.50")
        scene.pay()
        scene.final(by_face)
        scene.hands.press("ok")
        by_code = scene.by_code("9.00", "2844444444444444")
        scene.hands.wait_screen("Approved")
        scene.final(by_code)
        scene.hands.press("ok")
    with step("the box's signed list of the day is held against the ledger: no difference"):
        report = compare(0)
        scene.require(report["differences"] == earlier["differences"], f"it says {report}")
        scene.require(report["attempts"] == earlier["attempts"] + 2, f"it says {report}")
    with step("the list is edited on its way: it is not believed"):
        box_list.write_bytes(box_list.read_bytes().replace(b"1850", b"0850"))
        town.fleet("reconcile", "--box", BOX_NAME, "--day", day, "--with", str(box_list), ok=(1,))
    with step(f"{FIRST} answers nothing, and takes the money when it had been given up", people=True):
        bank.late_s = 8.0
        bank.fail("pay", Fault.LATE)
        late = scene.by_code("4.00", "2855555555555555")
        scene.hands.wait_screen("Declined", "Reversed")
        scene.hands.press("cancel")
        scene.wait(lambda: bank.kept_minor() == owed + 1300, "the provider never took it")
    channel = ("reconcile", "--channel", FIRST, "--day", day)
    with step("the provider's own list shows it; it is booked as late and given back"):
        found = town.fleet_json(*channel, ok=(1,))["differences"]
        scene.require([d["order_id"] for d in found] == [late], f"it says {found}")
        scene.wait(lambda: bank.kept_minor() == owed + 900, "the late money did not go back")
        scene.wait(lambda: not town.fleet_json(*channel, ok=(0, 1))["differences"], "the lists still differ")
    with step("the operator gives ¥2.00 of the first payment back: the report lists it, and no money is in question"):
        town.fleet("refund", by_face, "--amount", "2.00", "--why", "cold", "--wait")
        report = compare(0)
        new = [d for d in report["differences"] if d["order_id"] == by_face]
        scene.require([d["kind"] for d in new] == ["refund_differs"], f"it says {report}")
        scene.require(report["money_in_question"] == 0, f"it says {report}")
    return "box, ledger and provider were compared; what differed was named, and the late money went back"

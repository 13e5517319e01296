"""What a member has of it: a lower price with its reasons, points, a coupon on the paid screen, stored value; and how
somebody becomes one who has just paid.
"""

from __future__ import annotations

import json
from typing import Any

from PIL import Image

from fleet.demo.scene import Scene
from fleet.demo.town import BOX_NAME

PAYER, STRANGER = "grace_hopper", "eileen_collins"
KIND, OFFERED, SMILED = "demo-tenth", "demo-again", "demo-smile"


def _member(scene: Scene, handle: str) -> dict[str, Any]:
    return dict(scene.town.fleet_json("member", "show", handle))


def _has_a_card(glass: Image.Image) -> bool:
    """Whether something lies over the green at the right of the paid screen."""
    red = glass.convert("RGB").split()[0].getpixel((760, 60))
    return isinstance(red, int) and red > 200


def _kept(scene: Scene) -> tuple[int, int]:
    """How many people the box's store has, and how often it was written."""
    told = json.loads(scene.town.kingfisher("store", "status", "--json", "--config", str(scene.town.config)))
    return told["people"], told["counter"]


def member_price(scene: Scene) -> str:
    hands, step, fleet = scene.hands, scene.step, scene.town.fleet
    with step("grace is a member; she has a tenth off, and a coupon that this order is too small for"):
        fleet("member", "add", PAYER, "--uid", "0042")
        fleet("coupon", "kind", KIND, "--title", "10% off", "--percent", "10")
        fleet("coupon", "kind", "demo-large", "--title", "5.00 off above 200.00", "--off", "5", "--min-spend", "200")
        for kind in (KIND, "demo-large"):
            fleet("coupon", "give", kind, "--payer", PAYER)
        fleet("coupon", "kind", OFFERED, "--title", "See you: 2.00 off", "--off", "2.00", "--on-success")
    before = scene.balance(PAYER)
    scene.stand(PAYER)
    try:
        with step("the till asks for ¥150.00; face and PIN; the price is shown with its reasons", people=True):
            order_id = scene.ask("150.00")
            hands.wait_screen("EnterPin")
            hands.press(*scene.pins[PAYER], "ok")
            hands.wait_screen("Review")
        scene.require(scene.balance(PAYER) == before, "money moved before the payer had agreed")
        with step("OK: ¥135.00 are paid; the paid screen carries points and a coupon to scan", people=True):
            hands.press("ok")
            hands.wait_screen("Approved")
            scene.final(order_id)
    finally:
        fleet("coupon", "stop", OFFERED)
    scene.require(before - scene.balance(PAYER) == 13500, "another sum was charged than was shown")
    had = _member(scene, PAYER)["points"]
    scene.require(had >= 135, f"{had} points for 135 yuan")
    hands.press("ok")
    with step("the next order: one key turns points into money off", people=True):
        second = scene.ask("9.90")
        hands.wait_screen("EnterPin")
        hands.press(*scene.pins[PAYER], "ok")
        hands.wait_screen("Review")
        hands.look_up()
        hands.press("1")
        hands.wait_event("screen", view="Review")
        hands.press("ok")
        hands.wait_screen("Approved")
        scene.final(second)
    [agreed] = scene.noted("quote_agreed", second)
    left = _member(scene, PAYER)["points"]
    scene.require(agreed["off"] > 0 and left < had, "no points were spent")
    return f"a member agreed to each price before it was taken, and spent points: ¥{agreed['off'] / 100:.2f} off"


def sign_up(scene: Scene) -> str:
    hands, step, town = scene.hands, scene.step, scene.town
    before = {account["account"] for account in town.fleet_json("accounts")}
    with step("whoever comes now is unknown here"):
        if f"payer:{STRANGER}" in before:
            town.fleet("remote", BOX_NAME, "erase", STRANGER)
    with step("somebody pays with a code off an app", people=True):
        hands.choose("nobody")
        order_id = scene.by_code("12.00", town.fleet_json("wallet", "--payer", PAYER)["auth_code"])
        hands.wait_screen("Approved")
    with step("1 on the paid screen: the notice, and what it is for", people=True):
        hands.choose(STRANGER)
        hands.press("1")
        hands.wait_screen("Consent")
    with step("OK: the face is taken", people=True):
        hands.press("ok")
        hands.wait_screen("NewPin")
    with step("a PIN, twice", people=True):
        hands.press(*"4826", "ok", *"4826", "ok")
        hands.wait_screen("EnrolDone")
    hands.press("ok")

    def joined() -> list[str]:
        names = [str(account["account"]) for account in town.fleet_json("accounts")]
        return [name for name in names if name not in before and name.startswith("payer:")]

    scene.wait(lambda: len(joined()) == 1, "the fleet has no new member")
    member = joined()[0].removeprefix("payer:")
    scene.final(order_id)
    with step("the new member buys stored value and pays with a look"):
        town.fleet("topup", "--payer", member, "--amount", "20.00", "--id", f"slip-{member}")
        paid = scene.ask("8.00")
        scene.pay_with("4826")
    scene.require(scene.final(paid)["payer"] == member, "somebody else was charged")
    return "whoever had just paid became a member with one key, consent and a look, and paid so the next time"


def top_up(scene: Scene) -> str:
    hands, step, town = scene.hands, scene.step, scene.town
    before = scene.balance(PAYER)
    asked = ("topup", "--payer", PAYER, "--amount", "50.00", "--box", BOX_NAME, "--id", f"slip-{before}")
    scene.stand(PAYER)
    with step("a clerk takes ¥50.00 and begins a top-up; its member looks and types the PIN", people=True):
        order = town.fleet_json(*asked)
        scene.pay()
        scene.final(order["order_id"])
    with step("the same slip again is the same top-up"):
        again = town.fleet_json(*asked)
        scene.require(again["order_id"] == order["order_id"], "it was begun twice")
    scene.wait(lambda: scene.balance(PAYER) == before + 5000, "the balance is not what was brought")
    with step("the member wants it back: a refund takes it off the balance first"):
        hands.press("ok")
        town.fleet("refund", order["order_id"], "--why", "changed my mind", "--wait")
    scene.require(scene.balance(PAYER) == before, "the balance is not as it was")
    return "stored value was confirmed by its member, added once, and given back"


def smile(scene: Scene) -> str:
    hands, step, fleet = scene.hands, scene.step, scene.town.fleet
    fleet("coupon", "kind", SMILED, "--title", "For your smile: 1.00 off", "--off", "1.00", "--on-smile")
    before = _kept(scene)
    try:
        with step("somebody pays with a code off an app", people=True):
            hands.choose("nobody")
            code = scene.town.fleet_json("wallet", "--payer", PAYER)["auth_code"]
            order_id = scene.by_code("9.00", code)
            hands.wait_screen("Approved")
        with step("2 on the paid screen: the camera looks for a smile, and nothing else", people=True):
            hands.choose(STRANGER)
            hands.press("2")
            hands.wait_screen("Smile")
            hands.wait_screen("Approved")
        with step("the label brings a coupon onto the paid screen"):
            hands.wait_picture(_has_a_card, 30)
    finally:
        fleet("coupon", "stop", SMILED)
    scene.final(order_id)
    scene.require(len(scene.noted("smile_label", order_id)) == 1, "the label is not in the journal")
    scene.require(_kept(scene) == before, "something was written into the store")
    return "a smile brought a coupon; a label left the box, and no face was kept"

"""What the fleet decides for the box: which factor a case calls for, and which payment provider takes a payment."""

from __future__ import annotations

import time

from fleet.demo.members import GRACE
from fleet.demo.providers.paying import PayingProvider
from fleet.demo.scene import Scene
from fleet.demo.town import BOX_NAME

POLICY = """
[policy]
unchallenged_up_to_minor = 2000  # who stands before this box is a picture, and turns nothing when asked to

[[policy.rules]]
name = "far_too_much"
then = "refuse"
when = { amount = { at_least = 50001 }, currency = ["CNY"] }

[[policy.rules]]
name = "small_by_face"
then = "none"
when = { amount = { at_most = 500 }, currency = ["CNY"], score = { at_least = 0.6 }, ambiguous = false }

[[policy.rules]]
name = "medium_by_phone"
then = "phone4"
when = { amount = { at_most = 2000 }, currency = ["CNY"] }
"""
FIRST, SECOND = "alipay-like", "wechat-like"
REST_S = 5  # how long a provider that failed is left alone


def policy(scene: Scene) -> str:
    hands, step, town = scene.hands, scene.step, scene.town
    scene.stand(GRACE.handle)
    with step("a policy with a typing error is pushed: the box names the place, and keeps the one before"):
        broken = town.folder / "broken-policy.toml"
        broken.write_text(POLICY.replace('then = "phone4"', 'then = "phone5"'), encoding="utf-8")
        town.fleet("config", "push", str(broken), "--box", BOX_NAME, "--no-wait")
        hands.wait_event("config_rejected")
    with step("the right one is pushed, signed by the fleet, and in force between two payments"):
        file = town.folder / "policy.toml"
        file.write_text(POLICY, encoding="utf-8")
        hands.look_up()
        town.fleet("config", "push", str(file), "--box", BOX_NAME, "--no-wait")
        hands.wait_event("config_taken_over")
    asked = []
    with step("¥3.00: a sure face is enough"):
        order_id = scene.ask("3.00")
        hands.wait_screen("Approved")
        asked.append(_paid(scene, order_id, "none", "small_by_face"))
    with step("¥15.00: the last 4 digits of the phone", people=True):
        order_id = scene.ask("15.00")
        hands.wait_screen("EnterPhone")
        hands.press(*GRACE.phone[-4:], "ok")
        hands.wait_screen("Approved")
        asked.append(_paid(scene, order_id, "phone4", "medium_by_phone"))
    with step("¥80.00: no rule spares the PIN", people=True):
        order_id = scene.ask("80.00")
        scene.pay_with(GRACE.pin)
        asked.append(_paid(scene, order_id, "pin", "otherwise"))
    with step("¥900.00: refused, with a sentence on the display"):
        order_id = scene.ask("900.00")
        hands.wait_screen("Declined")
        scene.require(scene.final(order_id)["status"] == "cancelled", "it was not refused")
        hands.press("cancel")
    with step("kingfisher policy explain says which rule fires, and why not those before it"):
        told = town.kingfisher("policy", "explain", "--file", str(file), "--amount", "900.00")
        scene.require("far_too_much" in told and "refuse" in told, f"it says {told}")
    with step("the fleet takes it back again"):
        hands.look_up()
        _undo(scene)
        hands.wait_event("config_taken_over")
    return f"the fleet's policy asked for {', '.join(asked)} by the sum, and refused; a broken one changed nothing"


def _undo(scene: Scene) -> None:
    """The newest settings are taken out of the box's layer again."""
    newest = scene.town.fleet_json("config", "status")[0]["id"]
    scene.town.fleet("config", "rollback", str(newest), ok=(0, 1))


def _paid(scene: Scene, order_id: str, factor: str, rule: str) -> str:
    scene.require(scene.final(order_id)["payer"] == GRACE.handle, "somebody else was charged")
    ruling = scene.ruling(order_id)
    scene.require((ruling["factor"], ruling["rule"]) == (factor, rule), f"ruled {ruling}")
    scene.hands.press("ok")
    return factor


def failover(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    first, second = scene.providers[FIRST], scene.providers[SECOND]
    owed = [provider.bank.kept_minor() for provider in (first, second)]
    with step(f"{FIRST} can't be reached; a code off the payer's app is scanned", people=True):
        first.go_away()
        order_id = scene.by_code("12.50", "2811111111111111")
        hands.wait_screen("Declined")
    with step(f"nothing was sent, so the payer tries again: the box goes to {SECOND} by itself", people=True):
        hands.press("ok")
        hands.wait_screen("ScanCode")
        second.bank.payers_ask_first = True
        hands.scan("1322222222222222")
        _agree(scene, second)
        hands.wait_screen("Approved")
    scene.require(scene.final(order_id)["channel"] == SECOND, "it went through another channel")
    reasons = [noted["reason"] for noted in scene.noted("channel", order_id)]
    scene.require(reasons == ["by_priority", "failover_breaker_open"], f"the journal says {reasons}")
    hands.press("ok")
    with step(f"{FIRST} is back; after {REST_S} s one payment tries it, and waits for its payer (code 10003)"):
        first.come_back()
        time.sleep(REST_S)
        first.bank.payers_ask_first = True
        order_id = scene.by_code("8.00", "2833333333333333")
        _agree(scene, first)
        hands.wait_screen("Approved")
    scene.require(scene.final(order_id)["channel"] == FIRST, "it went through another channel")
    scene.require(scene.noted("channel", order_id)[-1]["reason"] == "probe", "it was no probe")
    took = [provider.bank.kept_minor() - before for provider, before in zip((first, second), owed, strict=True)]
    scene.require(took == [800, 1250], f"the providers took {took}")
    with step("a refund goes back through the provider that took it"):
        scene.town.fleet("refund", order_id, "--why", "wrong drink", "--wait")
        scene.require(first.bank.kept_minor() == owed[0], f"{FIRST} still owes {first.bank.kept_minor()}")
        for provider in (first, second):
            provider.bank.payers_ask_first = False
    hands.press("ok")
    return f"{FIRST} was down, {SECOND} took over before anything was sent; {FIRST} was tried again when it was back"


def _agree(scene: Scene, provider: PayingProvider) -> None:
    """The provider asks its payer, who agrees on the phone."""
    scene.wait(lambda: bool(provider.bank.waiting()), f"nobody is asked by {provider.kind}")
    provider.bank.payer_agrees()

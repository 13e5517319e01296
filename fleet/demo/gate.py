"""A gate: whoever agreed to the fare before walks through on a face, and is charged for it once."""

from __future__ import annotations

from fleet.demo.scene import Scene, finished
from fleet.demo.town import BOX_NAME, wait_until

PAYER = "grace_hopper"
SETTINGS = """
[payment]
show_s = 1.5

[gate]
on = true
passage_minor = 200
day_cap_minor = 500
passback_s = 5
open_s = 1.0
show_s = 1.5

[policy]
unchallenged_up_to_minor = 500  # who stands before this box is a picture, and turns nothing when asked to

[[policy.rules]]
name = "gate"
then = "none"
when = { flow = ["gate"], amount = { at_most = 500 }, currency = ["CNY"] }
"""


def agree(scene: Scene, picture: str, balance: str) -> None:
    """Consent to the gate, with its fare and the day's cap on the display; face and PIN."""
    hands, pin = scene.hands, scene.pins[picture]
    hands.choose(picture)
    command = scene.town.begin_fleet(
        "enrol", "--box", BOX_NAME, "--payer", picture, "--balance", balance, "--purpose", "gate", "--wait",
        "--timeout-s", "90",
    )  # fmt: skip
    hands.wait_screen("Consent")
    hands.press("ok")
    hands.wait_screen("NewPin")
    hands.choose("nobody")
    hands.press(*pin, "ok", *pin, "ok")
    hands.wait_screen("EnrolDone", "EnrolFailed")
    finished(command, f"enrolling {picture}")
    hands.press("ok")
    hands.wait_screen("GateReady")


def play(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    with step("grace comes into view: the passage is on disk, then the gate opens", people=True):
        scene.stand(PAYER)
        hands.wait_screen("GateOpen")
        order_id = str(hands.wait_event("gate_open")["passage"])
    with step("she steps back and stands there still: the gate stays shut, and nothing is charged", people=True):
        hands.wait_event("gate_refused", reason="just_passed")
        hands.wait_screen("GateShut")
        scene.stand("nobody")
    with step("the gateway has taken the box's signed voucher for it"):
        view = scene.final(order_id, 30)
        scene.require(view["amount_minor"] == 200, f"the gateway charged {view['amount']}")
        scene.require(view["made_by"]["source"] == "gate", "the gateway does not know that a gate made the order")
    with step("a stranger stays outside", people=True):
        hands.wait_screen("GateReady")
        scene.stand("eileen_collins")
        hands.wait_event("gate_refused", reason="not_recognised")
        hands.wait_screen("GateShut")
        scene.stand("nobody")
    passages = [entry for entry in scene.journal() if entry["name"] == "passage"]
    scene.require(len(passages) == 1, f"{len(passages)} passages were written for one")
    scene.require(wait_until(lambda: hands.screen == "GateReady", 15), "the gate is not ready for the next one")
    return "one passage, pre-agreed and capped, opened the gate once and was charged once; nobody else came in"

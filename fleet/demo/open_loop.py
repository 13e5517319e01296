"""A box that keeps nobody: its payers are known to the gateway's matcher, which gives a token that pays once."""

from __future__ import annotations

import json

from fleet.demo.scene import Scene
from fleet.demo.town import wait_until

PLACE = "north"
PAYER = "grace_hopper"
SETTINGS = """
[payment]
ways = ["face_first", "phone_first", "qr_shown"]

[counter]
clerk_amounts = true

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


def play(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    with step("the box has a store without a single person in it; the gateway knows who is tied to this place"):
        status = json.loads(scene.town.kingfisher("store", "status", "--json", "--config", str(scene.town.config)))
        scene.require(status["profile"] == "open-loop", f"the box is {status['profile']}")
        scene.require(status["people"] == 0, f"{status['people']} people lie on the box")
        people = {row["handle"]: row["places"] for row in scene.town.fleet_json("face", "list")["people"]}
        scene.require(people.get(PAYER) == [PLACE], f"the gateway looks for her at {people.get(PAYER)}")
    scene.stand(PAYER)
    with step("the clerk types 8.8; the payer looks, and the box seals what it saw to the matcher's key", people=True):
        hands.press("8", "dot", "8", "ok")
        order_id = scene.made_by_box("clerk")
        hands.wait_event("matcher_asked", question="face.probe")
        hands.wait_event("matcher_answered", outcome="matched")
    with step("the PIN is checked at the gateway, too; the token pays once", people=True):
        scene.pay(PAYER)
    view = scene.final(order_id)
    scene.require(view["payer"] == PAYER, f"{view['payer']} was charged")
    scene.require(PAYER not in str(scene.journal()), "the box's journal knows the payer's name")
    with step("whoever is tied to another place is nobody here"):
        _send_elsewhere(scene, "eileen_collins")
        scene.stand("eileen_collins")
        scene.idle()  # keys on the paid screen only end it
        hands.press("5", "ok")
        refused = scene.made_by_box("clerk")
        hands.wait_event("matcher_answered", outcome="stranger")
        hands.press("cancel")
        scene.require(wait_until(lambda: scene.order(refused)["status"] == "cancelled", 15, 0.2), "it is still open")
    return "a face that lies nowhere on the box was named by the gateway, and paid with a token that is good once"


def _send_elsewhere(scene: Scene, handle: str) -> None:
    if handle in {row["handle"] for row in scene.town.fleet_json("face", "list")["people"]}:
        scene.town.fleet("face", "tie", handle, PLACE, "--undo")
        scene.town.fleet("face", "tie", handle, "south")

"""The ways to know a payer, beside the plain face and PIN: phone, card, bank, look-alikes, and a payer under duress."""

from __future__ import annotations

import json

from fleet.demo.members import EILEEN, GRACE, TWIN, Member
from fleet.demo.scene import Scene
from fleet.demo.town import BOX_NAME


def face_phone(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(GRACE.handle)
    with step("an order for ¥9.90 asks for face and phone; at this sum the policy wants the last 4 digits"):
        small = scene.ask("9.90", "--flow", "face_phone")
        hands.wait_screen("EnterPhone")
    with step("the last 4 digits are typed; the gateway approves", people=True):
        hands.press(*GRACE.phone[-4:], "ok")
        hands.wait_screen("Approved")
    scene.require(scene.final(small)["payer"] == GRACE.handle, "somebody else was charged")
    scene.require(scene.ruling(small)["factor"] == "phone4", f"the policy asked for {scene.ruling(small)}")
    hands.press("ok")
    with step("an order for ¥88.00 the same way: now it wants the whole number"):
        large = scene.ask("88.00", "--flow", "face_phone")
        hands.wait_screen("EnterPhone")
    with step("11 digits are typed, the first time with a typing error", people=True):
        scene.mistype("EnterPhone", *GRACE.phone[:-1], "9", "ok")
        hands.press(*GRACE.phone, "ok")
        hands.wait_screen("Approved")
    scene.require(scene.final(large)["amount_minor"] == 8800, "another amount was charged")
    scene.require(scene.ruling(large)["factor"] == "phone11", f"the policy asked for {scene.ruling(large)}")
    scene.require(GRACE.phone not in str(scene.journal()), "the phone number stands in the journal")
    return "face, then phone: 4 digits for a small sum and 11 for a larger one, and the number is written down nowhere"


def phone_first(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(GRACE.handle)
    with step("a member logged in as somebody else; the order brings that number, and the display shows it"):
        order_id = scene.ask("12.00", "--flow", "phone_first", "--phone", EILEEN.phone)
        hands.wait_screen("EnterPhone")
    with step("it is not hers: she takes back its digits and types her own", people=True):
        hands.press(*["back"] * len(EILEEN.phone), *GRACE.phone, "ok")
    with step("her face is held against that one member; then her PIN", people=True):
        hands.wait_screen("EnterPin")
        hands.press(*GRACE.pin, "ok")
        hands.wait_screen("Approved")
    view = scene.final(order_id)
    scene.require(view["payer"] == GRACE.handle, f"{view['payer']} was charged")
    scene.require("phone11,face,pin" in scene.factors(order_id), f"proven by {scene.factors(order_id)}")
    hands.press("ok")
    with step("the next log-in's number is her own: OK, face, PIN", people=True):
        order_id = scene.ask("13.00", "--flow", "phone_first", "--phone", GRACE.phone)
        hands.wait_screen("EnterPhone")
        hands.press("ok")
        scene.pay_with(GRACE.pin)
    scene.require(scene.final(order_id)["payer"] == GRACE.handle, "somebody else was charged")
    scene.require("phone_login,face,pin" in scene.factors(order_id), f"proven by {scene.factors(order_id)}")
    hands.press("ok")
    with step("somebody else's number and her face: she is not who she claims to be"):
        other = scene.ask("14.00", "--flow", "phone_first", "--phone", EILEEN.phone)
        hands.wait_screen("EnterPhone")
        hands.press("ok")
        hands.wait_screen("Declined")
        hands.press("cancel")
    scene.require(scene.final(other)["status"] == "cancelled", "a claimed number was enough")
    return "the number came from the log-in, could be edited, said whom to look for, and proved nothing by itself"


def id_card(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(GRACE.handle)
    with step("an order asks for the card; the reader reads it"):
        read = scene.ask("21.00", "--flow", "id_card")
        hands.wait_screen("EnterCard")
        hands.scan(GRACE.card)
    with step("the face is held against the card's owner alone; then the PIN", people=True):
        scene.pay_with(GRACE.pin)
    scene.require(scene.final(read)["payer"] == GRACE.handle, "somebody else was charged")
    hands.press("ok")
    with step("without a reader the number is typed, with a typing error: nobody's card", people=True):
        typed = scene.ask("22.00", "--flow", "id_card")
        hands.wait_screen("EnterCard")
        scene.mistype("EnterCard", *GRACE.card[:-1], "5", "ok")
        hands.press(*GRACE.card, "ok")
        scene.pay_with(GRACE.pin)
    scene.require(scene.final(typed)["payer"] == GRACE.handle, "somebody else was charged")
    scene.require(GRACE.card not in str(scene.journal()), "the card's number stands in the journal")
    return "a card was read, and its number typed; each time its owner's face and PIN were wanted too"


def face_pin_bank(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(GRACE.handle)
    names = sorted(GRACE.banks)
    with step("face, then the PIN"):
        order_id = scene.ask("30.00", "--flow", "face_pin_bank")
        hands.wait_screen("EnterPin")
        hands.press(*GRACE.pin, "ok")
    with step(f"her bound banks are on the display ({', '.join(names)}); she takes the second", people=True):
        hands.wait_screen("Choose")
        hands.press("2")
        hands.wait_screen("Approved")
    scene.require(scene.final(order_id)["payer"] == GRACE.handle, "somebody else was charged")
    token = GRACE.banks[names[1]]
    scene.require(token not in str(scene.journal()), "the bank's token stands in the journal")
    return "the face found the payer, the PIN proved her, and the bank that she chose goes up as an opaque token"


def twins(scene: Scene) -> str:
    step = scene.step
    scene.stand(EILEEN.handle)
    paid = []
    for member in (EILEEN, TWIN):
        paid.append(_looks_alike(scene, member))
    with step("a PIN that is neither's pays for nobody", people=True):
        order_id = scene.ask("3.00")
        scene.hands.wait_screen("EnterPin")
        scene.mistype("EnterPin", *GRACE.pin, "ok")
        scene.hands.press("cancel")
    scene.require(scene.final(order_id)["payer"] is None, "somebody was charged")
    raised = [scene.ruling(order_id).get("raised_by") for order_id in paid]
    scene.require(raised == ["look_alike"] * 2, f"the PIN was asked for because of {raised}")
    return "of two payers who look alike only the one whose PIN it was got charged, though a face is enough at this sum"


def _looks_alike(scene: Scene, member: Member) -> str:
    with scene.step(f"¥3.00: at this sum a face is enough, but two look like this one; {member.handle}'s PIN"):
        order_id = scene.ask("3.00")
        scene.hands.wait_screen("EnterPin")
        scene.hands.press(*member.pin, "ok")
        scene.hands.wait_screen("Approved")
    view = scene.final(order_id)
    scene.require(view["payer"] == member.handle, f"{view['payer']} was charged, not {member.handle}")
    scene.hands.press("ok")
    return order_id


def duress(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(GRACE.handle)
    with step("somebody forces the payer to pay ¥66.00; the second PIN is typed", people=True):
        order_id = scene.ask("66.00")
        hands.wait_screen("EnterPin")
        assert GRACE.duress_pin is not None
        hands.press(*GRACE.duress_pin, "ok")
        hands.wait_screen("Approved")
    view = scene.final(order_id)
    scene.require(view["amount_minor"] == 6600 and view["payer"] == GRACE.handle, "it was not paid like any other")
    with step("nothing at the box shows it: neither display nor log nor journal"):
        scene.require("duress" not in str(scene.journal()), "the journal speaks of duress")
        scene.require("duress" not in json.dumps(hands.lines), "the log speaks of duress")
    with step("the operator sees it at once"):
        scene.require(view["duress"] is True, "the gateway was not told")
        told = scene.town.fleet("orders", "--limit", "5")
        scene.require("DURESS" in told, "the list of orders does not say it")
    return f"a payment under duress looked like any other at {BOX_NAME}, and the fleet was told"

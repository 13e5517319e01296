"""The ways to pay, each played from its first key to the books: `script/demo --scenario NAME`.

A scenario leaves the box idle and nobody before the camera. What it proves is its last sentence.
"""

from __future__ import annotations

import json
import time

from daemon.payment import emvco
from daemon.payment.money import Amount
from fleet.demo import afterwards, gate, goods, judging, knowing, open_loop
from fleet.demo.members import EILEEN, GRACE, TWIN
from fleet.demo.membership import member_price, sign_up, smile, top_up
from fleet.demo.scenario import Scenario
from fleet.demo.scene import Scene, finished
from fleet.demo.town import BOX_NAME, wait_until

PAYER = "grace_hopper"


def face(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(PAYER)
    with step("an order for ¥18.50 arrives over MQTT and is on the display"):
        command = scene.town.begin_fleet(
            "order", "--box", BOX_NAME, "--amount", "18.50", "--title", "Latte 拿铁", "--wait", "--timeout-s", "90"
        )
        order_id = str(hands.wait_event("order_arrived")["order"])
        hands.wait_screen("Look", "EnterPin")
    with step("the payer's face is seen, alive, and found among the enrolled"):
        seen = hands.wait_event("face_decided")
        scene.require(seen["reason"] == "matched", f"the face was not recognised: {seen['reason']}")
    with step("policy wants the PIN; it is typed on the keypad", people=True):
        hands.wait_screen("EnterPin")
        hands.press(*scene.pins[PAYER], "ok")
    with step("the gateway approves, and the box says so"):
        hands.wait_event("answer_arrived", status="approved")
        hands.wait_screen("Approved")
        finished(command, "the order")
    scene.require(scene.final(order_id)["payer"] == PAYER, "somebody else was charged")
    score, compute = float(seen["score"]), float(seen["compute_ms"])
    return f"an order of the fleet was paid by face and PIN: score {score:.3f}, {compute:.0f} ms of computing"


def clerk_amount(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(PAYER)
    with step("the clerk types 12.5 on the box's own keypad and presses OK", people=True):
        hands.press("1", "2", "dot", "5")
        hands.wait_screen("EnterAmount")
        hands.press("ok")
        order_id = scene.made_by_box("clerk")
    with step("the payer looks and types the PIN; the gateway approves", people=True):
        scene.pay()
    view = scene.final(order_id)
    scene.require(view["amount_minor"] == 1250, f"the gateway charged {view['amount']}")
    scene.require(view["made_by"]["source"] == "clerk", "the gateway does not know who made the order")
    scene.require(order_id.startswith(scene.town.box_id), "the order's id is not the box's")
    return "an order that the box made and signed was known to the gateway before its payment, and was paid to the cent"


def cart(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(PAYER)
    with step("two waters, a tea and a bag of apples with its scale's label are scanned", people=True):
        hands.scan(goods.WATER, goods.WATER, goods.TEA, goods.label(452))
        hands.wait_screen("Cart")
    with step("a barcode that nobody knows is said, and changes nothing"):
        hands.scan("4006381333931")
    with step("the tea is marked and counted up to 2, and the cart confirmed", people=True):
        hands.press("dot", "dot", "2", "ok", "ok")
        order_id = scene.made_by_box("cart")
    with step("the payer looks and types the PIN; the gateway approves", people=True):
        scene.pay()
    expected = 2 * 200 + 2 * 1850 + 579
    view = scene.final(order_id)
    scene.require(view["amount_minor"] == expected, f"the gateway charged {view['amount']}, not {expected}")
    with step("the receipt comes out, and its lines sum up to what was paid"):
        receipt = scene.town.kingfisher("receipt", order_id, "--config", str(scene.town.config))
    for part in ("2 x 2.00", "2 x 18.50", "0.452 kg x 12.80", f"{expected / 100:.2f}"):
        scene.require(part in receipt, f"the receipt lacks {part}")
    scene.require(PAYER not in receipt, "the receipt names the payer")
    return f"goods were scanned, weighed, counted and paid: ¥{expected / 100:.2f}, the same on receipt, box and gateway"


def catalogue(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(PAYER)
    prices = goods.catalogue()
    with step("the fleet pushes the goods; the running box takes them over"):
        took = goods.push(scene.town, prices | {"version": 2})
        scene.require(took["status"] == "done", f"the box says {took}")
    with step(
        "two waters are scanned, and while they lie in the cart the fleet raises the price of water", people=True
    ):
        hands.scan(goods.WATER, goods.WATER)
        hands.wait_screen("Cart")
        dearer = [item | {"price_minor": 250} if item["code"] == goods.WATER else item for item in prices["items"]]
        took = goods.push(scene.town, prices | {"version": 3, "items": dearer})
        scene.require(took["status"] == "done", f"the box says {took}")
    with step("what lies in a cart keeps its price", people=True):
        hands.press("ok")
        first = scene.made_by_box("cart")
        scene.pay()
        scene.require(scene.final(first)["amount_minor"] == 400, "the price changed in the cart")
        hands.press("ok")
    with step("a catalogue with a negative price is pushed: refused with its path, and the one before stays"):
        wrong = [dearer[0] | {"price_minor": -1}, *dearer[1:]]
        took = goods.push(scene.town, prices | {"version": 4, "items": wrong})
        scene.require(took["status"] == "failed", f"the box says {took}")
        scene.require("items" in str(took["errors"]) and "price_minor" in str(took["errors"]), f"it says {took}")
    with step("the next cart has the new price", people=True):
        scene.idle()
        hands.scan(goods.WATER)
        hands.wait_screen("Cart")
        hands.press("ok")
        second = scene.made_by_box("cart")
        scene.pay()
        scene.require(scene.final(second)["amount_minor"] == 250, "the new price is not in force")
    return "goods were pushed to a running box, counted between two carts, and a wrong list changed nothing"


def till_line(scene: Scene) -> str:
    step, till = scene.step, scene.till
    scene.stand(PAYER)
    reference = f"T-{scene.town.fleet_json('ledger', 'verify')['orders']}"
    with step("the till asks for ¥9.90 over its serial line; noise and a half line stand before it"):
        till.send(b"\xff\x00@17|ORDER|ref=half\r\n")
        till.order(reference, 990, title="Lunch 午餐")
        till.wait("ACK", ref=reference, state="waiting")
        order_id = scene.made_by_box("till")
    with step("the till's line is cut off and it asks again: it is the same order"):
        till.order(reference, 990)
    with step("the payer looks and types the PIN; the till hears that it was approved", people=True):
        scene.pay()
        said = till.wait("STATUS", ref=reference, state="approved")
    till.say("QUERY", ref=reference)
    till.wait("ACK", ref=reference, state="approved", receipt=said.fields["receipt"])
    view = scene.final(order_id)
    scene.require(
        view["made_by"] == {"source": "till", "reference": reference}, "the till's reference is not in the books"
    )
    made = [e for e in scene.journal() if e["name"] == "order_made" and e["facts"]["order_id"] == order_id]
    scene.require(len(made) == 1, "the order was made more than once")
    return "a till on a serial line asked twice, and was paid once; it heard the truth, and may ask for it again"


def qr_shown(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    with step("the clerk types 6; the payer wants another way, and takes the code on the display", people=True):
        order_id = _another_way(scene, "6", "2")
        hands.wait_screen("ShowCode")
    code = emvco.payload(goods.SHOP, Amount(600, "CNY"), order_id, 1)
    with step("the gateway waits for the payer's own app"):
        scene.require(
            wait_until(lambda: scene.order(order_id)["status"] == "paying", 15, 0.2), "nothing waits to be paid"
        )
    with step("the app reads the code (EMV QR, with amount and checksum) and pays what it asks for", people=True):
        paid = scene.town.fleet_json("wallet", "--payer", PAYER, "--code", code)
        scene.require(paid["status"] == "approved", f"the app was told {paid['status']}")
        hands.wait_screen("Approved")
    scene.require(scene.final(order_id)["amount_minor"] == 600, "another amount was charged")
    return "a code on the display, with the amount in it, was paid by the payer's own app"


def qr_scanned(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    code = scene.town.fleet_json("wallet", "--payer", PAYER)["auth_code"]
    with step("the clerk types 7; the payer wants another way, and takes a phone and the scanner", people=True):
        order_id = _another_way(scene, "7", "3")
        hands.wait_screen("ScanCode")
    with step("the code off the payer's app is scanned; the gateway approves", people=True):
        hands.scan(code)
        hands.wait_screen("Approved")
    scene.require(scene.final(order_id)["amount_minor"] == 700, "another amount was charged")
    scene.require(code not in str(scene.journal()), "the payer's code stands in the journal")
    return "any other way was one key away, and a payer's code was scanned and charged, and is written down nowhere"


def _another_way(scene: Scene, amount: str, digit: str) -> str:
    """A clerk's order whose payer presses the menu key at the camera, and a digit."""
    scene.hands.press(amount, "ok")
    order_id = scene.made_by_box("clerk")
    scene.hands.wait_screen("Look")
    scene.hands.press("menu")
    scene.hands.wait_screen("Choose")
    scene.hands.press(digit)
    return order_id


def identity(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    before = scene.town.fleet_json("ledger", "verify")
    scene.stand(PAYER)
    with step("a hotel's desk asks who stands before the box; no money is asked for"):
        command = scene.town.begin_fleet("verify", "--box", BOX_NAME, "--title", "Room 1204", "--expires-s", "60")
        hands.wait_screen("Look", "EnterPin")
    with step("face and PIN prove it", people=True):
        hands.wait_screen("EnterPin")
        hands.press(*scene.pins[PAYER], "ok")
        hands.wait_screen("Verified")
    result = json.loads(finished(command, "the identity check").splitlines()[-1])["result"]
    scene.require(result["handle"] == PAYER, f"the desk was told {result['handle']}")
    after = scene.town.fleet_json("ledger", "verify")
    scene.require(before["orders"] == after["orders"], "an identity check made an order")
    return "who stood there was proven by face and PIN, told to the desk that asked, and nothing was charged"


def offline(scene: Scene) -> str:
    hands, step = scene.hands, scene.step
    scene.stand(PAYER)
    with step("the broker is gone; the box knows it and says so"):
        scene.town.services["broker"].kill()
        hands.wait_event("condition", name="offline")
        time.sleep(3)
    try:
        with step("the clerk types 3; face and PIN; the box accepts it within the offline caps", people=True):
            hands.press("3", "ok")
            order_id = scene.made_by_box("clerk")
            scene.pay()
        before = scene.town.fleet_json("orders", "--limit", "100")
        scene.require(all(o["order_id"] != order_id for o in before), "the gateway knew the order while it was cut off")
    finally:
        scene.town.start_broker()
    with step("the broker is back: first the order, then the signed voucher; the gateway books it"):
        hands.wait_event("condition_over", name="offline", timeout_s=60)
        settled = scene.wait_for(order_id, 60)
    scene.require(settled["amount_minor"] == 300, f"the gateway charged {settled['amount']}")
    return (
        "an order made and accepted without a network reached the books once the network was back, and was charged once"
    )


ALL = (
    Scenario(
        "face", "an order of the fleet, paid by face and PIN",
        "Choose grace, ask for an amount at the till on the page, type her PIN", face,
    ),
    Scenario(
        "clerk-amount", "the clerk types the amount on the box itself",
        "Choose grace, type an amount on the keypad and OK, then her PIN", clerk_amount,
    ),
    Scenario(
        "cart", "goods scanned into a cart, with a weighed one",
        f"Type {goods.WATER} or {goods.label(452)} into the scanner's field, digits and OK for a quantity, OK to pay",
        cart,
    ),
    Scenario(
        "catalogue", "the fleet changes the prices while the shop is open",
        "kingfisher-fleet catalogue push demo/goods.json --box counter-1 --wait, its version raised, between two carts",
        catalogue,
    ),
    Scenario(
        "till-line", "a till on a serial line asks for the payment",
        "Choose grace and press Enter here: the scripted till asks for ¥9.90", till_line,
    ),
    Scenario(
        "qr-shown", "a code on the display, paid by the payer's own app",
        "Type an amount and OK, press menu, then 2; kingfisher-fleet wallet --payer grace_hopper --code TEXT pays it",
        qr_shown,
    ),
    Scenario(
        "qr-scanned", "a code off the payer's own app, held before the scanner",
        "Type an amount and OK, press menu, then 3, and type into the scanner's field what"
        " kingfisher-fleet wallet --payer grace_hopper says", qr_scanned,
    ),
    Scenario(
        "identity", "who stands there, proven without a payment",
        "Choose grace; kingfisher-fleet verify --box counter-1 --title 'Room 1204'; her PIN", identity,
    ),
    Scenario(
        "offline", "a payment while the network is down, settled afterwards",
        "Stop the broker's process, wait 3 s, type an amount up to 20 and OK, grace's PIN", offline,
    ),
    Scenario(
        "face-phone", "face, then the last 4 digits of the phone, or all 11 by the sum",
        f"kingfisher-fleet order --box counter-1 --flow face_phone --amount 9.90 (or 88.00); choose grace; her phone is"
        f" {GRACE.phone}", knowing.face_phone, members=True,
    ),
    Scenario(
        "phone-first", "the number of a member's log-in, prefilled and editable, then the face",
        f"kingfisher-fleet order --box counter-1 --flow phone_first --phone {GRACE.phone} --amount 12; choose grace,"
        " OK, her PIN", knowing.phone_first, members=True,
    ),
    Scenario(
        "id-card", "an ID card, read or typed, then its owner's face",
        f"kingfisher-fleet order --box counter-1 --flow id_card --amount 21; choose grace; type {GRACE.card} into the"
        " scanner's field, her PIN", knowing.id_card, members=True,
    ),
    Scenario(
        "face-pin-bank", "face and PIN, and one of the payer's bound banks",
        "kingfisher-fleet order --box counter-1 --flow face_pin_bank --amount 30; choose grace, her PIN, a digit",
        knowing.face_pin_bank, members=True,
    ),
    Scenario(
        "twins", "two who look alike: only the PIN tells them apart",
        f"Choose eileen, type 3 and OK; eileen's PIN is {EILEEN.pin}, her twin's {TWIN.pin}", knowing.twins,
        members=True,
    ),
    Scenario(
        "duress", "a second PIN that pays like the first, and tells the fleet",
        f"Choose grace, type an amount and OK, and {GRACE.duress_pin} for the PIN; kingfisher-fleet orders says DURESS",
        knowing.duress, members=True,
    ),
    Scenario(
        "declined", "declined, tried again, and paid another way",
        "Choose grace, ask for 600 at the till on the page, her PIN; then OK to try again, or menu for another way",
        afterwards.declined, friend=True,
    ),
    Scenario(
        "refund", "money that goes back, in part from the fleet and whole from the box",
        "Pay something; kingfisher-fleet refund ORDER --amount 5 --why 'cup broke', or kingfisher refund ORDER",
        afterwards.refund,
    ),
    Scenario(
        "take-back", "a clerk gives a sale back with a PIN, and the fleet cancels an order on the display",
        "kingfisher clerk-pin --new --config .kingfisher/demo/box/box.toml; pay something; menu, the PIN, the receipt's"
        " number, OK", afterwards.take_back,
    ),
    Scenario(
        "policy", "which factor is asked for by the sum, as the fleet pushes it",
        f"Choose grace; ask for 3, 15 (her phone ends with {GRACE.phone[-4:]}), 80 and 900 at the till on the page",
        judging.policy, members=True,
    ),
    Scenario(
        "failover", "a payment provider is down, and another takes over",
        "Type an amount and OK, menu, 3, and a code of 16 digits into the scanner's field", judging.failover,
        providers=True,
    ),
    Scenario(
        "reconcile", "the books at the end of the day, and a provider that took the money late",
        "kingfisher-fleet reconcile --help", afterwards.reconcile, providers=True,
    ),
    Scenario(
        "member-price", "a member's coupons and points: the price, its reasons, a key, and what comes with it",
        "kingfisher-fleet member add grace_hopper --uid 0042; coupon kind tenth --title '10% off' --percent 10; coupon"
        " give tenth --payer grace_hopper; then pay as grace, and OK the price", member_price,
    ),
    Scenario(
        "sign-up", "whoever has just paid by phone becomes a member with one key, consent and a look",
        "kingfisher-fleet remote counter-1 erase eileen_collins; pay with a code off the app (qr-scanned), choose"
        " eileen, press 1, OK, a PIN twice", sign_up,
    ),
    Scenario(
        "smile", "a coupon for a smile: a label leaves the box, and no picture is kept",
        "kingfisher-fleet coupon kind smile --title 'For your smile' --off 1 --on-smile; pay with a code off the app"
        " (qr-scanned), choose eileen, press 2", smile,
    ),
    Scenario(
        "top-up", "stored value: the fleet begins it, its member confirms it, a clerk takes the money",
        "Choose grace; kingfisher-fleet topup --payer grace_hopper --amount 50 --box counter-1; her PIN", top_up,
    ),
    Scenario(
        "open-loop", "a box that keeps nobody: the gateway says who it is, by a token that is good once",
        "Choose grace, type an amount and OK, her PIN; kingfisher-fleet face list shows who is looked for where",
        open_loop.play, box="open-loop",
    ),
    Scenario(
        "gate", "a walk-through gate, for whoever agreed to the fare before",
        "Choose grace, and the gate on the page opens; kingfisher-fleet enrol --purpose gate for another", gate.play,
        box="gate",
    ),
)  # fmt: skip
SCENARIOS = {scenario.name: scenario for scenario in ALL}

"""The ways to pay, each played from its first key to the books: `script/demo --scenario NAME`.

A scenario leaves the box idle and nobody before the camera. What it proves is its last sentence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from daemon.payment import emvco
from daemon.payment.money import Amount
from fleet.demo import goods
from fleet.demo.scene import Scene, finished
from fleet.demo.town import BOX_NAME, wait_until

PAYER = "grace_hopper"
SHOP = emvco.Merchant("com.example.pay", "M-0001", "Kingfisher", "Shanghai")  # as in `goods.shop_floor`


@dataclass(frozen=True, slots=True)
class Scenario:
    """`play` raises FleetError when anything is not as it should be; it gives what was proven. `by_hand` says how to do
    the same in the browser."""

    name: str
    title: str
    by_hand: str
    play: Callable[[Scene], str]


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
    code = emvco.payload(SHOP, Amount(600, "CNY"), order_id, 1)
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
)  # fmt: skip
SCENARIOS = {scenario.name: scenario for scenario in ALL}

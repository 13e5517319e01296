"""What the demo's shop sells, and what stands on the goods: barcodes, and labels from its scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from daemon.payment import emvco
from fleet.demo.town import BOX_NAME, Town

WATER, TEA, BREAD = "6901234567892", "6923450657713", "6954767423579"
APPLES = "12345"  # the scale's number for them
SHOP = emvco.Merchant("com.example.pay", "M-0001", "Kingfisher", "Shanghai")  # as in SHOP_FLOOR
SHOP_FLOOR = """
[counter]
clerk_amounts = true
clerk_refund_up_to_minor = 5000

[till.line]
path = "{till}"

[payment]
ways = ["face_first", "qr_shown", "qr_scanned", "phone_first", "id_card", "face_pin_bank"]
offline_after_s = 2
offer_s = 6
smile = true
{payment}
[channels.simulated]
flows = ["face_first", "face_phone", "phone_first", "id_card", "face_pin_bank"]

[channels.wallet]
flows = {wallet}

[channels.cash]
flows = ["topup"]

[enrolment]
sign_up_notice = "2026-11"

[merchant]
scheme = "com.example.pay"
account = "M-0001"
name = "Kingfisher"
city = "Shanghai"

[policy]
unchallenged_up_to_minor = 20000  # who stands before this box is a picture, and turns nothing when asked to

[policy.offline]
per_payment = 2000
per_payer_day = 100000
per_box_day = 1000000
payments_per_payer_day = 50

[[policy.rules]]
name = "small_by_phone"
then = "phone4"
when = {{ flow = ["face_phone"], amount = {{ at_most = 2000 }}, currency = ["CNY"] }}

[[policy.rules]]
name = "more_by_phone"
then = "phone11"
when = {{ flow = ["face_phone"], amount = {{ at_most = 20000 }}, currency = ["CNY"] }}
"""


PROVIDERS = """
[channels.alipay-like]
priority = 1
flows = ["qr_scanned"]
breaker = { failures = 1, open_s = 5 }

[channels.wechat-like]
priority = 2
flows = ["qr_scanned"]
"""


def catalogue() -> dict[str, Any]:
    return {
        "format": 1, "version": 1, "currency": "CNY", "tax_included": True,
        "scales": [{"prefix": "21", "carries": "weight"}, {"prefix": "22", "carries": "price"}],
        "items": [
            {"code": WATER, "name": "矿泉水 Water 550 ml", "price_minor": 200, "tax_bp": 1300},
            {"code": TEA, "name": "绿茶 Green tea", "price_minor": 1850, "tax_bp": 900},
            {"code": BREAD, "name": "面包 Bread", "price_minor": 680, "tax_bp": 900},
            {"code": APPLES, "name": "苹果 Apples", "price_minor": 1280, "per": "kg", "tax_bp": 900},
        ],
    }  # fmt: skip


def label(grams: int, item: str = APPLES) -> str:
    """What the scale prints for so many grams: EAN-13 with the weight in it."""
    twelve = f"21{item}{grams:05}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(twelve))
    return f"{twelve}{-total % 10}"


def push(town: Town, document: dict[str, Any]) -> dict[str, Any]:
    """Sends it to the running box; what the box made of it."""
    file = town.folder / "pushed.json"
    file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
    [row] = town.fleet_json("catalogue", "push", str(file), "--box", BOX_NAME, "--wait", ok=(0, 1))
    return dict(row)


def stock(town: Town) -> None:
    """Signs the catalogue for the box and carries it there; it counts from the box's next start."""
    folder = town.folder
    goods, signed = folder / "goods.json", folder / "goods.jwt"
    goods.write_text(json.dumps(catalogue(), ensure_ascii=False), encoding="utf-8")
    town.fleet("catalogue", "sign", str(goods), "--box", BOX_NAME, "--out", str(signed))
    town.kingfisher("catalogue", "install", str(signed), "--config", str(town.config))


def shop_floor(till: Path, payment: str = "", *, providers: bool = False) -> str:
    """What a box.toml needs for all that the scenarios show; `payment` is more for its [payment] section;
    with `providers` scanned codes go to them instead of the simulated app."""
    wallet = '["qr_shown"]' if providers else '["qr_shown", "qr_scanned"]'
    return SHOP_FLOOR.format(till=till, payment=payment, wallet=wallet) + (PROVIDERS if providers else "")

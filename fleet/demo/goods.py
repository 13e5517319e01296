"""What the demo's shop sells, and what stands on the goods: barcodes, and labels from its scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fleet.demo.town import BOX_NAME, Town

WATER, TEA, BREAD = "6901234567892", "6923450657713", "6954767423579"
APPLES = "12345"  # the scale's number for them
SHOP_FLOOR = """
[counter]
clerk_amounts = true

[till.line]
path = "{till}"

[payment]
ways = ["face_first", "qr_shown", "qr_scanned"]
offline_after_s = 2
{payment}
[channels.simulated]
flows = ["face_first"]

[channels.wallet]
flows = ["qr_shown", "qr_scanned"]

[merchant]
scheme = "com.example.pay"
account = "M-0001"
name = "Kingfisher"
city = "Shanghai"

[policy.offline]
per_payment = 2000
per_payer_day = 100000
per_box_day = 1000000
payments_per_payer_day = 50
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


def stock(town: Town) -> None:
    """Signs the catalogue for the box and carries it there; it counts from the box's next start."""
    folder = town.folder
    goods, signed = folder / "goods.json", folder / "goods.jwt"
    goods.write_text(json.dumps(catalogue(), ensure_ascii=False), encoding="utf-8")
    town.fleet("catalogue", str(goods), "--box", BOX_NAME, "--out", str(signed))
    town.kingfisher("catalogue", "install", str(signed), "--config", str(town.config))


def shop_floor(till: Path, payment: str = "") -> str:
    """What a box.toml needs for all that the scenarios show; `payment` is more for its [payment] section."""
    return SHOP_FLOOR.format(till=till, payment=payment)

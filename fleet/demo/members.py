"""Members whom the fleet enrolled elsewhere: a roster with a phone, a card, banks and PINs, sealed for the demo's box.

The look-alike is the same portrait, a little darker and softer: to the models a twin.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from PIL import Image, ImageEnhance, ImageFilter

from fleet.demo.town import BOX_NAME, Town, wait_until
from fleet.errors import FleetError

BALANCE = "500.00"
POLICY = """
[[policy.rules]]
name = "small_by_face"
then = "none"
when = { amount = { at_most = 500 }, currency = ["CNY"], flow = ["face_first"] }
"""


@dataclass(frozen=True, slots=True)
class Member:
    """`picture` is the portrait whose face it is; `banks` by the name on the display."""

    handle: str
    picture: str
    pin: str
    phone: str
    card: str
    duress_pin: str | None = None
    banks: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    twin: bool = False


GRACE = Member(
    "grace_hopper", "grace_hopper.jpg", "2580", "13800138000", "110101190612090024", "0852",
    MappingProxyType({"CCB": "tok-7f31c0", "ICBC": "tok-b8e25a"}),
)  # fmt: skip
EILEEN = Member("eileen_collins", "eileen_collins.png", "1793", "13900139000", "310101195611190028")
TWIN = Member("eileen_twin", "eileen_collins.png", "4826", "13700137000", "310101195611190036", twin=True)
EVERYBODY = (GRACE, EILEEN, TWIN)


def take_in(town: Town, members: tuple[Member, ...]) -> None:
    """Makes the roster, stops the box, takes it in there and starts it again. Raises FleetError."""
    work = town.folder / "roster"
    work.mkdir(exist_ok=True)
    people, roster = work / "people.jsonl", work / f"{BOX_NAME}.roster"
    people.write_text("".join(json.dumps(_line(town, member, work)) + "\n" for member in members), encoding="utf-8")
    made: list[dict[str, Any]] = []
    make = ("roster", "make", "--box", BOX_NAME, "--people", str(people), "--to", str(roster), "--balance", BALANCE)

    def sealed() -> bool:
        """The gateway knows the key of the box's store once the box has said its state."""
        try:
            made.append(town.fleet_json(*make))
        except FleetError:
            return False
        return True

    if not wait_until(sealed, 60, 0.5):
        raise FleetError("the roster", "the box has not said the key of its store")
    town.services["box"].stop()
    town.kingfisher("store", "import", str(roster), "--from", made[-1]["from"], "--config", str(town.config))
    people.unlink()  # faces and PINs: nobody needs the file any more
    town.start_box()


def _line(town: Town, member: Member, work: Path) -> dict[str, Any]:
    picture = town.pictures / member.picture
    if member.twin:
        picture = _alike(picture, work / "twin.png")
    template = json.loads(town.kingfisher("template", str(picture), "--config", str(town.config)))
    line = {
        "handle": member.handle, "templates": [template], "pin": member.pin, "phone": member.phone,
        "id_card": member.card, "links": {f"bank:{name}": token for name, token in member.banks.items()},
        "consent": {
            "purposes": ["pay", "identify"], "notice_version": "1", "given_at": int(time.time()), "channel": "office",
        },
    }  # fmt: skip
    return line | ({"duress_pin": member.duress_pin} if member.duress_pin else {})


def _alike(portrait: Path, to: Path) -> Path:
    with Image.open(portrait) as picture:
        softer = picture.convert("RGB").filter(ImageFilter.GaussianBlur(0.6))
        ImageEnhance.Brightness(softer).enhance(0.93).save(to)
    return to

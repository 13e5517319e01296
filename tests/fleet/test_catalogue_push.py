"""Goods pushed through the running gateway: offered by a command, handed out to the one box they were signed for."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

GOODS = {
    "format": 1, "version": 7, "currency": "CNY", "tax_included": True,
    "items": [{"code": "6901234567892", "name": "矿泉水 Water", "price_minor": 200, "tax_bp": 1300}],
}  # fmt: skip


@pytest.fixture
def push(scene: Any, tmp_path: Path) -> Any:
    def run(*more: str, **changes: Any) -> Any:
        file = tmp_path / "goods.json"
        file.write_text(json.dumps(GOODS | changes), encoding="utf-8")
        return scene.fleet.cli("catalogue", "push", str(file), "--box", scene.box.id, *more, check=False)

    return run


def offers(box: Any) -> list[Any]:
    return [b for b in list(box.bodies) if getattr(b, "command", None) == "catalogue"]


def fetched(box: Any, wait_for: Any, sha256: str, length: int) -> bytes:
    """Asked for in pieces, as a box does."""
    raw = b""
    while len(raw) < length:
        request = f"r{len(raw)}-{box.id}"[:60]
        wanted = {"request_id": request, "path": f"catalogue/{sha256}.jwt", "offset": len(raw), "length": 100}
        box.send("content.request", wanted)
        said = wait_for(lambda r=request: [b for b in box.bodies if getattr(b, "request_id", "") == r], what="a piece")
        if said[0].total < 0:
            return b""
        raw += base64.b64decode(said[0].data)
    return raw


def test_a_box_gets_its_own_signed_catalogue_and_no_other_box_does(scene: Any, wait_for: Any, push: Any) -> None:
    assert push()[0] == 0
    [offer] = wait_for(lambda: offers(scene.box), what="the offer")
    sha256, length = offer.args["sha256"], offer.args["length"]
    raw = fetched(scene.box, wait_for, sha256, length)
    assert hashlib.sha256(raw).hexdigest() == sha256
    claims = scene.box.verifier.verify_carried(raw, "catalogue", timed=False)
    assert claims.body["version"] == 7
    other = scene.another_box()
    other.connect()
    assert fetched(other, wait_for, sha256, length) == b""


def test_an_offer_that_was_not_taken_up_is_replaced_by_the_next(scene: Any, wait_for: Any, push: Any) -> None:
    push()
    push(version=8)
    both = wait_for(lambda: offers(scene.box)[1:] and offers(scene.box), what="two offers")
    scene.box.link.drop()
    wait_for(lambda: scene.box.connections == 2, what="the box back")
    again = wait_for(lambda: offers(scene.box)[2:], what="the offer again")
    assert {o.command_id for o in again} == {both[1].command_id}


def test_a_box_that_joins_a_group_later_gets_what_the_group_has_once(
    scene: Any, wait_for: Any, push: Any, tmp_path: Path
) -> None:
    group = f"g-{scene.merchant}"
    scene.fleet.cli("box", "group", scene.box.id, group)
    (tmp_path / "g.json").write_text(json.dumps(GOODS | {"version": 41}), encoding="utf-8")
    assert scene.fleet.cli("catalogue", "push", str(tmp_path / "g.json"), "--group", group)[0] == 0
    wait_for(lambda: offers(scene.box), what="the offer")
    late, stranger = scene.another_box(), scene.another_box()
    scene.fleet.cli("box", "group", late.id, group)
    late.connect()
    stranger.connect()
    [offer] = wait_for(lambda: offers(late), what="the group's catalogue")
    assert offer.args["version"] == 41
    raw = fetched(late, wait_for, offer.args["sha256"], offer.args["length"])
    assert late.verifier.verify_carried(raw, "catalogue", timed=False).body["items"] == GOODS["items"]
    late.send("event", {"event": "catalogue.done", "at": 1, "command_id": offer.command_id, "reason": "installed"})
    row = lambda box: next((r for r in scene.fleet.cli("catalogue", "status", check=False)[1] if r["box"] == box), {})  # noqa: E731
    wait_for(lambda: row(late.id).get("status") == "done", what="the box's word")
    late.link.drop()
    wait_for(lambda: late.connections == 2, what="the box back")
    late.send("event", {"event": "catalogue.done", "at": 2, "command_id": offer.command_id, "reason": "installed"})
    assert {one.command_id for one in offers(late)} == {offer.command_id}
    assert offers(stranger) == []


def test_the_highest_version_of_all_that_apply_to_a_box_is_offered(scene: Any, wait_for: Any, push: Any) -> None:
    push(version=9)
    wait_for(lambda: offers(scene.box), what="the offer")
    scene.fleet.cli("box", "group", scene.box.id, "no-catalogue-there")
    scene.box.link.drop()
    wait_for(lambda: scene.box.connections == 2, what="the box back")
    again = wait_for(lambda: offers(scene.box)[1:], what="the same offer, as it was not taken up")
    assert {one.args["version"] for one in again} == {9}


def test_what_the_box_made_of_it_is_told_with_every_error(scene: Any, wait_for: Any, push: Any) -> None:
    push(currency="QQQ")
    [offer] = wait_for(lambda: offers(scene.box), what="the offer")
    data = base64.b64encode(json.dumps({"errors": ["currency: 'QQQ' is not known"]}).encode()).decode()
    result = {"command_id": offer.command_id, "part": 1, "parts": 1, "media": "application/json", "data": data}
    scene.box.send("result", result)
    failed = {"event": "catalogue.failed", "at": 1, "command_id": offer.command_id, "reason": "refused"}
    scene.box.send("event", failed)
    wait_for(lambda: mine(scene)["status"] == "failed" and mine(scene)["errors"], what="the box's word")
    assert "currency" in str(mine(scene)["errors"])
    assert scene.fleet.cli("catalogue", "status", check=False)[0] == 1


def mine(scene: Any) -> dict[str, Any]:
    rows = scene.fleet.cli("catalogue", "status", check=False)[1]
    return dict(next(row for row in rows if row["box"] == scene.box.id))


def test_what_can_be_no_catalogue_is_refused_by_name_and_no_box_hears_of_it(scene: Any, push: Any) -> None:
    for wrong in ("12", None, 0, True):
        code, _, said = push(version=wrong)
        assert code == 1
        assert "version" in said
    assert push("--wait", "--timeout-s", "0.1")[0] == 4
    code, _, said = scene.fleet.cli("catalogue", "push", "nowhere.json", "--group", "none", check=False)
    assert code == 1
    assert "nowhere.json" in said

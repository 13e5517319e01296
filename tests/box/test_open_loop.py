"""A box that keeps nobody, in a whole town: the gateway's matcher says who stands there, and a token pays once."""

from __future__ import annotations

import base64
import json
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from fleet.demo.scenarios import SCENARIOS
from fleet.demo.scene import Scene
from fleet.demo.till import Till
from fleet.demo.town import wait_until
from fleet.matcher.desk import open_book

SETTINGS = """
[payment]
look_s = 20
pin_s = 20
show_s = 1.5
answer_s = 5
query_first_s = 0.3
query_longest_s = 1
reverse_every_s = 1
offline_after_s = 1
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
PHONE = "13987654321"


@pytest.fixture(scope="module")
def shop(open_shop):
    shop = open_shop(settings=SETTINGS, open_loop="north")
    shop.enrol("grace_hopper")
    return shop


def face(shop, *words: str, given: str = ""):
    return json.loads(shop.town.fleet("--json", "face", *words).splitlines()[-1])


def balance_minor(shop) -> int:
    return round(float(shop.balance("grace_hopper")) * 100)


def test_an_enrolment_at_an_open_loop_box_goes_to_the_gateway_and_stays_nowhere_else(shop):
    [person] = face(shop, "list")["people"]
    assert (person["handle"], person["places"]) == ("grace_hopper", ["north"])
    status = json.loads(shop.town.kingfisher("store", "status", "--json", "--config", str(shop.town.config)))
    assert (status["profile"], status["people"], status["templates"]) == ("open-loop", 0, {})


def test_a_face_and_a_pin_pay_by_a_token_of_the_gateways_matcher(shop):
    before = balance_minor(shop)
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Approved")
    view = shop.outcome(order_id)
    assert (view["status"], view["payer"]) == ("approved", "grace_hopper")
    assert balance_minor(shop) == before - 1850
    assert shop.charges(order_id) == 1
    [attempt] = [e for e in shop.journal("attempt") if e["facts"]["order_id"] == order_id and e["facts"].get("factors")]
    assert attempt["facts"]["factors"] == "face,pin"
    shop.books_agree()


def test_the_demos_scenario_proves_what_it_says(shop, tmp_path):
    shop.hands.wait_screen("Idle")
    with Till(tmp_path / "till") as till:
        scene = Scene(shop.town, shop.hands, till, {"grace_hopper": "2580"})
        assert SCENARIOS["open-loop"].play(scene)
        shop.hands.choose("nobody")
        scene.idle()
        scene.agree()


def test_a_phone_number_first_and_the_face_against_that_one_alone(shop):
    with open_people(shop) as book:
        book.set_phone("grace_hopper", PHONE)
    shop.hands.wait_screen("Idle")
    shop.hands.choose("nobody")
    order_id = shop.order()
    shop.hands.wait_screen("Look")
    shop.hands.press("menu")
    shop.hands.wait_screen("Choose")
    shop.hands.press("2")
    shop.hands.wait_screen("EnterPhone")
    shop.hands.choose("grace_hopper")
    shop.hands.press(*PHONE, "ok")
    shop.hands.wait_screen("EnterPin")
    shop.type_pin("2580")
    shop.hands.wait_screen("Approved")
    assert shop.outcome(order_id)["payer"] == "grace_hopper"


def test_a_stranger_and_a_wrong_pin_are_refused_and_nothing_is_charged(shop):
    before = balance_minor(shop)
    shop.hands.wait_screen("Idle")
    shop.hands.choose("eileen_collins")
    order_id = shop.order()
    shop.hands.wait_event("matcher_answered", outcome="stranger")
    shop.hands.wait_screen("Declined")
    shop.hands.choose("grace_hopper")
    shop.hands.wait_screen("EnterPin")
    shop.type_pin("1111")
    shop.hands.wait_event("matcher_answered", outcome="wrong")
    shop.hands.wait_screen("EnterPin")
    shop.hands.press("cancel")
    shop.hands.wait_screen("Cancelled")
    assert shop.outcome(order_id)["status"] == "cancelled"
    assert balance_minor(shop) == before


def test_who_stands_there_is_answered_with_the_persons_own_name(shop):
    shop.hands.wait_screen("Idle")
    shop.hands.choose("nobody")
    asked = shop.town.begin_fleet("--json", "verify", "--box", "counter-1", "--title", "Room 1204")
    shop.hands.wait_screen("Look")
    shop.hands.choose("grace_hopper")
    shop.hands.wait_screen("EnterPin")
    shop.type_pin("2580")
    said = json.loads(asked.communicate(timeout=60)[0].splitlines()[-1])
    shop.hands.choose("nobody")
    assert (said["status"], said["result"]["handle"], said["result"]["factors"]) == ("done", "grace_hopper", "face,pin")
    shop.hands.wait_screen("Idle")


def test_a_card_is_nobodys_at_a_box_that_keeps_no_cards(shop):
    asked = shop.town.begin_fleet("--json", "verify", "--box", "counter-1", "--flow", "id_card")
    said = json.loads(asked.communicate(timeout=60)[0].splitlines()[-1])
    assert (said["status"], said["reason"]) == ("failed", "no_cards_kept")


def test_a_gateway_that_does_not_answer_is_named_and_the_code_is_offered_instead(shop):
    shop.hands.wait_screen("Idle")
    shop.hands.choose("nobody")
    order_id = shop.order()
    shop.hands.wait_screen("Look")
    shop.town.services["gateway"].kill()
    try:
        shop.hands.choose("grace_hopper")
        shop.hands.wait_event("matcher_silent")
        shop.hands.wait_screen("ShowCode")
    finally:
        shop.town.start_gateway()
    shop.hands.choose("nobody")
    [entry] = [e for e in shop.journal("face_unavailable") if e["facts"]["order_id"] == order_id]
    assert entry["facts"]["reason"] == "matcher_silent"
    shop.hands.press("cancel")
    shop.hands.wait_screen("Idle", timeout_s=60)


def test_offline_nobody_pays_by_face_and_is_told_so(shop):
    shop.hands.wait_screen("Idle")
    shop.hands.choose("grace_hopper")
    shop.town.services["broker"].kill()
    try:
        shop.hands.wait_event("condition", name="offline")
        wait_until(lambda: False, 1.5)  # as long as the box gives a link that flaps
        shop.hands.press("1", "ok")
        order_id = str(shop.hands.wait_event("order_made", source="clerk")["order"])
        shop.hands.wait_screen("Declined")
    finally:
        shop.town.start_broker()
        shop.hands.wait_event("condition_over", name="offline", timeout_s=60)
    shop.hands.choose("nobody")
    reasons = {e["name"]: e["facts"]["reason"] for e in shop.journal() if e["facts"].get("order_id") == order_id
               and e["name"] in ("face_unavailable", "order_closed")}  # fmt: skip
    assert reasons == {"face_unavailable": "offline", "order_closed": "offline"}
    assert [e for e in shop.journal("attempt") if e["facts"]["order_id"] == order_id] == []


def test_neither_the_boxs_disk_nor_the_ledger_nor_any_log_holds_a_face_a_number_or_a_token(shop):
    shop.hands.wait_screen("Idle", timeout_s=60)
    order_id = shop.up_to_pin()
    shop.type_pin("2580")
    shop.hands.wait_screen("Approved")
    assert shop.outcome(order_id)["status"] == "approved"
    with open_people(shop) as book:
        texts = book._opened("grace_hopper")["templates"]
    faces = [np.frombuffer(base64.b64decode(text), "<f4") for text in texts]
    places = [shop.town.folder / "box", shop.town.folder / "logs"]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    files += list((shop.town.folder / "fleet").glob("ledger.db*"))
    assert any(path.name == "box.db-wal" for path in files)
    found = [f"{what} in {path}" for path in files for what in told_by(path, faces)]
    assert found == []


def test_the_search_finds_a_face_that_lies_there(shop, tmp_path):
    with open_people(shop) as book:
        [text, *_] = book._opened("grace_hopper")["templates"]
    face = np.frombuffer(base64.b64decode(text), "<f4")
    for number, raw in enumerate((face.tobytes(), text.encode(), face.astype("<f8").tobytes(), PHONE.encode())):
        hidden = tmp_path / f"hidden-{number}"
        hidden.write_bytes(b"x" * 1001 + raw + b"y" * 77)
        assert told_by(hidden, [face])


def open_people(shop):
    return closing(open_book(Path(shop.town.folder) / "fleet" / "matcher"))


def told_by(path: Path, faces: list[np.ndarray]) -> list[str]:
    """Any sixteen numbers of a face in a row, in three number types, in hex or base64; a phone number; a PIN typed."""
    content = b""
    with suppress(FileNotFoundError):
        content = path.read_bytes()
    found = ["a phone number"] if PHONE.encode() in content else []
    for face in faces:
        for kind in ("<f4", "<f8", "<f2"):
            for start in range(0, 512, 16):
                raw = face[start : start + 16].astype(kind).tobytes()
                forms = (raw, raw.hex().encode(), *(base64.b64encode(raw[k:])[2:-4] for k in range(3)))
                if any(form in content for form in forms):
                    return [*found, "a face"]
    return found

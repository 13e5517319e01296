"""Members in a whole town: what coupons and points do to a price, and what a payment brings."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest

from fleet.demo.town import wait_until

SETTINGS = """
[payment]
look_s = 20
pin_s = 20
show_s = 1.5
offer_s = 6
answer_s = 2
query_first_s = 0.3
query_longest_s = 1
reverse_every_s = 1
ways = ["face_first", "qr_scanned"]
smile = true

[enrolment]
sign_up_notice = "2026-11"

[channels.simulated]
flows = ["face_first"]

[channels.wallet]
flows = ["qr_scanned"]

[channels.cash]
flows = ["topup"]
"""


@pytest.fixture(scope="module")
def town(open_shop):
    shop = open_shop(settings=SETTINGS)
    shop.enrol("grace_hopper", "100.00")
    shop.town.fleet("member", "add", "grace_hopper", "--uid", "0042")
    shop.town.fleet("coupon", "kind", "tenth", "--title", "10% off", "--percent", "10")
    return shop


def member(shop):
    return shop.town.fleet_json("member", "show", "grace_hopper")


def money(shop):
    [row] = [a for a in shop.town.fleet_json("accounts") if a["account"] == "payer:grace_hopper"]
    return row["balance"]


def up_to_the_price(shop, amount="18.50"):
    order_id = shop.up_to_pin(amount=amount)
    shop.type_pin("2580")
    return order_id


def test_a_member_sees_the_price_with_its_coupon_agrees_and_pays_that(town):
    town.town.fleet("coupon", "give", "tenth", "--payer", "grace_hopper")
    before = float(money(town))
    order_id = up_to_the_price(town)
    town.hands.wait_screen("Review")
    assert town.charges(order_id) == 0
    town.hands.press("ok")
    town.hands.wait_screen("Approved")
    assert town.outcome(order_id)["status"] == "approved"
    assert round(before - float(money(town)), 2) == 16.65
    [agreed] = [e for e in town.journal("quote_agreed") if e["facts"]["order_id"] == order_id]
    assert (agreed["facts"]["minor"], agreed["facts"]["off"]) == (1665, 185)
    assert member(town)["points"] == 16
    town.books_agree()


def test_points_pay_with_one_key_and_a_technicians_refund_gives_everything_back(town):
    town.town.fleet("topup", "--payer", "grace_hopper", "--amount", "200.00", "--id", "slip-1")
    earning = up_to_the_price(town, "150.00")
    town.hands.wait_screen("Approved")
    town.outcome(earning)
    town.hands.press("ok")
    had = member(town)["points"]
    assert had >= 150
    before = money(town)
    order_id = up_to_the_price(town)
    town.hands.wait_screen("Review")
    town.hands.press("1")
    town.hands.wait_screen("Processing")
    town.hands.wait_screen("Review")
    town.hands.press("ok")
    town.hands.wait_screen("Approved")
    paid = town.outcome(order_id)
    assert paid["status"] == "approved"
    assert member(town)["points"] < had - 100
    config = str(town.town.folder / "box" / "box.toml")
    town.hands.wait_screen("Idle")
    town.town.kingfisher("refund", order_id, "--config", config)
    assert wait_until(lambda: money(town) == before, 30, 0.2)
    assert wait_until(lambda: member(town)["points"] == had, 30, 0.2)
    town.books_agree()


def test_without_a_gateway_the_whole_price_is_asked_for_and_the_journal_says_why(town):
    town.town.fleet("coupon", "give", "tenth", "--payer", "grace_hopper")
    town.hands.wait_screen("Idle")
    town.hands.choose("nobody")
    order_id = town.order()
    town.hands.wait_screen("Look")
    town.town.services["gateway"].kill()
    town.hands.choose("grace_hopper")
    town.hands.wait_screen("EnterPin")
    town.type_pin("2580")
    town.hands.wait_screen("Checking")
    town.town.start_gateway()
    town.hands.wait_screen("Approved", "Declined", "Reversed")
    town.hands.press("cancel")
    missing = [e["facts"] for e in town.journal("quote_missing")]
    assert [facts["reason"] for facts in missing if facts["order_id"] == order_id] == ["no_answer"]
    asked = [e["facts"] for e in town.journal("attempt") if e["facts"]["order_id"] == order_id]
    assert [facts["minor"] for facts in asked if facts["status"] == "confirmed"] == [1850]
    town.outcome(order_id)
    town.books_agree()


def test_a_coupon_is_on_the_paid_screen_for_longer_than_a_receipt(town):
    town.town.fleet("coupon", "kind", "again", "--title", "See you: 2.00", "--off", "2.00", "--on-success")
    town.hands.wait_screen("Idle")
    order_id = up_to_the_price(town)
    if town.hands.wait_screen("Review", "Approved") == "Review":
        town.hands.press("ok")
    town.hands.wait_screen("Approved")
    town.outcome(order_id)
    glass = town.hands.wait_picture(lambda seen: seen.getpixel((760, 60))[0] > 200)
    assert glass.getpixel((760, 60))[0] > 200, "a card beside the green"
    town.hands.wait_screen("Idle")
    town.books_agree()


def paid_by_phone(shop):
    """Somebody whom nobody knows here pays with an app."""
    shop.hands.wait_screen("Idle")
    shop.hands.choose("nobody")
    code = shop.town.fleet_json("wallet", "--payer", "grace_hopper")["auth_code"]
    order_id = shop.order()
    shop.hands.wait_screen("Look")
    shop.hands.press("menu")
    shop.hands.wait_screen("Choose")
    shop.hands.press("2")
    shop.hands.wait_screen("ScanCode")
    shop.hands.scan(code)
    shop.hands.wait_screen("Approved")
    return order_id


def enrolments(shop):
    return [e["facts"]["reason"] for e in shop.journal() if e["name"].startswith("enrol_")]


def test_who_paid_by_phone_joins_with_one_key_consent_and_a_look(town):
    order_id = paid_by_phone(town)
    town.hands.choose("eileen_collins")
    town.hands.press("1")
    town.hands.wait_screen("Consent")
    assert not town.journal("enrol_done")[1:], "nothing is kept before the consent"
    town.hands.press("ok")
    town.hands.wait_screen("NewPin")
    town.hands.press(*"1793", "ok", *"1793", "ok")
    town.hands.wait_screen("EnrolDone")
    town.hands.press("ok")
    handle = lambda: [a["account"] for a in town.town.fleet_json("accounts") if a["account"].startswith("payer:m")]  # noqa: E731
    assert wait_until(lambda: len(handle()) == 1, 20, 0.2)
    joined = handle()[0].removeprefix("payer:")
    coupons = town.town.fleet_json("member", "show", joined)["coupons"]
    assert [c["title"] for c in coupons] == ["See you: 2.00"], "what came with the payment is the new member's"
    town.town.fleet("topup", "--payer", joined, "--amount", "50.00", "--id", f"slip-{joined}")
    town.hands.wait_screen("Idle")
    paid = town.order()
    town.hands.wait_screen("EnterPin")
    town.type_pin("1793")
    town.hands.wait_screen("Review")
    town.hands.press("ok")
    town.hands.wait_screen("Approved")
    assert town.outcome(paid)["payer"] == joined
    assert town.outcome(order_id)["status"] == "approved"
    town.hands.press("ok")
    town.books_agree()


def test_who_does_nothing_stays_a_stranger(town):
    paid_by_phone(town)
    asked = len(town.journal("sign_up_asked"))
    town.hands.wait_screen("Idle")
    assert len(town.journal("sign_up_asked")) == asked


def test_a_top_up_at_the_box_is_confirmed_by_its_member_and_added_once(town):
    town.hands.wait_screen("Idle")
    before = float(money(town))
    asked = ("topup", "--payer", "grace_hopper", "--amount", "30.00", "--id", "slip-9", "--box", "counter-1")
    town.hands.choose("grace_hopper")
    order = town.town.fleet_json(*asked)
    town.hands.wait_screen("EnterPin")
    town.type_pin("2580")
    town.hands.wait_screen("Approved")
    assert town.outcome(order["order_id"])["status"] == "approved"
    assert town.town.fleet_json(*asked)["order_id"] == order["order_id"]
    assert wait_until(lambda: round(float(money(town)) - before, 2) == 30.0, 20, 0.2)
    town.town.fleet("refund", order["order_id"], "--why", "changed my mind", "--wait")
    assert float(money(town)) == before
    town.hands.choose("nobody")
    town.books_agree()


def kept(shop):
    """Every file of the box but its database and its logs, by content."""
    folder = shop.town.folder / "box"
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("box.db"))
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_smile_brings_a_coupon_and_leaves_a_label_and_nothing_of_the_face(town):
    town.town.fleet("coupon", "stop", "again")
    town.town.fleet("coupon", "kind", "smile", "--title", "For your smile: 1.00", "--off", "1.00", "--on-smile")
    order_id = paid_by_phone(town)
    town.hands.choose("eileen_collins")
    before = kept(town)
    town.hands.press("2")
    town.hands.wait_screen("Smile")
    town.hands.wait_screen("Approved")
    town.hands.wait_picture(lambda seen: seen.getpixel((760, 60))[0] > 200, 60)
    [label] = [e["facts"] for e in town.journal("smile_label")]
    assert label == {"order_id": order_id, "attempt": 1}
    assert kept(town) == before, "a file was written"
    rows = sqlite3.connect(f"file:{town.town.box_db}?mode=ro", uri=True)
    tables = [name for (name,) in rows.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    largest = max(
        len(value) for table in tables for row in rows.execute(f"SELECT * FROM {table}")
        for value in row if isinstance(value, bytes) and table != "outbox"
    ) if tables else 0  # fmt: skip
    assert largest < 1024, "a picture or an embedding would be larger"
    rows.close()
    town.hands.press("ok")
    town.hands.choose("nobody")
    town.hands.wait_screen("Idle")


def test_a_box_that_is_killed_in_the_middle_of_it_asks_nobody_else(town):
    before, asked = len(town.journal("enrol_done")), len(town.journal("sign_up_asked"))
    paid_by_phone(town)
    town.town.services["gateway"].kill()
    town.hands.press("1")
    assert wait_until(lambda: len(town.journal("sign_up_asked")) == asked + 1, 20, 0.2)
    town.town.services["box"].kill()
    town.town.start_gateway()
    town.town.start_box()
    assert wait_until(lambda: "too_late" in enrolments(town), 60, 0.5)
    assert len(town.journal("enrol_done")) == before

"""Members at the counter: their coupons lower what they pay, points follow what stays paid, stored value comes once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from fleet_doubles.waiting import eventually

from mqtt.envelope import now_unix
from mqtt.schemas import OfferMadeBody


@pytest.fixture
def member(scene: Any) -> Iterator[Any]:
    """The scene with its payer a member, and one coupon kind of each sort; no offers remain for other scenes."""
    cli, own = scene.fleet.cli, scene.payer
    cli("member", "add", own, "--uid", f"uid-{own}")
    cli("coupon", "kind", "tenth", "--title", "10% off", "--percent", "10", "--min-spend", "10.00")
    cli("coupon", "kind", "five", "--title", "5.00 off", "--off", "5.00", "--min-spend", "20.00")
    yield scene
    assert scene.fleet.verified()["ok"]


def points(scene: Any) -> int:
    return int(scene.fleet.cli("member", "show", scene.payer)[1]["points"])


def coupons(scene: Any) -> list[str]:
    return sorted(c["title"] for c in scene.fleet.cli("member", "show", scene.payer)[1]["coupons"])


def pay_quoted(scene: Any, order: dict[str, Any], **changes: Any) -> Any:
    quote = scene.box.quote(order)
    return scene.pay(order, **{"quote": quote.quote, "amount_minor": quote.amount_minor} | changes)


def test_a_members_coupon_lowers_what_is_paid_and_is_explained_and_used_once(member: Any) -> None:
    scene = member
    for kind in ("tenth", "five"):
        scene.fleet.cli("coupon", "give", kind, "--payer", scene.payer)
    order = scene.new_order("18.50")
    quote = scene.box.quote(order)
    assert (quote.amount_minor, quote.currency, quote.points) == (1665, "CNY", 0)
    assert [(line.off_minor, line.reason, line.why) for line in quote.lines] == [
        (185, "applied", "CNY 1.85 off"),
        (0, "below_minimum", "CNY 1.50 more would be needed"),
    ]
    assert [line.short_minor for line in quote.lines] == [None, 150]
    answer = scene.pay(order, quote=quote.quote, amount_minor=1665)
    assert (answer.status, answer.amount_minor) == ("approved", 1665)
    assert (scene.payer_has(), scene.merchant_has()) == (10000 - 1665, 1665)
    assert coupons(scene) == ["5.00 off"]
    assert scene.box.quote(scene.new_order("18.50")).amount_minor == 1850


def test_the_uid_never_leaves_the_fleet(member: Any) -> None:
    member.box.quote(member.new_order())
    assert f"uid-{member.payer}" not in repr(member.box.bodies)
    assert "uid" not in member.fleet.cli("member", "show", member.payer)[1]


@pytest.mark.parametrize(
    "changes",
    [{"amount_minor": 1664}, {"quote": "q-made-up"}, {"quote": None}],
    ids=["another amount", "another quote", "no quote"],
)
def test_a_lower_amount_without_its_quote_is_declined(member: Any, changes: dict[str, Any]) -> None:
    scene = member
    scene.fleet.cli("coupon", "give", "tenth", "--payer", scene.payer)
    answer = pay_quoted(scene, scene.new_order("18.50"), **changes)
    assert answer.status == "declined"
    assert answer.reason in ("amount_mismatch", "quote_refused")
    assert scene.payer_has() == 10000
    assert coupons(scene) == ["10% off"]


def test_one_coupon_does_not_pay_for_two_orders(member: Any) -> None:
    scene = member
    scene.fleet.cli("coupon", "give", "tenth", "--payer", scene.payer)
    first, second = scene.new_order("18.50"), scene.new_order("18.50")
    quotes = [scene.box.quote(order) for order in (first, second)]
    assert scene.pay(first, quote=quotes[0].quote, amount_minor=1665).status == "approved"
    late = scene.pay(second, quote=quotes[1].quote, amount_minor=1665)
    assert (late.status, late.reason) == ("declined", "quote_refused")


def test_a_quote_is_for_one_payer_and_one_order(member: Any) -> None:
    scene = member
    scene.fleet.cli("coupon", "give", "tenth", "--payer", scene.payer)
    quote = scene.box.quote(scene.new_order("18.50"))
    other = scene.pay(scene.new_order("18.50"), quote=quote.quote, amount_minor=1665)
    assert other.reason == "quote_refused"


def test_a_reversal_gives_the_coupon_and_takes_the_points_back(member: Any) -> None:
    scene = member
    scene.fleet.cli("coupon", "give", "tenth", "--payer", scene.payer)
    order = scene.new_order("18.50")
    assert pay_quoted(scene, order).status == "approved"
    assert (points(scene), coupons(scene)) == (16, [])
    assert scene.box.reverse(order["order_id"]).status == "reversed"
    assert (points(scene), coupons(scene)) == (0, ["10% off"])
    assert scene.payer_has() == 10000


def test_a_decline_gives_the_coupon_back(member: Any) -> None:
    scene = member
    scene.fleet.cli("coupon", "give", "tenth", "--payer", scene.payer)
    assert pay_quoted(scene, scene.new_order("200.00")).reason == "insufficient_funds"
    assert coupons(scene) == ["10% off"]


def test_points_follow_what_stays_paid(member: Any) -> None:
    scene = member
    order = scene.new_order("18.50")
    scene.sell(order)
    assert points(scene) == 18
    scene.fleet.cli("refund", order["order_id"], "--amount", "10.00", "--why", "x", "--wait")
    assert points(scene) == 8
    scene.fleet.cli("refund", order["order_id"], "--why", "x", "--wait")
    assert points(scene) == 0


def test_who_is_no_member_gets_no_points(scene: Any) -> None:
    scene.sell(scene.new_order("18.50"))
    assert scene.fleet.balance(f"points:{scene.payer}", "PTS") == 0


def test_who_is_no_member_is_quoted_the_whole_amount_at_once(scene: Any) -> None:
    quote = scene.box.quote(scene.new_order("18.50"))
    assert (quote.quote, quote.amount_minor, list(quote.lines)) == (None, 1850, [])


def with_points(scene: Any, count: int) -> None:
    scene.fleet.cli("topup", "--payer", scene.payer, "--amount", f"{count}.00")
    scene.sell(scene.new_order(f"{count}.00"))
    assert points(scene) == count


def test_points_take_off_a_hundredth_each_after_the_coupons_and_are_gone_with_the_request(member: Any) -> None:
    scene = member
    with_points(scene, 150)
    scene.fleet.cli("coupon", "give", "tenth", "--payer", scene.payer)
    order = scene.new_order("18.50")
    assert scene.box.quote(order).points_off_minor == 150
    quote = scene.box.quote(order, spend_points=True)
    assert (quote.amount_minor, quote.points, quote.spend_points) == (1850 - 185 - 150, 150, True)
    assert [(line.reason, line.off_minor) for line in quote.lines] == [("applied", 185), ("points", 150)]
    answer = scene.pay(order, quote=quote.quote, amount_minor=quote.amount_minor)
    assert answer.status == "approved"
    assert (answer.points.earned, answer.points.total) == (15, 15)
    assert points(scene) == 15


def test_points_never_pay_all_of_it_and_the_rest_stays(member: Any) -> None:
    scene = member
    with_points(scene, 90)
    order = scene.new_order("0.50")
    quote = scene.box.quote(order, spend_points=True)
    assert quote.amount_minor == 1
    assert scene.pay(order, quote=quote.quote, amount_minor=1).status == "approved"
    assert points(scene) == 90 - 49


def test_the_same_points_do_not_pay_for_two_orders(member: Any) -> None:
    scene = member
    with_points(scene, 90)
    first, second = scene.new_order("18.50"), scene.new_order("18.50")
    quotes = [scene.box.quote(order, spend_points=True) for order in (first, second)]
    assert scene.pay(first, quote=quotes[0].quote, amount_minor=1760).status == "approved"
    late = scene.pay(second, quote=quotes[1].quote, amount_minor=1760)
    assert (late.status, late.reason) == ("declined", "quote_refused")


@pytest.mark.parametrize("amount", ["200.00", "18.50"], ids=["declined", "reversed"])
def test_points_come_back_where_nothing_was_paid(member: Any, amount: str) -> None:
    scene = member
    with_points(scene, 90)
    order = scene.new_order(amount)
    quote = scene.box.quote(order, spend_points=True)
    answer = scene.pay(order, quote=quote.quote, amount_minor=quote.amount_minor)
    if answer.status == "approved":
        scene.box.reverse(order["order_id"])
        scene.box.reverse(order["order_id"])
    assert points(scene) == 90


def test_a_whole_refund_gives_coupon_and_points_back_and_a_part_of_it_neither(member: Any) -> None:
    scene = member
    with_points(scene, 90)
    scene.fleet.cli("coupon", "give", "tenth", "--payer", scene.payer)
    order = scene.new_order("18.50")
    quote = scene.box.quote(order, spend_points=True)
    assert quote.amount_minor == 1850 - 185 - 90
    assert scene.pay(order, quote=quote.quote, amount_minor=quote.amount_minor).status == "approved"
    scene.box.confirm(order["order_id"])
    scene.until(order, "approved")
    assert (points(scene), coupons(scene)) == (15, [])
    scene.fleet.cli("refund", order["order_id"], "--amount", "5.75", "--why", "x", "--wait")
    assert (points(scene), coupons(scene)) == (10, [])
    scene.fleet.cli("refund", order["order_id"], "--why", "x", "--wait")
    assert (points(scene), coupons(scene)) == (90, ["10% off"])


def test_a_red_packet_is_money_for_whoever_claims_it_first_and_once(member: Any) -> None:
    scene = member
    kind = f"packet-{scene.merchant}"
    scene.fleet.cli("coupon", "kind", kind, "--title", "A red packet", "--off", "1.88", "--on-success", "--red-packet")
    try:
        offer = scene.pay(scene.new_order("18.50")).offer
        assert offer.kind == "red_packet"
        before = scene.payer_has()
        scene.fleet.cli("coupon", "claim", offer.code, "--payer", scene.payer)
        assert scene.payer_has() == before + 188
        assert scene.fleet.cli("coupon", "claim", offer.code, "--payer", scene.payer, check=False)[0] == 1
        assert scene.payer_has() == before + 188
        assert coupons(scene) == []
    finally:
        scene.fleet.cli("coupon", "stop", kind)


def test_a_smile_is_a_label_of_a_paid_attempt_and_brings_one_coupon(member: Any) -> None:
    scene = member
    kind = f"smile-{scene.merchant}"
    scene.fleet.cli("coupon", "kind", kind, "--title", "For your smile", "--off", "1.00", "--on-smile")
    try:
        paid, unpaid = scene.new_order("18.50"), scene.new_order("18.50")
        assert scene.pay(paid).offer is None
        for order in (unpaid, paid, paid):
            label = {"event": "label.smile", "at": now_unix(), "order_id": order["order_id"], "data": {"attempt": 1}}
            scene.box.send("event", label)
        offers = eventually(lambda: made(scene)[1:] and made(scene), 15, "two offers")
        assert {(o.order_id, o.offer.title) for o in offers} == {(paid["order_id"], "For your smile")}
        assert len({o.offer.code for o in offers}) == 1
    finally:
        scene.fleet.cli("coupon", "stop", kind)


def made(scene: Any) -> list[Any]:
    return [b for b in list(scene.box.bodies) if isinstance(b, OfferMadeBody)]


def test_a_coupon_is_offered_with_the_approval_by_an_opaque_code_and_claimed_once(member: Any) -> None:
    scene = member
    kind = f"again-{scene.merchant}"
    scene.fleet.cli("coupon", "kind", kind, "--title", "See you: 2.00", "--off", "2.00", "--on-success")
    try:
        order = scene.new_order("18.50")
        offer = scene.pay(order).offer
        assert offer.title == "See you: 2.00"
        assert scene.payer not in offer.code
        assert scene.pay(order).offer == offer
        scene.fleet.cli("coupon", "claim", offer.code, "--payer", scene.payer)
        assert coupons(scene) == ["See you: 2.00"]
        assert scene.fleet.cli("coupon", "claim", "c-never", "--payer", scene.payer, check=False)[0] == 1
        assert scene.pay(scene.new_order("200.00")).offer is None
    finally:
        scene.fleet.cli("coupon", "stop", kind)


def test_stored_value_comes_onto_the_account_once_for_each_slip(scene: Any) -> None:
    for _ in range(2):
        scene.fleet.cli("topup", "--payer", scene.payer, "--amount", "50.00", "--id", f"slip-{scene.payer}")
    assert scene.payer_has() == 15000
    again = ("topup", "--payer", scene.payer, "--id", f"slip-{scene.payer}", "--amount", "60.00")
    assert scene.fleet.cli(*again, check=False)[0] == 1
    assert scene.fleet.cli("topup", "--payer", "nobody-here", "--amount", "1.00", check=False)[0] == 1
    assert scene.payer_has() == 15000


@pytest.mark.parametrize(
    "args",
    [
        ("--off", "5.00", "--percent", "10"),
        (),
        ("--percent", "101"),
        ("--percent", "1.234"),
        ("--percent", "-5"),
        ("--off", "0"),
        ("--off", "5.00", "--currency", "QQQ"),
    ],
)
def test_a_kind_of_coupon_that_makes_no_sense_is_refused(scene: Any, args: tuple[str, ...]) -> None:
    words = [f"{a}={b}" for a, b in zip(args[::2], args[1::2], strict=True)]
    assert scene.fleet.cli("coupon", "kind", "odd", "--title", "x", *words, check=False)[0] == 1


def top_up(scene: Any, amount: str = "50.00", **more: str) -> dict[str, Any]:
    """A top-up that was begun at the fleet, as its box got it."""
    slip = f"slip-{scene.payer}"
    words = [word for name, value in more.items() for word in (f"--{name}", value)]
    asked = ("topup", "--payer", scene.payer, "--amount", amount, "--box", scene.box.id, "--id", slip, *words)
    return dict(scene.fleet.cli(*asked)[1])


def test_a_top_up_at_a_box_is_balance_once_its_box_has_taken_the_approval(scene: Any) -> None:
    order = top_up(scene)
    assert top_up(scene)["order_id"] == order["order_id"], "the same slip is the same order"
    answer = scene.pay(order, channel="cash", flow="topup")
    assert answer.status == "approved"
    assert answer.points is None
    assert scene.payer_has() == 10000
    for _ in range(2):
        scene.box.confirm(order["order_id"])
    scene.until(order, "approved")
    assert scene.payer_has() == 15000
    assert scene.merchant_has() == 0
    assert scene.fleet.verified()["ok"]


@pytest.mark.parametrize(
    "changes",
    [{"channel": "simulated"}, {"channel": "wallet", "flow": "qr_shown"}, {"payer": "somebody-else"}],
    ids=["from the balance itself", "by an app", "another payer"],
)
def test_a_top_up_is_its_own_members_and_for_the_drawer_alone(scene: Any, changes: dict[str, str]) -> None:
    order = top_up(scene)
    answer = scene.pay(order, **({"channel": "cash", "flow": "topup"} | changes))
    assert (answer.status, answer.reason) == ("declined", "not_this_way")
    assert scene.payer_has() == 10000


def test_goods_are_never_paid_with_cash_that_nobody_saw(scene: Any) -> None:
    answer = scene.pay(scene.new_order("18.50"), channel="cash")
    assert (answer.status, answer.reason) == ("declined", "not_this_way")
    assert scene.fleet.cli("order", "--amount", "1.00", "--flow", "topup", check=False)[0] != 0


def test_a_top_up_that_was_reversed_in_time_was_never_balance(scene: Any) -> None:
    order = top_up(scene)
    scene.pay(order, channel="cash", flow="topup")
    assert scene.box.reverse(order["order_id"]).status == "reversed"
    assert scene.payer_has() == 10000
    assert scene.fleet.verified()["ok"]


def test_a_top_up_is_refunded_from_what_is_left_of_the_balance(scene: Any) -> None:
    order = top_up(scene)
    scene.pay(order, channel="cash", flow="topup")
    scene.box.confirm(order["order_id"])
    scene.until(order, "approved")
    scene.sell(scene.new_order("130.00"))
    refund = ("refund", order["order_id"], "--why", "x", "--wait")
    assert scene.fleet.cli(*refund, check=False)[0] == 1
    assert scene.payer_has() == 2000
    scene.fleet.cli(*refund, "--amount", "15.00", "--id", f"r-{scene.payer}")
    scene.fleet.cli(*refund, "--amount", "15.00", "--id", f"r-{scene.payer}")
    assert scene.payer_has() == 500
    assert scene.fleet.verified()["ok"]


def voucher(scene: Any, order: dict[str, Any], at: int | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "order_id": order["order_id"], "attempt": 1, "amount_minor": order["amount_minor"], "currency": "CNY",
        "payer": scene.payer, "factors": ["face", "pin"], "flow": "face_first",
        "accepted_at": at if at is not None else now_unix(),
    } | changes  # fmt: skip


def test_a_payment_accepted_offline_is_charged_once_and_can_not_be_reversed(scene: Any) -> None:
    order = scene.new_order()
    for count in (1, 2):
        scene.box.send("pay.voucher", voucher(scene, order))
        assert scene.box.answer(order["order_id"], count).status == "approved"
    assert scene.payer_has() == 10000 - 1850
    assert scene.until(order, "approved")["final"]
    assert scene.box.reverse(order["order_id"]).reason == "too_late"


def test_an_offline_payment_counts_by_when_it_was_accepted_not_by_when_it_arrives(scene: Any) -> None:
    order = scene.new_order(expires_in_s=5)
    accepted_at = now_unix()
    with closing(sqlite3.connect(scene.fleet.state / "ledger.db", timeout=10)) as books, books:
        books.execute("UPDATE orders SET expires_at = ? WHERE order_id = ?", (accepted_at - 1, order["order_id"]))
    scene.box.send("pay.voucher", voucher(scene, order, accepted_at - 2))
    assert scene.box.answer(order["order_id"]).status == "approved"
    late = scene.new_order()
    scene.box.send("pay.voucher", voucher(scene, late, late["expires_at"] + 1))
    assert scene.box.answer(late["order_id"]).status == "approved"  # a clock that is ahead is brought back to now


def test_money_spent_offline_twice_is_declined_and_reported(scene: Any) -> None:
    before = scene.fleet.verified()["written_off"]
    for _ in range(2):
        order = scene.new_order("60.00")
        scene.box.send("pay.voucher", voucher(scene, order))
        answer = scene.box.answer(order["order_id"])
    assert (answer.status, answer.reason) == ("declined", "insufficient_funds")
    assert scene.fleet.verified()["written_off"] == before + 1
    assert scene.payer_has() == 4000

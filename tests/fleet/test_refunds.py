"""Money that goes back: refunds in parts, cancellations, and what a person decides where nobody else can."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleet.demo.providers.bank import Fault
from fleet.demo.providers.paying import PayingProvider


def refund(scene: Any, order: dict[str, Any], *args: str, check: bool = True) -> tuple[int, Any, str]:
    result: tuple[int, Any, str] = scene.fleet.cli(
        "refund", order["order_id"], "--by", "ann", "--why", "wrong drink", "--wait", *args, check=check
    )
    return result


def ask_of_box(scene: Any, order: dict[str, Any]) -> None:
    body = {"order_id": order["order_id"], "attempt": 1, "authority": "clerk"}
    scene.box.send("pay.refund", body)


def test_a_refund_in_parts_gives_back_each_part_once_and_never_more_than_was_paid(scene: Any) -> None:
    order = scene.new_order("18.50")
    scene.sell(order)
    for _ in range(2):
        assert refund(scene, order, "--amount", "8.00", "--id", "r-1")[1]["status"] == "refunded"
    assert (scene.payer_has(), scene.merchant_has()) == (10000 - 1050, 1050)
    assert scene.fleet.order_status(order["order_id"]) == "approved"
    code, said, _ = refund(scene, order, "--amount", "10.51", check=False)
    assert code == 1
    assert said["error"]["code"] == "refund_refused"
    assert "10.50" in said["error"]["message"]
    assert refund(scene, order)[1]["amount_minor"] == 1050
    assert (scene.payer_has(), scene.merchant_has()) == (10000, 0)
    assert scene.fleet.order_status(order["order_id"]) == "refunded"
    assert scene.fleet.entries(order["order_id"]) == ["capture", "refund", "refund"]


def test_the_same_refund_id_for_something_else_is_refused(scene: Any) -> None:
    order = scene.new_order("18.50")
    scene.sell(order)
    refund(scene, order, "--amount", "8.00", "--id", "r-2")
    assert refund(scene, order, "--amount", "9.00", "--id", "r-2", check=False)[0] == 1
    assert scene.payer_has() == 10000 - 1050


@pytest.mark.parametrize("kind", ["box", "late", "reversal"])
def test_a_refund_is_not_named_like_one_of_the_gateways_own(scene: Any, kind: str) -> None:
    """Else a part that an operator gave back would stand for the whole that the box asks for afterwards."""
    order = scene.new_order("18.50")
    scene.sell(order)
    name = f"{kind}-{order['order_id']}-1"
    code, said, _ = refund(scene, order, "--amount", "5.00", "--id", name, check=False)
    assert (code, "take another id" in said["error"]["message"]) == (1, True)
    ask_of_box(scene, order)
    assert scene.box.answer(order["order_id"], 2).status == "refunded"
    assert scene.payer_has() == 10000


@pytest.mark.parametrize("amount", ["0", "-1.00", "1.005", "one", "99999999999999"])
def test_an_amount_that_is_none_is_refused(scene: Any, amount: str) -> None:
    order = scene.new_order()
    scene.sell(order)
    code, said, _ = refund(scene, order, f"--amount={amount}", check=False)
    assert code == 1
    assert said["error"]["code"] in ("amount_refused", "refund_refused")
    assert scene.payer_has() == 10000 - 1850


def test_what_was_never_paid_or_is_not_confirmed_is_not_refunded(scene: Any) -> None:
    order = scene.new_order()
    assert refund(scene, order, check=False)[0] == 1
    scene.pay(order)
    code, said, _ = refund(scene, order, check=False)
    assert code == 1
    assert "not confirmed" in said["error"]["message"]
    assert refund(scene, {"order_id": "o-never"}, check=False)[1]["error"]["code"] == "not_found"


def test_a_refund_is_kept_with_who_and_why(scene: Any) -> None:
    order = scene.new_order()
    scene.sell(order)
    refund(scene, order)
    (kept,) = scene.fleet.http("GET", f"/v1/orders/{order['order_id']}")[1]["refunds"]
    assert (kept["asked_by"], kept["why"], kept["status"]) == ("operator:ann", "wrong drink", "refunded")


def test_a_box_gets_the_whole_refunded_and_asks_as_often_as_it_likes(scene: Any) -> None:
    order = scene.new_order()
    scene.sell(order)
    for count in (2, 3):
        ask_of_box(scene, order)
        answer = scene.box.answer(order["order_id"], count)
        assert (answer.status, answer.amount_minor) == ("refunded", 1850)
    assert scene.payer_has() == 10000
    assert scene.fleet.entries(order["order_id"]) == ["capture", "refund"]


def test_a_box_gets_only_what_the_operator_has_not_given_back_already(scene: Any) -> None:
    order = scene.new_order()
    scene.sell(order)
    refund(scene, order, "--amount", "18.00")
    ask_of_box(scene, order)
    assert scene.box.answer(order["order_id"], 2).status == "refunded"
    assert scene.payer_has() == 10000


def test_a_refund_that_a_box_asks_for_what_is_not_its_own_or_not_paid_is_declined(scene: Any) -> None:
    order = scene.new_order()
    scene.pay(order, payer="nobody")
    ask_of_box(scene, order)
    assert scene.box.answer(order["order_id"], 2).status == "declined"
    other = scene.another_box()
    other.connect()
    other.send("pay.refund", {"order_id": order["order_id"], "attempt": 1})
    assert other.answer(order["order_id"]).reason == "unknown_order"


def test_a_cancelled_order_takes_no_payment_and_a_paid_one_is_not_cancelled(scene: Any) -> None:
    order, paid = scene.new_order(), scene.new_order()
    scene.fleet.cli("cancel", order["order_id"])
    scene.fleet.cli("cancel", order["order_id"])
    assert scene.fleet.order_status(order["order_id"]) == "cancelled"
    assert scene.pay(order).reason == "order_closed"
    scene.sell(paid)
    code, said, _ = scene.fleet.cli("cancel", paid["order_id"], check=False)
    assert code == 1
    assert f"kingfisher-fleet refund {paid['order_id']}" in said["error"]["message"]


def test_a_capture_nobody_confirmed_is_ended_by_a_person_either_way(scene: Any, wait_for: Any) -> None:
    for decision, status, kept in (("sold", "approved", 1850), ("reverse", "reversed", 1850)):
        order = scene.new_order()
        scene.pay(order)
        view = scene.fleet.cli(
            "attempt", order["order_id"], "1", "--resolve", decision, "--by", "ann", "--why", "asked the clerk"
        )[1]
        scene.until(order, status)
        assert [(r["decision"], r["who"], r["why"]) for r in view["resolutions"]] == [
            (decision, "ann", "asked the clerk")
        ]
        wait_for(lambda o=order, s=status: scene.box.answers(o["order_id"])[-1].status == s, what="told to the box")
        assert scene.merchant_has() == kept


def test_a_decision_that_fits_nothing_is_refused_and_says_what_would(scene: Any) -> None:
    order = scene.new_order()
    scene.sell(order)
    code, said, _ = scene.fleet.cli(
        "attempt", order["order_id"], "1", "--resolve", "reverse", "--why", "x", check=False
    )
    assert code == 1
    assert said["error"]["code"] == "resolution_refused"
    assert scene.fleet.cli("attempt", order["order_id"], "1", "--resolve", "sold", check=False)[0] == 1
    assert scene.fleet.cli("attempt", order["order_id"], "9", check=False)[1]["error"]["code"] == "not_found"
    assert scene.merchant_has() == 1850


@pytest.fixture
def provider() -> Iterator[PayingProvider]:
    provider = PayingProvider("wechat-like")
    yield provider
    provider.stop()


@pytest.fixture
def far(provider: PayingProvider, build: Any, tmp_path: Path) -> Iterator[Any]:
    broker = build.new_broker("rumqttd", tmp_path)
    fleet = build.new_fleet(tmp_path, broker)
    (fleet.state / "channels.toml").write_text(provider.settings(fleet.state))
    fleet.start()
    with build.playing(broker, fleet, tmp_path) as scene:
        yield scene
    fleet.verified()
    fleet.stop()
    broker.stop()


def pay(far: Any, status: str = "approved") -> dict[str, Any]:
    order: dict[str, Any] = far.new_order()
    assert far.pay(order, channel="wechat-like", auth_code="134567890123456789").status == status
    return order


def test_a_refund_through_a_provider_survives_errors_and_a_killed_gateway(
    far: Any, provider: PayingProvider, wait_for: Callable[..., Any]
) -> None:
    order = pay(far)
    far.box.confirm(order["order_id"])
    far.until(order, "approved")
    provider.bank.fail("refund", Fault.ERROR_AFTER, Fault.ERROR_BEFORE, Fault.SILENT_BEFORE)
    far.fleet.cli("refund", order["order_id"], "--amount", "5.00", "--why", "x")
    wait_for(lambda: provider.bank.calls["refund"] >= 2, 20, "two tries")
    far.fleet.kill()
    far.fleet.start()
    far.until(order, "approved", 30)
    assert provider.bank.kept_minor() == far.merchant_has() == 1350


def test_a_reversal_the_provider_refuses_in_every_way_waits_for_a_person(far: Any, provider: PayingProvider) -> None:
    provider.bank.reversible = provider.bank.refundable = False
    order = pay(far)
    far.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    assert far.until(order, "manual")["final"] is False
    assert far.fleet.verified()["manual"] == 1
    assert [(a["order_id"], a["why"]) for a in far.fleet.cli("attempts")[1]] == [(order["order_id"], "manual")]
    provider.bank.refundable = True
    far.fleet.cli("attempt", order["order_id"], "1", "--resolve", "retry", "--why", "the provider is open again")
    far.until(order, "reversed")
    assert provider.bank.kept_minor() == far.merchant_has() == 0
    assert far.fleet.cli("attempts")[1] == []


def test_money_that_was_given_back_by_hand_is_booked_so(far: Any, provider: PayingProvider) -> None:
    provider.bank.reversible = provider.bank.refundable = False
    order = pay(far)
    far.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    far.until(order, "manual")
    far.fleet.cli("attempt", order["order_id"], "1", "--resolve", "returned", "--why", "in cash, slip 12")
    assert far.until(order, "reversed")["final"]
    assert far.merchant_has() == 0


@pytest.mark.parametrize(("decision", "keeps"), [("returned", False), ("retry", True)])
def test_a_refund_that_reached_nobody_waits_for_a_person_and_is_not_given_twice(
    far: Any, provider: PayingProvider, decision: str, keeps: bool
) -> None:
    """WeChat's state CHANGE: the provider took the refund, the payer's account did not."""
    order = pay(far)
    far.box.confirm(order["order_id"])
    far.until(order, "approved")
    provider.bank.refunds_arrive = False
    ask_of_box(far, order)
    answer = far.box.answer(order["order_id"], 2)
    assert (answer.status, answer.reason) == ("pending", "refund_by_hand")
    assert [(a["order_id"], a["why"]) for a in far.fleet.cli("attempts")[1]] == [(order["order_id"], "refund_by_hand")]
    assert far.fleet.verified()["manual"] == 1
    assert far.fleet.order_status(order["order_id"]) == "refunding"
    assert refund(far, order, check=False)[1]["error"]["code"] == "refund_refused", "it would be given twice"
    provider.bank.refunds_arrive = keeps
    far.fleet.cli("attempt", order["order_id"], "1", "--resolve", decision, "--why", "in cash, slip 12")
    far.until(order, "refunded")
    assert far.fleet.cli("attempts")[1] == []
    assert far.merchant_has() == 0
    ask_of_box(far, order)
    assert far.box.answer(order["order_id"], 4).status == "refunded"


def test_a_capture_nobody_confirmed_for_long_is_listed_for_a_person(far: Any) -> None:
    order = pay(far)
    assert far.fleet.cli("attempts")[1] == []
    with closing(sqlite3.connect(far.fleet.state / "ledger.db", timeout=10)) as books, books:
        books.execute("UPDATE attempts SET settled_at = settled_at - 300")
    (found,) = far.fleet.cli("attempts")[1]
    assert (found["order_id"], found["why"], found["minor"]) == (order["order_id"], "captured_unconfirmed", 1850)
    far.fleet.cli("attempt", order["order_id"], "1", "--resolve", "reverse", "--why", "the goods are still here")
    far.until(order, "reversed")
    assert far.fleet.cli("attempts")[1] == []


def test_a_box_hears_of_a_cancelled_order_once_and_its_payment_after_that_is_declined(
    scene: Any, wait_for: Any
) -> None:
    order = scene.new_order()
    for _ in range(2):
        scene.fleet.cli("cancel", order["order_id"])
    told = wait_for(
        lambda: [b for b in scene.box.bodies if getattr(b, "command", None) == "order.cancel"], what="the command"
    )
    assert [body.args for body in told] == [{"order_id": order["order_id"]}]
    assert scene.pay(order).reason == "order_closed"  # it crossed the command: nothing is charged
    assert scene.payer_has() == 10000
    reason = {"event": "cancel.failed", "at": 1, "command_id": told[0].command_id, "reason": "too_late"}
    scene.box.send("event", reason)
    said = scene.fleet.cli("cancel", order["order_id"], "--wait")[1]
    assert said["box"] == "too_late"

"""The end of a day: the ledger against what a box has, and against what a provider has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.payment.reconcile import AttemptLine, Head, read, write
from fleet.demo.providers.bank import Fault
from fleet.demo.providers.paying import PayingProvider
from mqtt.envelope import now_unix
from mqtt.identity import load_public_key

TODAY = (datetime.now(UTC) + timedelta(hours=8)).strftime("%Y-%m-%d")


def line(order: dict[str, Any], status: str = "approved", attempt: int = 1, **changes: Any) -> AttemptLine:
    facts: dict[str, Any] = {
        "order_id": order["order_id"], "attempt": attempt, "amount_minor": order["amount_minor"], "currency": "CNY",
        "channel": "simulated", "status": status, "refunded_minor": 0, "reference": None, "decided_at": now_unix(),
    }  # fmt: skip
    return AttemptLine(**facts | changes)


def compare(scene: Any, lines: list[AttemptLine], **head: Any) -> tuple[int, Any]:
    file = scene.folder / "box.jsonl"
    whole = {"by": scene.box.id, "box": scene.box.id, "day": TODAY, "utc_offset_min": 480} | head
    file.write_bytes(write(Head(**whole), lines, scene.box.key.sign))
    code, report, _ = scene.fleet.cli(
        "reconcile", "--box", scene.box.id, "--day", TODAY, "--with", str(file), check=False
    )
    return code, report


def test_a_box_and_a_ledger_that_agree_say_so(scene: Any) -> None:
    paid, poor = scene.new_order(), scene.new_order("100.00")
    scene.sell(paid)
    assert scene.pay(poor).status == "declined"
    code, report = compare(scene, [line(paid), line(poor, "declined")])
    assert (code, report["ok"], report["attempts"]) == (0, True, 2)


def test_each_disagreement_is_listed_with_both_sides(scene: Any) -> None:
    paid, other, refunded = scene.new_order(), scene.new_order("1.00"), scene.new_order("2.00")
    for order in (paid, other, refunded):
        scene.sell(order)
    scene.fleet.cli("refund", refunded["order_id"], "--why", "x", "--wait")
    ghost = {"order_id": "o-only-on-the-box", "amount_minor": 700}
    code, report = compare(scene, [line(paid, amount_minor=1849), line(refunded), line(ghost)])
    assert code == 1
    found = {(d["kind"], d["order_id"]): (d["here"], d["there"]) for d in report["differences"]}
    assert found == {
        ("amount_differs", paid["order_id"]): ("CNY 1850", "CNY 1849"),
        ("missing_there", other["order_id"]): ("approved CNY 100", "-"),
        ("refund_differs", refunded["order_id"]): ("200", "0"),
        ("missing_here", "o-only-on-the-box"): ("-", "approved CNY 700"),
    }
    assert report["money_in_question"] == 3  # of a refund by the operator the box knows nothing


def test_a_list_of_another_box_or_day_is_refused(scene: Any) -> None:
    other = scene.another_box()
    assert compare(scene, [], box=other.id)[1]["error"]["code"] == "request_refused"
    assert compare(scene, [], day="2020-01-01")[1]["error"]["code"] == "request_refused"
    assert "nobody we know" in compare(scene, [], by="kf-" + "a" * 16)[1]["error"]["message"]


def test_the_ledger_writes_the_same_kind_of_list_signed_by_the_fleet(scene: Any) -> None:
    order = scene.new_order()
    scene.sell(order)
    file = scene.folder / "ledger.jsonl"
    scene.fleet.cli("reconcile", "--box", scene.box.id, "--day", TODAY, "--export", str(file))
    key = load_public_key(scene.fleet.state / "fleet_public.pem")
    head, lines = read(file.read_bytes(), lambda by: lambda text, sig: key.verify(sig, text) is None)
    assert (head.by, head.box) == (scene.box.fleet, scene.box.id)
    assert lines[order["order_id"], 1].status == "approved"
    assert compare(scene, list(lines.values()))[0] == 0


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "2026-1-1x", ""])
def test_a_day_that_is_none_is_refused(scene: Any, day: str) -> None:
    code, report, _ = scene.fleet.cli("reconcile", "--channel", "simulated", "--day", day, check=False)
    assert code == 1
    assert "YYYY-MM-DD" in json.dumps(report)


def test_the_simulated_providers_list_agrees_with_the_ledger(scene: Any) -> None:
    order = scene.new_order()
    scene.sell(order)
    scene.fleet.cli("refund", order["order_id"], "--amount", "1.00", "--why", "x", "--wait")
    code, report, _ = scene.fleet.cli("reconcile", "--channel", "simulated", "--day", TODAY)
    assert (code, report["ok"]) == (0, True)
    assert report["trades"] >= 2


def test_a_channel_that_is_not_there_is_named_with_those_that_are(scene: Any) -> None:
    report = scene.fleet.cli("reconcile", "--channel", "moon", "--day", TODAY, check=False)[1]
    assert "simulated" in report["error"]["message"]


@pytest.fixture(params=["alipay-like", "wechat-like"])
def far(request: pytest.FixtureRequest, build: Any, tmp_path: Path) -> Iterator[tuple[Any, PayingProvider]]:
    provider = PayingProvider(request.param)
    broker = build.new_broker("rumqttd", tmp_path)
    fleet = build.new_fleet(tmp_path, broker)
    (fleet.state / "channels.toml").write_text(provider.settings(fleet.state))
    fleet.start()
    with build.playing(broker, fleet, tmp_path) as scene:
        yield scene, provider
    fleet.verified()
    fleet.stop()
    broker.stop()
    provider.stop()


def test_a_provider_that_took_what_was_reversed_here_is_found_out_and_gives_it_back(
    far: tuple[Any, PayingProvider], wait_for: Callable[..., Any]
) -> None:
    scene, provider = far
    provider.bank.late_s = 3.0
    provider.bank.fail("pay", Fault.LATE)
    order = scene.new_order()
    body = scene.box.request(order, channel=provider.kind, auth_code="134567890123456789")
    scene.box.send("pay.request", body)
    assert scene.box.answer(order["order_id"], timeout_s=120).status == "reversed"
    wait_for(lambda: provider.bank.kept_minor() == 1850, 120, "the late debit")
    code, report, _ = scene.fleet.cli("reconcile", "--channel", provider.kind, "--day", TODAY, check=False)
    (found,) = report["differences"]
    assert code == 1
    assert (found["kind"], found["here_minor"], found["there_minor"]) == ("capture", 0, 1850)
    assert (found["order_id"], found["looked_at"]) == (order["order_id"], True)
    wait_for(lambda: provider.bank.kept_minor() == 0, 120, "the refund")
    wait_for(lambda: scene.fleet.entries(order["order_id"]) == ["late_capture", "refund"], 120, "the books")
    assert scene.fleet.cli("reconcile", "--channel", provider.kind, "--day", TODAY)[1]["ok"]


def test_money_the_provider_does_not_know_of_is_found(far: tuple[Any, PayingProvider]) -> None:
    scene, provider = far
    order = scene.new_order()
    assert scene.pay(order, channel=provider.kind, auth_code="134567890123456789").status == "approved"
    provider.bank.trades.clear()
    (found,) = scene.fleet.cli("reconcile", "--channel", provider.kind, "--day", TODAY, check=False)[1]["differences"]
    assert (found["here_minor"], found["there_minor"], found["looked_at"]) == (1850, 0, False)


def test_a_provider_that_gives_no_list_is_an_error_by_name(far: tuple[Any, PayingProvider]) -> None:
    scene, provider = far
    provider.bank.fail("bill", Fault.ERROR_BEFORE)
    code, report, _ = scene.fleet.cli("reconcile", "--channel", provider.kind, "--day", TODAY, check=False)
    assert code == 1
    assert report["error"]["code"] == "channel_failed"

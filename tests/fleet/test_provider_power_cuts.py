"""The gateway killed with -9 around its calls to a provider: it asks what became of them, and never pays twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.demo.providers.bank import Fault
from fleet.demo.providers.paying import PayingProvider

AMOUNT = 1850


@pytest.fixture(params=["alipay-like", "wechat-like"])
def provider(request: pytest.FixtureRequest) -> Iterator[PayingProvider]:
    provider = PayingProvider(request.param)
    yield provider
    provider.stop()


@pytest.fixture
def scene(provider: PayingProvider, build: Any, tmp_path: Path) -> Iterator[Any]:
    broker = build.new_broker("rumqttd", tmp_path)
    fleet = build.new_fleet(tmp_path, broker)
    (fleet.state / "channels.toml").write_text(provider.settings(fleet.state))
    fleet.start()
    with build.playing(broker, fleet, tmp_path) as scene:
        yield scene
    assert fleet.cli("ledger", "verify")[1]["ok"]
    fleet.stop()
    broker.stop()


@pytest.fixture
def pay(scene: Any, provider: PayingProvider) -> Callable[..., dict[str, Any]]:
    """Asks for a payment through the provider and gives the order; nobody waits for the answer."""

    def ask(code: str = "282877775259787048", face: bool = False) -> dict[str, Any]:
        order: dict[str, Any] = scene.new_order()
        credential = {"face_token": code} if face else {"auth_code": code.replace("-", "")}
        scene.box.send("pay.request", scene.box.request(order, channel=provider.kind, **credential))
        return order

    return ask


def owed(scene: Any, provider: PayingProvider) -> tuple[int, int]:
    """What the provider really owes, and what the ledger says that the merchant got."""
    return provider.bank.kept_minor(), scene.merchant_has()


def until(wait_for: Callable[..., Any], look: Callable[[], Any], what: str) -> None:
    wait_for(look, 120, what)


@pytest.mark.parametrize("face", [True, False])
def test_a_payment_through_a_provider_reaches_the_box_and_the_books(
    scene: Any, provider: PayingProvider, pay: Any, face: bool
) -> None:
    order = pay(face=face)
    answer = scene.box.answer(order["order_id"])
    assert (answer.status, answer.reason, answer.amount_minor) == ("approved", "ok", AMOUNT)
    scene.box.confirm(order["order_id"])
    assert scene.until(order, "approved")["channel"] == provider.kind
    assert owed(scene, provider) == (AMOUNT, AMOUNT)
    assert scene.fleet.balance(f"clearing:{provider.kind}") == -AMOUNT
    assert scene.payer_has() == 10000


@pytest.mark.parametrize("fault", [Fault.SILENT_BEFORE, Fault.SILENT_AFTER])
def test_killed_while_the_provider_is_silent_it_asks_after_the_restart_and_pays_once(
    scene: Any, provider: PayingProvider, pay: Any, wait_for: Callable[..., Any], fault: Fault
) -> None:
    provider.bank.fail("pay", fault)
    order = pay()
    until(wait_for, lambda: provider.bank.calls["pay"] == 1, "the call")
    scene.fleet.kill()
    provider.bank.gate.set()
    scene.fleet.start()
    answer = scene.box.answer(order["order_id"], timeout_s=120)
    taken = fault is Fault.SILENT_AFTER
    assert answer.status == ("approved" if taken else "reversed")
    assert provider.bank.calls["pay"] == 1
    assert owed(scene, provider) == ((AMOUNT, AMOUNT) if taken else (0, 0))


def test_killed_between_the_providers_answer_and_the_ledger_it_asks_and_pays_once(
    scene: Any, provider: PayingProvider, pay: Any, wait_for: Callable[..., Any]
) -> None:
    for number in range(4):
        order = pay(f"28287777525978{number:04d}")
        wait_for(lambda debits=number + 1: len(provider.bank.trades) == debits, 120, "the debit")
        scene.fleet.kill()  # a moment after the debit: before, while or after the answer is written down
        scene.fleet.start()
        assert scene.box.answer(order["order_id"], timeout_s=120).status == "approved"
    assert provider.bank.calls["pay"] == 4
    assert owed(scene, provider) == (4 * AMOUNT, 4 * AMOUNT)


def test_killed_while_reversing_it_goes_on_until_the_provider_has_given_back(
    scene: Any, provider: PayingProvider, pay: Any, wait_for: Callable[..., Any]
) -> None:
    provider.bank.fail("reverse", Fault.ERROR_BEFORE, Fault.ERROR_AFTER)
    order = pay()
    assert scene.box.answer(order["order_id"]).status == "approved"
    scene.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    until(wait_for, lambda: provider.bank.calls["reverse"] >= 1, "the first try")
    scene.fleet.kill()
    assert scene.box.answers(order["order_id"])[-1].status != "reversed"
    scene.fleet.start()
    assert wait_for(lambda: scene.box.answers(order["order_id"])[-1].status == "reversed", 120, "reversed")
    assert owed(scene, provider) == (0, 0)
    assert scene.fleet.entries(order["order_id"]) == ["capture", "reversal"]


@pytest.mark.parametrize("fault", [Fault.ERROR_BEFORE, Fault.ERROR_AFTER, Fault.FORGED, Fault.UNKNOWN])
def test_an_answer_that_can_not_be_used_is_followed_by_queries(
    scene: Any, provider: PayingProvider, pay: Any, fault: Fault
) -> None:
    provider.bank.fail("pay", fault)
    order = pay()
    taken = fault in (Fault.ERROR_AFTER, Fault.FORGED)
    assert scene.box.answer(order["order_id"], timeout_s=120).status == ("approved" if taken else "reversed")
    assert provider.bank.calls["pay"] == 1
    assert owed(scene, provider) == ((AMOUNT, AMOUNT) if taken else (0, 0))


def test_twenty_copies_of_a_request_are_one_payment_at_the_provider(
    scene: Any, provider: PayingProvider, wait_for: Callable[..., Any]
) -> None:
    order = scene.new_order()
    body = scene.box.request(order, channel=provider.kind, auth_code="282877775259787048")
    for _ in range(20):
        scene.box.link.publish(f"kf/v1/{scene.box.id}/up/pay", scene.box.seal("pay.request", body).token)
    assert scene.box.answer(order["order_id"]).status == "approved"
    scene.box.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    wait_for(lambda: len(scene.box.answers(order["order_id"])) >= 2, what="the same again")
    assert {a.status for a in scene.box.answers(order["order_id"])} == {"approved"}
    assert provider.bank.calls["pay"] == 1
    assert owed(scene, provider) == (AMOUNT, AMOUNT)


def test_a_payer_who_takes_his_time_is_waited_for(
    scene: Any, provider: PayingProvider, pay: Any, wait_for: Callable[..., Any]
) -> None:
    provider.bank.payers_ask_first = True
    order = pay()
    until(wait_for, lambda: provider.bank.calls["query"] >= 3, "queries")
    assert scene.box.answers(order["order_id"]) == []
    scene.box.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"]).status == "pending"
    provider.bank.payer_agrees()
    assert scene.box.answer(order["order_id"], 2).status == "approved"


def test_a_payer_who_never_agrees_is_closed_out_and_can_not_agree_any_more(
    scene: Any, provider: PayingProvider, pay: Any, wait_for: Callable[..., Any]
) -> None:
    provider.bank.payers_ask_first = True
    order = pay()
    until(wait_for, lambda: provider.bank.calls["query"] >= 1, "a query")
    scene.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"]).status == "reversed"
    provider.bank.payer_agrees()
    assert owed(scene, provider) == (0, 0)


def test_where_the_provider_takes_no_reversal_the_money_is_refunded(
    scene: Any, provider: PayingProvider, pay: Any
) -> None:
    provider.bank.reversible = False
    order = pay()
    assert scene.box.answer(order["order_id"]).status == "approved"
    assert scene.box.reverse(order["order_id"]).status == "reversed"
    assert provider.bank.calls["refund"] >= 1
    assert owed(scene, provider) == (0, 0)


def test_a_success_that_comes_after_the_reversal_is_booked_and_refunded(
    scene: Any, provider: PayingProvider, pay: Any, wait_for: Callable[..., Any]
) -> None:
    provider.bank.late_s = 3.0
    provider.bank.fail("pay", Fault.LATE)
    order = pay()
    answer = scene.box.answer(order["order_id"], timeout_s=120)
    assert (answer.status, answer.reason) == ("reversed", "never_received")
    until(wait_for, lambda: provider.bank.kept_minor() == AMOUNT, "the late debit")
    scene.fleet.kill()  # and it is not forgotten over a restart
    scene.hurry_looks()
    scene.fleet.start()
    until(wait_for, lambda: provider.bank.kept_minor() == 0, "the refund")
    until(wait_for, lambda: scene.fleet.entries(order["order_id"]) == ["late_capture", "refund"], "the books")
    assert scene.merchant_has() == 0
    assert scene.fleet.balance("suspense:late") == 0
    assert [a.status for a in scene.box.answers(order["order_id"])] == ["reversed"]


def test_a_provider_that_is_not_there_costs_a_moment_and_the_next_attempt_takes_another_channel(
    scene: Any, provider: PayingProvider, pay: Any
) -> None:
    provider.stop()
    order = pay()
    answer = scene.box.answer(order["order_id"])
    assert (answer.status, answer.reason) == ("declined", "unreachable")
    assert scene.pay(order, attempt=2, channel="simulated").status == "approved"


def test_no_credential_is_left_in_the_state_folder(scene: Any, provider: PayingProvider, pay: Any) -> None:
    code = "SECRETCODE0123456789"
    order = pay(code)
    scene.box.answer(order["order_id"])
    scene.fleet.stop()
    files = [f for f in scene.fleet.state.rglob("*") if f.is_file()]
    assert len(files) > 4
    assert [f.name for f in files if code.encode() in f.read_bytes()] == []


PATIENT = "call_s = 30.0\nquery_s = [0.1, 0.2]\nretry_s = 0.1\n"


def test_a_reversal_does_not_wait_for_a_silent_provider(
    scene: Any, provider: PayingProvider, pay: Any, wait_for: Callable[..., Any]
) -> None:
    scene.fleet.stop()
    (scene.fleet.state / "channels.toml").write_text(provider.settings(scene.fleet.state, PATIENT))
    scene.fleet.start()
    provider.bank.fail("pay", Fault.SILENT_AFTER)
    order = pay()
    until(wait_for, lambda: provider.bank.kept_minor() == AMOUNT, "the debit")
    scene.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"]).status == "reversed"
    assert owed(scene, provider) == (0, 0)


def test_a_reversal_waits_until_the_provider_takes_one(
    scene: Any, provider: PayingProvider, pay: Any, wait_for: Callable[..., Any]
) -> None:
    """WeChat Pay asks for 15 s between payment and reversal; here it is 2."""
    scene.fleet.stop()
    table = provider.settings(scene.fleet.state).replace("reverse_after_s = 0.0\n", "")
    (scene.fleet.state / "channels.toml").write_text(table + "reverse_after_s = 2.0\n")
    provider.bank.reverse_after_s = 2.0
    scene.fleet.start()
    order = pay()
    assert scene.box.answer(order["order_id"]).status == "approved"
    scene.box.send("pay.reverse", {"order_id": order["order_id"], "attempt": 1})
    scene.box.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    assert scene.box.answer(order["order_id"], 2).status == "pending"
    wait_for(lambda: scene.box.answers(order["order_id"])[-1].status == "reversed", 20, "reversed")
    assert provider.bank.calls["reverse"] == 1
    assert owed(scene, provider) == (0, 0)


def test_a_gateway_with_a_fault_in_its_channels_does_not_start_and_says_where(
    scene: Any, provider: PayingProvider
) -> None:
    scene.fleet.stop()
    (scene.fleet.state / "channels.toml").write_text(provider.settings(scene.fleet.state) + "colour = 'red'\n")
    code, said, _ = scene.fleet.cli("gateway", "--broker", f"127.0.0.1:{scene.fleet.broker_port}", check=False)
    assert code == 1
    assert said["error"]["code"] == "channel_failed"
    assert f"channel.0.{provider.kind}.colour" in said["error"]["message"]
    (scene.fleet.state / "channels.toml").write_text(provider.settings(scene.fleet.state))
    scene.fleet.start()

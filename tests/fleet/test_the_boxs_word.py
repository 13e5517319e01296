"""A capture is not a sale: what the till may call paid is what the box took as approved, and that alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fleet import database


def view_of(scene: Any, order: dict[str, Any]) -> dict[str, Any]:
    return dict(scene.fleet.http("GET", f"/v1/orders/{order['order_id']}")[1])


def reverse(scene: Any, order: dict[str, Any], attempt: int = 1) -> Any:
    return scene.box.reverse(order["order_id"], attempt)


def age(scene: Any, seconds: int) -> None:
    """Its captures are that much older."""
    with closing(sqlite3.connect(scene.fleet.state / "ledger.db", timeout=10)) as books, books:
        books.execute("UPDATE attempts SET settled_at = settled_at - ? WHERE confirmed_at IS NULL", (seconds,))


def test_with_the_cable_pulled_after_the_payers_ok_nobody_is_told_paid_and_the_money_goes_back(
    own_scene: Any, wait_for: Any
) -> None:
    scene = own_scene
    order = scene.new_order()
    scene.box.unsettled.append((order["order_id"], 1))
    scene.box.send("pay.request", scene.box.request(order))
    scene.box.link.stop(with_will=False)  # the answer finds nobody
    path = f"/v1/orders/{order['order_id']}"
    view = wait_for(
        lambda: (v := scene.fleet.http("GET", path)[1])["reason"] == "waiting_for_box" and v, what="captured"
    )
    assert (view["status"], view["final"]) == ("paying", False)
    assert scene.merchant_has() == 1850
    again = type(scene.box)(scene.fleet.state / "fleet_public.pem", scene.fleet.broker_port, key=scene.box.key)
    scene.others.append(again)
    scene.box = again
    again.unsettled.append((order["order_id"], 1))  # it is being reversed: no answer came in time
    again.connect()
    again.answer(order["order_id"])  # the approval that stands; a box that reverses goes on reversing
    assert not view_of(scene, order)["final"]
    assert reverse(scene, order).status == "reversed"
    assert scene.until(order, "reversed")["final"]
    assert scene.merchant_has() == 0
    assert scene.fleet.entries(order["order_id"]) == ["capture", "reversal"]


def test_what_the_box_took_as_approved_is_final_and_its_reversal_comes_too_late(scene: Any) -> None:
    order = scene.new_order()
    reference = scene.sell(order).reference
    answer = reverse(scene, order)
    assert (answer.status, answer.reason, answer.reference) == ("approved", "too_late", reference)
    view = view_of(scene, order)
    assert (view["status"], view["final"], view["reason"]) == ("approved", True, "ok")
    assert scene.fleet.entries(order["order_id"]) == ["capture"]


def test_said_again_a_confirmation_changes_nothing_and_the_same_envelope_is_a_replay(
    scene: Any, wait_for: Callable[..., Any]
) -> None:
    order = scene.new_order()
    scene.pay(order)
    sealed = scene.box.confirm(order["order_id"])
    scene.until(order, "approved")
    before = scene.fleet.refusals("replayed")
    scene.box.publish("event", sealed.token)
    wait_for(lambda: scene.fleet.refusals("replayed") > before, what="counted as replayed")
    scene.box.confirm(order["order_id"])
    assert reverse(scene, order).reason == "too_late"
    assert view_of(scene, order)["status"] == "approved"


def test_a_confirmation_of_what_was_reversed_charges_nobody(scene: Any) -> None:
    order = scene.new_order()
    scene.pay(order)
    assert reverse(scene, order).status == "reversed"
    scene.box.confirm(order["order_id"])
    assert scene.pay(order).status == "reversed"  # whatever was sent before has been seen
    assert view_of(scene, order)["status"] == "reversed"
    assert scene.payer_has() == 10000


def test_a_confirmation_of_what_was_never_charged_by_another_box_or_of_no_attempt_is_nothing(scene: Any) -> None:
    order = scene.new_order()
    scene.box.confirm(order["order_id"])  # before the request
    scene.pay(order)
    other = scene.another_box()
    other.connect()
    other.confirm(order["order_id"])
    for data in ({}, {"attempt": 0}, {"attempt": True}, {"attempt": "1"}, {"attempt": 2}, {"attempt": 2**70}):
        body = {"event": "order.approved", "at": 1, "order_id": order["order_id"], "data": data}
        scene.box.send("event", body)
    other.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    other.answer(order["order_id"])
    assert view_of(scene, order)["reason"] == "waiting_for_box"
    assert reverse(scene, order).status == "reversed"


def test_a_lost_confirmation_is_made_good_by_the_boxs_next_state(own_scene: Any, wait_for: Callable[..., Any]) -> None:
    scene = own_scene
    order = scene.new_order()
    decided = scene.box.request(order)
    scene.box.send("pay.request", decided | {"decided_at": decided["decided_at"] - 2})
    scene.box.answer(order["order_id"])
    scene.box.unsettled.append((order["order_id"], 1))
    before = scene.box.connections
    scene.box.link.drop()
    wait_for(lambda: scene.box.connections > before and scene.box.online.is_set(), what="back")
    scene.box.answer(order["order_id"], 2)  # it still lists it, so it is told again
    assert view_of(scene, order)["status"] == "paying"
    scene.box.unsettled.clear()  # it has taken the approval, and that event got lost
    scene.box.link.drop()
    assert scene.until(order, "approved")["final"]
    assert reverse(scene, order).reason == "too_late"


def test_a_state_from_before_the_request_proves_nothing(own_scene: Any, wait_for: Callable[..., Any]) -> None:
    scene = own_scene
    order = scene.new_order()
    body = scene.box.request(order)
    scene.box.send("pay.request", body | {"decided_at": body["decided_at"] + 30})
    scene.box.answer(order["order_id"])
    before = scene.box.connections
    scene.box.link.drop()
    wait_for(lambda: scene.box.connections > before and scene.box.online.is_set(), what="back")
    scene.box.send("pay.query", {"order_id": order["order_id"], "attempt": 1})
    scene.box.answer(order["order_id"], 2)
    assert view_of(scene, order)["status"] == "paying"
    assert reverse(scene, order).status == "reversed"


def test_a_gateway_killed_in_between_asks_for_the_boxs_word_and_keeps_it(own_scene: Any) -> None:
    scene = own_scene
    order = scene.new_order()
    scene.pay(order)
    scene.fleet.kill()
    scene.fleet.start()
    assert view_of(scene, order)["status"] == "paying"
    assert scene.box.answer(order["order_id"], 2).status == "approved"  # so that the box says it again
    scene.box.confirm(order["order_id"])
    scene.until(order, "approved")
    scene.fleet.kill()
    scene.fleet.start()
    assert view_of(scene, order)["final"]
    assert reverse(scene, order).reason == "too_late"


def test_a_confirmation_sent_while_the_gateway_was_down_counts_when_it_is_back(own_scene: Any) -> None:
    scene = own_scene
    order = scene.new_order()
    scene.pay(order)
    scene.fleet.kill()
    scene.box.confirm(order["order_id"])
    scene.fleet.start()
    assert scene.until(order, "approved")["final"]
    assert scene.merchant_has() == 1850


def test_what_stays_unconfirmed_for_long_is_shown_to_the_operator_until_it_ends(own_scene: Any) -> None:
    scene = own_scene
    confirmed, reversed_ = scene.new_order(), scene.new_order()
    for order in (confirmed, reversed_):
        scene.pay(order)
    assert scene.fleet.verified()["captured_unconfirmed"] == 0
    age(scene, 3600)
    listed = {o["order_id"]: o for o in scene.fleet.cli("orders")[1]}
    for order in (confirmed, reversed_):
        assert listed[order["order_id"]]["status"] == "captured_unconfirmed"
        assert not listed[order["order_id"]]["final"]
    assert scene.fleet.verified()["captured_unconfirmed"] == 2
    scene.box.confirm(confirmed["order_id"])
    scene.until(confirmed, "approved")
    assert reverse(scene, reversed_).status == "reversed"
    assert scene.fleet.verified()["captured_unconfirmed"] == 0


def as_of_version_2(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same books in a file as version 2 made it."""
    late = file.rename(file.with_suffix(".late"))
    with monkeypatch.context() as then:
        then.setattr(database, "MIGRATIONS", ())
        then.setattr(database, "SCHEMA_VERSION", database.TABLES_VERSION)
        database.open_database(file).close()
    with closing(sqlite3.connect(file)) as books, books:
        books.execute("ATTACH ? AS late", (str(late),))
        for (table,) in books.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'").fetchall():
            columns = ", ".join(f'"{c[1]}"' for c in books.execute(f"PRAGMA main.table_info({table})"))
            books.execute(f"DELETE FROM main.{table}")
            books.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM late.{table}")


def test_a_ledger_of_the_version_before_keeps_as_final_what_it_called_final(
    own_scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = own_scene
    order = scene.new_order()
    scene.pay(order)
    scene.fleet.stop()
    as_of_version_2(scene.fleet.state / "ledger.db", monkeypatch)
    with closing(sqlite3.connect(scene.fleet.state / "ledger.db")) as books, books:
        books.execute("DROP TRIGGER confirmed_stays")
        books.execute("DROP INDEX attempts_unconfirmed")
        books.execute("ALTER TABLE attempts DROP COLUMN confirmed_at")
        books.execute("ALTER TABLE attempts DROP COLUMN decided_at")
        books.execute("PRAGMA user_version=1")
    scene.fleet.start()
    assert view_of(scene, order)["status"] == "approved"
    assert reverse(scene, order).reason == "too_late"

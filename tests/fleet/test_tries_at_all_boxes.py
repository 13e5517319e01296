"""Wrong PINs are counted over all boxes of a tenant: three guesses, however many boxes somebody walks to."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet_doubles.box import BoxDouble
from fleet_doubles.scene import Scene
from fleet_doubles.tenants import Tenants, in_own_books
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.boxes import tries
from fleet.database import open_database
from fleet.money import ledger_check
from mqtt.schemas import EventBody, PayerTries, TriesBody

NOW = 1_800_000_000


def wrong(handle: str = "grace", factor: Any = "pin", count: Any = 1) -> EventBody:
    return EventBody(event="factor.wrong", at=NOW, handle=handle, data={"factor": factor, "tries": count})


@pytest.fixture
def books(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "ledger.db")
    connection.execute("INSERT INTO accounts (name, kind, opened_at) VALUES ('merchant:main', 'merchant', 1)")
    for box, tenant in (("kf-a", "canteen"), ("kf-b", "canteen"), ("kf-c", "campus")):
        connection.execute(
            "INSERT INTO boxes (id, name, public_pem, merchant, added_at, tenant) VALUES (?, ?, x'00', 'main', 1, ?)",
            (box, box, tenant),
        )
    yield connection
    connection.close()


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Tenants]:
    made = Tenants(tmp_path, NOW, in_own_books(NOW))
    yield made
    assert ledger_check.verify(made.tx, made.now)["ok"]
    made.tx.close()


def test_three_wrong_ones_at_different_boxes_lock_at_all_of_the_tenant(books: sqlite3.Connection) -> None:
    assert tries.note(books, "kf-a", wrong(), NOW) is None
    assert tries.note(books, "kf-b", wrong(), NOW) is None
    locked = tries.note(books, "kf-a", wrong(), NOW)
    assert locked == PayerTries(handle="grace", factor="pin", wrong=3, locked_until=NOW + 900, version=NOW + 2)
    assert tries.boxes_of(books, "kf-b") == ["kf-a", "kf-b"]
    assert [body.payers for body in tries.standing(books, "kf-b", NOW + 1)] == [[locked]]
    assert list(tries.standing(books, "kf-c", NOW + 1)) == [], "another tenant's people are none of its business"


def test_each_further_one_locks_twice_as_long_and_never_longer_than_a_day(books: sqlite3.Connection) -> None:
    tries.note(books, "kf-a", wrong(count=3), NOW)
    fourth = tries.note(books, "kf-b", wrong(), NOW + 900)
    assert fourth is not None
    assert fourth.locked_until == NOW + 900 + 1800
    for _ in range(30):
        tries.note(books, "kf-b", wrong(count=100), NOW + 900)
    assert tries.listing(books, NOW)[0]["locked_until"] == NOW + 900 + 86_400


def test_a_box_that_makes_up_tries_sets_all_others_talking_a_few_times_and_no_more(books: sqlite3.Connection) -> None:
    told = [tries.note(books, "kf-a", wrong(), NOW + second) for second in range(200)]
    assert sum(one is not None for one in told) <= 8
    assert tries.listing(books, NOW)[0]["wrong"] == 200


def test_a_payment_with_the_right_pin_begins_the_count_anew(tenants: Tenants) -> None:
    tenants.wrong("a", 2)
    tenants.ask_to_pay("b", factors=("face",))
    assert tenants.count() == 2, "a face proves no PIN"
    paid = tenants.ask_to_pay("b")
    assert tenants.status(paid) == "approved"
    assert tenants.count() == 0
    tenants.wrong("a", 2)
    assert tenants.heard("a") == [], "no box had heard of it: none needs to be told"


def test_a_request_that_was_not_approved_proves_nothing(tenants: Tenants) -> None:
    """Whoever took a box over can make requests up: for an order that nobody knows, for one that is paid, for more
    than the payer has, over a channel that is none. He must not clear the count of a payer whose PIN is guessed."""
    tenants.wrong("a", 2)
    tenants.wrong("a", 2, handle="poor")
    paid = tenants.ask_to_pay("b", handle="ada")
    made_up = (
        {"order_id": "o-made-up"}, {"order_id": paid, "attempt": 2}, {"channel": "none"}, {"amount_minor": 2},
        {"currency": "EUR"},
    )  # fmt: skip
    for one in made_up:
        tenants.ask_to_pay("b", **one)
    assert tenants.status(tenants.ask_to_pay("b", handle="poor")) == "declined"
    assert tenants.count("poor") == 2, "a payer who has not the money has proven nothing either"
    tenants.say("b", "pay.voucher", {
        "order_id": "o-made-up", "attempt": 1, "amount_minor": 1, "currency": "CNY", "payer": "grace",
        "factors": ["pin"], "flow": "face_first", "accepted_at": NOW,
    })  # fmt: skip
    assert tenants.count() == 2


def test_a_lock_is_as_long_as_before_after_requests_that_somebody_made_up(tenants: Tenants) -> None:
    tenants.wrong("a", 3)
    tenants.now += 900
    tenants.ask_to_pay("b", order_id="o-made-up")
    tenants.wrong("a")
    assert tenants.heard("b")[-1].locked_until == tenants.now + 1800


def test_the_boxes_hear_that_a_lock_they_know_of_has_ended(tenants: Tenants) -> None:
    tenants.wrong("a", 3)
    (locked,) = tenants.heard("b")
    tenants.now += 899
    tenants.ask_to_pay("b")
    assert tenants.count() == 3, "while it is locked nothing proves anything"
    tenants.now += 1
    tenants.ask_to_pay("b")
    for box in ("a", "b"):
        ended = tenants.heard(box)[-1]
        assert (ended.wrong, ended.locked_until) == (0, 0)
        assert ended.version > locked.version
    assert tenants.heard("c") == []


def test_a_payment_that_its_provider_answers_later_proves_what_was_typed_when_it_was_asked(tenants: Tenants) -> None:
    tenants.channels["simulated"]._delay_s = 60.0  # type: ignore[attr-defined]
    tenants.wrong("a", 2)
    first = tenants.ask_to_pay("b")
    assert tenants.count() == 2, "nobody has paid yet"
    tenants.now += 60
    tenants.provider_answers(first)
    assert tenants.count() == 0
    tenants.wrong("a")
    second = tenants.ask_to_pay("b")
    tenants.now += 60
    tenants.wrong("a")
    tenants.provider_answers(second)
    assert tenants.status(second) == "approved"
    assert tenants.count() == 2, "somebody guessed since, and that payment says nothing of him"


def test_a_lock_that_ran_when_it_was_asked_does_not_end_with_a_late_answer(tenants: Tenants) -> None:
    tenants.channels["simulated"]._delay_s = 60.0  # type: ignore[attr-defined]
    tenants.wrong("a", 3)
    tenants.now += 899
    order_id = tenants.ask_to_pay("b")
    tenants.now += 60
    tenants.provider_answers(order_id)
    assert tenants.count() == 3


def test_a_payment_that_is_approved_after_a_restart_ends_the_count_and_is_answered_twice_to_no_harm(
    tenants: Tenants,
) -> None:
    tenants.channels["simulated"]._delay_s = 60.0  # type: ignore[attr-defined]
    tenants.wrong("a", 3)
    tenants.now += 900
    order_id = tenants.ask_to_pay("b")
    tenants.start_gateway()
    assert tenants.provider_answers(order_id)
    assert [one.wrong for one in tenants.heard("a")] == [3, 0]
    tenants.wrong("a")
    tenants.now += 1
    assert not tenants.provider_answers(order_id), "it has ended"
    assert tenants.count() == 1


def test_a_voucher_that_is_paid_ends_the_count(tenants: Tenants) -> None:
    tenants.wrong("a", 2)
    tenants.hand_in_voucher("a", NOW)
    assert tenants.count() == 0


def test_a_payment_is_for_nothing_when_its_proof_can_not_be_written(tenants: Tenants) -> None:
    """One transaction: an approval is on disk with what it proves, or not at all."""
    tenants.wrong("a", 2)
    tenants.tx.execute(
        "CREATE TEMP TRIGGER full BEFORE UPDATE ON factor_tries BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        tenants.ask_to_pay("b")
    tenants.tx.execute("ROLLBACK")
    assert tenants.tx.execute("SELECT count(*) FROM attempts").fetchone()[0] == 0


def test_a_count_that_was_forgotten_begins_above_what_boxes_remember(tenants: Tenants) -> None:
    tenants.wrong("a", 3)
    (before,) = tenants.heard("a")
    tenants.now += 1000
    tenants.ask_to_pay("a")
    tenants.now += 3 * 86_400
    tries.forget(tenants.tx, tenants.now)
    assert tenants.tx.execute("SELECT count(*) FROM factor_tries").fetchone()[0] == 0
    tenants.wrong("a", 3)
    assert tenants.heard("a")[-1].version > before.version


@pytest.mark.parametrize("factor", ["", "face", "PIN", None, 3, True])
def test_what_is_no_factor_is_not_counted(books: sqlite3.Connection, factor: Any) -> None:
    data = {} if factor is None else {"factor": factor, "tries": 1}
    body = EventBody(event="factor.wrong", at=NOW, handle="grace", data=data)
    assert tries.note(books, "kf-a", body, NOW) is None
    assert tries.listing(books, NOW) == []


@pytest.mark.parametrize("count", [0, -1, 101, 2**53, True, "3"])
def test_a_number_of_tries_that_no_box_tells_is_not_counted(books: sqlite3.Connection, count: Any) -> None:
    assert tries.note(books, "kf-a", wrong(count=count), NOW) is None
    assert tries.listing(books, NOW) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(told=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.integers(0, 4000)), max_size=40))
def test_however_somebody_walks_between_boxes_the_third_in_a_row_locks_and_each_lock_is_longer(
    tenants: Tenants, told: list[tuple[str, bool, int]]
) -> None:
    """A guesser who types only where he is not locked; the payer is right now and then."""
    handle = tenants.new_payer()
    locked_until, in_a_row, length = 0, 0, 0
    for box, right, waits in told:
        tenants.now += waits
        if tenants.now < locked_until:
            continue
        if right:
            tenants.ask_to_pay(box, handle)
            in_a_row, length = 0, 0
            continue
        in_a_row += 1
        before = len(tenants.heard(box, handle))
        tenants.wrong(box, handle=handle)
        heard = tenants.heard(box, handle)[before:]
        assert (not heard) == (in_a_row < 3)
        for locked in heard:
            assert locked.locked_until - tenants.now > length or length == 86_400
            length, locked_until = locked.locked_until - tenants.now, locked.locked_until


def _heard(box: BoxDouble, handle: str) -> PayerTries | None:
    """The newest word on this payer."""
    found = [one for body in list(box.bodies) if isinstance(body, TriesBody) for one in body.payers]
    mine = sorted((one for one in found if one.handle == handle), key=lambda one: one.version)
    return mine[-1] if mine else None


def test_over_the_wire_every_box_hears_of_the_lock_also_one_that_was_away(
    scene: Scene, wait_for: Callable[..., Any]
) -> None:
    second, late = scene.another_box(), scene.another_box()
    second.connect()
    handle = f"{scene.payer}-guessed"
    for box in (scene.box, second, scene.box):
        sealed = box.send("event", wrong(handle).model_copy(update={"at": int(time.time())}).to_json())
    scene.box.publish("event", sealed.token)  # the broker may deliver twice: it is one try
    for box in (scene.box, second):
        locked = wait_for(lambda box=box: _heard(box, handle), what="the lock")
        assert locked.wrong == 3
        assert 0 < locked.locked_until - time.time() <= 900
    late.connect()
    assert wait_for(lambda: _heard(late, handle), what="the lock at the box that came later").wrong == 3
    listed = scene.fleet.cli("tries", "--json")[1]
    assert [one["wrong"] for one in listed if one["handle"] == handle] == [3]
    scene.fleet.cli("tries", "--unlock", handle)
    for box in (scene.box, second, late):
        assert wait_for(lambda box=box: (one := _heard(box, handle)) and one.wrong == 0, what="the end of the lock")
    code, _, said = scene.fleet.cli("tries", "--unlock", "nobody-of-that-name", check=False)
    assert code == 1
    assert "no wrong try is counted" in said

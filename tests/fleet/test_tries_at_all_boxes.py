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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.boxes import tries
from fleet.database import open_database
from mqtt.schemas import EventBody, PayerTries, PayRequestBody, TriesBody

NOW = 1_800_000_000


def wrong(handle: str = "grace", factor: Any = "pin", count: Any = 1) -> EventBody:
    return EventBody(event="factor.wrong", at=NOW, handle=handle, data={"factor": factor, "tries": count})


def paid(handle: str = "grace", factors: tuple[str, ...] = ("face", "pin")) -> PayRequestBody:
    return PayRequestBody(
        order_id="o1", attempt=1, amount_minor=100, currency="CNY", payer=handle, factors=factors,
        channel="simulated", decided_at=NOW, flow="face_first",
    )  # fmt: skip


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


def test_a_payment_with_the_right_pin_begins_the_count_anew(books: sqlite3.Connection) -> None:
    tries.note(books, "kf-a", wrong(count=2), NOW)
    assert tries.note(books, "kf-b", paid(factors=("face",)), NOW) is None, "a face proves no PIN"
    assert tries.listing(books, NOW)[0]["wrong"] == 2
    assert tries.note(books, "kf-b", paid(), NOW) is None, "no box had heard of it: none needs to be told"
    assert tries.note(books, "kf-a", wrong(count=2), NOW) is None


def test_the_boxes_hear_that_a_lock_they_know_of_has_ended(books: sqlite3.Connection) -> None:
    locked = tries.note(books, "kf-a", wrong(count=3), NOW)
    assert tries.note(books, "kf-b", paid(), NOW + 899) is None, "while it is locked nothing proves anything"
    ended = tries.note(books, "kf-b", paid(), NOW + 900)
    assert locked is not None
    assert ended is not None
    assert (ended.wrong, ended.locked_until) == (0, 0)
    assert ended.version > locked.version


def test_a_count_that_was_forgotten_begins_above_what_boxes_remember(books: sqlite3.Connection) -> None:
    before = tries.note(books, "kf-a", wrong(count=3), NOW)
    tries.note(books, "kf-a", paid(), NOW + 1000)
    tries.forget(books, NOW + 3 * 86_400)
    assert books.execute("SELECT count(*) FROM factor_tries").fetchone()[0] == 0
    after = tries.note(books, "kf-a", wrong(count=3), NOW + 3 * 86_400)
    assert before is not None
    assert after is not None
    assert after.version > before.version


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
@given(told=st.lists(st.tuples(st.sampled_from(["kf-a", "kf-b"]), st.booleans(), st.integers(0, 4000)), max_size=40))
def test_however_somebody_walks_between_boxes_the_third_in_a_row_locks_and_each_lock_is_longer(
    books: sqlite3.Connection, told: list[tuple[str, bool, int]]
) -> None:
    """A guesser who types only where he is not locked; the payer is right now and then."""
    books.execute("BEGIN")
    now, locked_until, in_a_row, length = NOW, 0, 0, 0
    for box, right, waits in told:
        now += waits
        if now < locked_until:
            continue
        if right:
            tries.note(books, box, paid(), now)
            in_a_row, length = 0, 0
            continue
        in_a_row += 1
        locked = tries.note(books, box, wrong(), now)
        assert (locked is None) == (in_a_row < 3)
        if locked is not None:
            assert locked.locked_until - now > length or length == 86_400
            length, locked_until = locked.locked_until - now, locked.locked_until
    books.execute("ROLLBACK")


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

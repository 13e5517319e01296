"""What a box told of wrong tries is taken back when it was stolen; what the other boxes told stays."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from fleet_doubles.scene import Scene
from fleet_doubles.tenants import Tenants, in_own_books
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.books import fleet_tries, pin_tries
from fleet import database
from fleet.boxes import register, tries
from fleet.errors import BoxUnknown, NotFound
from fleet.migrations import MIGRATIONS
from mqtt.schemas import PayerTries, TriesBody

NOW = 1_800_000_000


@pytest.fixture
def tenants(tmp_path: Path) -> Iterator[Tenants]:
    made = Tenants(tmp_path, NOW, in_own_books(NOW))
    yield made
    made.tx.close()


def unlock_box(tenants: Tenants, name: str) -> list[dict[str, Any]]:
    return tenants.gateway.tries.unlock_box(tenants.tx, tenants.id(name))


def test_a_lock_that_rests_on_its_word_ends_at_all_boxes_of_the_tenant(tenants: Tenants) -> None:
    tenants.wrong("b", 5)
    tenants.wrong("b", 3, handle="ada")
    tenants.wrong("c", 3)
    assert [one["wrong"] for one in unlock_box(tenants, "b")] == [0, 0]
    for box in ("a", "b"):
        for handle in ("grace", "ada"):
            assert [one.wrong for one in tenants.heard(box, handle)][-1] == 0
    assert [one.wrong for one in tenants.heard("c")] == [3], "another tenant's box said that, and it stays"
    assert tenants.count() == tenants.count("ada") == 0


def test_whoever_guesses_at_other_boxes_gets_no_guess_more(tenants: Tenants) -> None:
    tenants.wrong("a", 2)
    tenants.wrong("b", 5)
    assert [one["wrong"] for one in unlock_box(tenants, "b")] == [2]
    assert tenants.heard("a")[-1].wrong == 0, "nobody is locked any more"
    tenants.wrong("a")
    assert tenants.heard("a")[-1] == tenants.heard("b")[-1]
    assert (tenants.heard("a")[-1].wrong, tenants.heard("a")[-1].locked_until) == (3, NOW + 900)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(told=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 4), st.integers(0, 2000)), max_size=12))
def test_what_others_said_counts_and_locks_as_if_it_had_never_spoken(
    tenants: Tenants, told: list[tuple[str, int, int]]
) -> None:
    with_it, without_it = tenants.new_payer(), tenants.new_payer()
    for box, count, waits in told:
        tenants.now += waits
        tenants.wrong(box, count, with_it)
        if box == "a":
            tenants.wrong(box, count, without_it)
    with contextlib.suppress(NotFound):
        unlock_box(tenants, "b")
    listed = {one["handle"]: one for one in tries.listing(tenants.tx, tenants.now)}
    kept = [{k: v for k, v in listed.get(who, {}).items() if k != "handle"} for who in (with_it, without_it)]
    assert kept[0] == kept[1]


def at_box(tmp_path: Path, heard: list[PayerTries], count: tuple[int, int] = (0, 0)) -> tuple[int, int]:
    """Wrong tries and the end of the lock at a box that takes these words in, in their order."""
    with contextlib.closing(sqlite3.connect(tmp_path / "box.db")) as box:
        box.row_factory = sqlite3.Row
        for part in (pin_tries, fleet_tries):
            part.create_schema(sqlite_utils.Database(box))
        pin_tries.raise_to(box, "grace", *count)
        for one in heard:
            fleet_tries.adopt(box, one)
        row = box.execute("SELECT wrong, locked_until FROM pin_tries WHERE payer = 'grace'").fetchone()
        return (0, 0) if row is None else (row[0], row[1])


def test_a_box_locks_no_longer_than_the_others_said(tenants: Tenants, tmp_path: Path) -> None:
    tenants.wrong("a", 3)
    tenants.now += 600
    tenants.wrong("b", 50)
    assert at_box(tmp_path, tenants.heard("a")) == (53, NOW + 600 + 86_400)
    unlock_box(tenants, "b")
    assert at_box(tmp_path, tenants.heard("a")) == (3, NOW + 900)


def test_a_box_that_was_away_hears_of_it_when_it_is_back(tenants: Tenants, tmp_path: Path) -> None:
    tenants.wrong("a", 3)
    tenants.wrong("b", 50)
    knows = at_box(tmp_path, tenants.heard("a"))
    missed = len(tenants.heard("a"))
    unlock_box(tenants, "b")
    del tenants.told[tenants.id("a")][missed:]
    tenants.gateway.tries.tell_standing(tenants.tx, tenants.id("a"))
    assert at_box(tmp_path, tenants.heard("a"), knows) == (3, NOW + 900)


def test_what_a_revoked_box_told_is_taken_back_by_the_running_gateway(tenants: Tenants) -> None:
    tenants.wrong("a", 1)
    tenants.wrong("b", 5)
    before = len(tenants.heard("b"))
    register.revoke(tenants.tx, tenants.id("b"), NOW)
    tenants.wrong("b", 5)
    assert tenants.count() == 6, "it is not believed any more"
    tenants.gateway.sweep(tenants.tx)
    assert tenants.count() == 1
    assert tenants.heard("a")[-1].wrong == 0
    assert len(tenants.heard("b")) == before, "nothing is signed for it any more"
    tenants.gateway.sweep(tenants.tx)
    assert [one.wrong for one in tenants.heard("a")] == [6, 0], "that was told once"


def test_what_was_proven_or_unlocked_since_leaves_nothing_to_take_back(tenants: Tenants) -> None:
    tenants.wrong("b", 2)
    tenants.ask_to_pay("a")
    tenants.wrong("b", 3, handle="ada")
    tenants.gateway.tries.unlock(tenants.tx, "ada")
    with pytest.raises(NotFound, match="no wrong try is counted on its word"):
        unlock_box(tenants, "b")
    with pytest.raises(BoxUnknown):
        tenants.gateway.tries.unlock_box(tenants.tx, "no-such-box")


def test_what_is_counted_under_no_boxs_name_stays_and_ends_with_the_next_payment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger from before boxes' words were kept apart."""
    earlier = [m for m in MIGRATIONS if m.version < 25]
    with monkeypatch.context() as then:
        then.setattr(database, "MIGRATIONS", tuple(earlier))
        then.setattr(database, "SCHEMA_VERSION", 24)
        with contextlib.closing(database.open_database(tmp_path / "ledger.db")) as old:
            old.execute(
                "INSERT INTO factor_tries VALUES ('canteen', 'grace', 'pin', 3, ?1, ?2, ?2, ?2)", (NOW + 890, NOW - 10)
            )
    tenants = Tenants(tmp_path, NOW, in_own_books(NOW))
    tenants.wrong("b", 7)
    assert tenants.count() == 10
    assert [(one["wrong"], one["locked_until"]) for one in unlock_box(tenants, "b")] == [(3, NOW + 890)]
    tenants.now += 900
    tenants.ask_to_pay("a")
    assert tenants.count() == 0
    tenants.tx.close()


def test_a_payment_accepted_offline_proves_nothing_of_what_others_told_since(tenants: Tenants) -> None:
    tenants.wrong("b")
    accepted_at = tenants.now = NOW + 10
    tenants.now += 60
    tenants.wrong("b", handle="ada")
    tenants.wrong("a")  # typed before the right one, and told only now
    tenants.hand_in_voucher("a", accepted_at)
    tenants.hand_in_voucher("a", accepted_at, "ada")
    assert tenants.count() == 0
    assert tenants.count("ada") == 1


def test_many_counts_are_taken_back_in_messages_that_a_box_takes(tenants: Tenants) -> None:
    for number in range(120):
        tenants.wrong("a", 3, handle=f"p{number}")
        tenants.wrong("b", 3, handle=f"p{number}")
    tenants.told[tenants.id("a")].clear()
    assert len(unlock_box(tenants, "b")) == 120
    assert [len(body.payers) for body in tenants.told[tenants.id("a")]] == [100, 100, 40]


def test_over_the_wire_the_operators_word_ends_the_lock(scene: Scene, wait_for: Callable[..., Any]) -> None:
    stolen = scene.another_box()
    stolen.connect()
    handle = f"{scene.payer}-locked"

    def lock(box: Any) -> None:
        box.send("event", {
            "event": "factor.wrong", "at": box.signer.now(), "handle": handle, "data": {"factor": "pin", "tries": 4},
        })  # fmt: skip

    def newest() -> int | None:
        bodies = [body for body in list(scene.box.bodies) if isinstance(body, TriesBody)]
        words = [one for body in bodies for one in body.payers if one.handle == handle]
        return max(words, key=lambda one: one.version).wrong if words else None

    lock(stolen)
    wait_for(lambda: newest() == 4, what="the lock")
    _, said, _ = scene.fleet.cli("tries", "--unlock-box", stolen.id, "--json")
    assert [(one["handle"], one["wrong"]) for one in said] == [(handle, 0)]
    wait_for(lambda: newest() == 0, what="the end of the lock")
    lock(stolen)
    wait_for(lambda: newest() == 4, what="another lock")
    scene.fleet.cli("box", "revoke", stolen.id)
    wait_for(lambda: newest() == 0, 60, what="the end of the lock after the revocation")
    code, _, why = scene.fleet.cli("tries", "--unlock-box", stolen.id, check=False)
    assert code == 1
    assert "no wrong try is counted on its word" in why

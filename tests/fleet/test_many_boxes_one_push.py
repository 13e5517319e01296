"""One push to many boxes: what they share is read once, and each still gets what its own layers say."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register
from fleet.database import open_database
from fleet.rollout import views
from fleet.rollout.books import AT_ONCE, Push, Rollouts
from mqtt.schemas import ConfigBody, ConfigReportBody

NOW = 1000


@pytest.fixture
def books(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "fleet.db")) as tx:
        yield tx


class Boxes:
    def __init__(self, books: sqlite3.Connection, count: int) -> None:
        self.tx, self.sent, self.times = books, dict[str, dict[str, Any]](), Counter[str]()
        self.rollouts = Rollouts(self.send)
        self.ids = [self._add(number) for number in range(count)]

    def push(self, scope: str, name: str, settings: dict[str, dict[str, Any]], *waves: float) -> int:
        return self.rollouts.push(self.tx, Push(scope, name, settings, waves or (100,), 0, 900), NOW)

    def settle(self) -> None:
        """As the gateway does with each commit, until nothing is left to do at once."""
        while self.rollouts.settle(self.tx, NOW) == 0.0:
            pass

    def move(self, box: str, group: str) -> None:
        register.put_into_group(self.tx, box, group, None)
        self.rollouts.reconcile(self.tx, [box], NOW)

    def report(self, box: str, outcome: str) -> None:
        self.note(box, outcome)
        self.rollouts.advance(self.tx, NOW)

    def note(self, box: str, outcome: str) -> None:
        [version] = self.tx.execute("SELECT version FROM config_desired WHERE box = ?", (box,)).fetchone()
        body = ConfigReportBody.model_validate(
            {"version": version, "outcome": outcome, "running": version, "at": NOW}, strict=False
        )
        self.rollouts.note_report(self.tx, box, body, NOW)

    def _add(self, number: int) -> str:
        box = register.add(self.tx, Ed25519PrivateKey.generate().public_key(), f"box-{number}", "main", NOW)
        self.tx.execute("UPDATE boxes SET box_group = 'canteen', online = 1 WHERE id = ?", (box,))
        return box

    def send(self, _: sqlite3.Connection, box: str, body: ConfigBody) -> None:
        self.times[box] += 1
        self.sent[box] = {section: dict(names) for section, names in body.settings.items()}


def test_a_box_with_a_layer_of_its_own_keeps_it_among_many_that_have_none(books: sqlite3.Connection) -> None:
    town = Boxes(books, 4)
    own = town.ids[2]
    town.push("box", own, {"box": {"shop": "Corner"}})
    town.report(own, "applied")
    town.push("group", "canteen", {"box": {"shop": "Canteen"}, "payment": {"look_s": 20}})
    whole = {"box": {"shop": "Canteen"}, "payment": {"look_s": 20}}
    assert town.sent == {box: whole | ({"box": {"shop": "Corner"}} if box == own else {}) for box in town.ids}


def test_a_wave_that_has_not_come_gets_nothing_of_what_is_tried(books: sqlite3.Connection) -> None:
    town = Boxes(books, 4)
    town.push("group", "canteen", {"box": {"shop": "New"}}, 25, 100)
    [canary] = town.sent
    town.report(canary, "applied")
    assert town.sent.keys() == set(town.ids)


def test_a_halted_push_reaches_no_further_box(books: sqlite3.Connection) -> None:
    town = Boxes(books, 4)
    rollout = town.push("group", "canteen", {"box": {"shop": "Bad"}}, 25, 100)
    [canary] = town.sent
    town.report(canary, "rejected")
    town.rollouts.take_up(books, NOW)
    assert list(town.sent) == [canary]
    assert views.rollout(books, rollout)["state"] == "halted"


def test_an_empty_push_takes_back_what_the_layer_said(books: sqlite3.Connection) -> None:
    town = Boxes(books, 2)
    town.push("group", "canteen", {"box": {"shop": "Canteen"}})
    for box in town.ids:
        town.report(box, "applied")
    town.push("group", "canteen", {})
    assert town.sent == {box: {} for box in town.ids}


# ---- more boxes than one transaction takes


MANY = 2 * AT_ONCE + 22


@pytest.fixture
def town(books: sqlite3.Connection) -> Boxes:
    return Boxes(books, MANY)


def test_a_push_to_many_goes_out_in_several_transactions_and_reaches_each_box_once(town: Boxes) -> None:
    town.push("group", "canteen", {"box": {"shop": "New"}})
    assert len(town.sent) == AT_ONCE
    assert town.rollouts.settle(town.tx, NOW) == 0.0
    assert len(town.sent) == 2 * AT_ONCE
    assert town.rollouts.settle(town.tx, NOW) is None
    assert town.times == dict.fromkeys(town.ids, 1)


def test_a_push_to_many_goes_on_where_a_gateway_that_was_killed_had_come_to(town: Boxes) -> None:
    town.push("group", "canteen", {"box": {"shop": "New"}})
    town.rollouts = Rollouts(town.send)
    town.settle()
    assert town.times == dict.fromkeys(town.ids, 1)


def test_a_transaction_that_fails_leaves_no_box_out(town: Boxes) -> None:
    town.push("group", "canteen", {"box": {"shop": "New"}})
    town.tx.execute("BEGIN")
    town.rollouts.settle(town.tx, NOW)
    town.tx.execute("ROLLBACK")
    town.settle()
    assert town.sent.keys() == set(town.ids)


def test_a_push_that_is_halted_half_way_reaches_no_further_box_not_even_after_a_start(town: Boxes) -> None:
    rollout = town.push("group", "canteen", {"box": {"shop": "Bad"}})
    reached = set(town.sent)
    town.report(next(iter(reached)), "rejected")
    town.settle()
    town.rollouts = Rollouts(town.send)
    town.rollouts.take_up(town.tx, NOW)
    town.settle()
    assert views.rollout(town.tx, rollout)["state"] == "halted"
    assert town.sent.keys() == reached


def test_a_push_that_is_taken_back_half_way_is_taken_back_where_it_had_come_to(town: Boxes) -> None:
    rollout = town.push("group", "canteen", {"box": {"shop": "Oops"}})
    reached = set(town.sent)
    town.rollouts.roll_back(town.tx, rollout, NOW)
    town.settle()
    assert town.sent == {box: {} for box in reached}


def test_a_box_that_left_the_group_does_not_hold_up_the_others(books: sqlite3.Connection) -> None:
    town = Boxes(books, 3)
    rollout = town.push("group", "canteen", {"box": {"shop": "New"}}, 33, 100)
    [canary] = town.sent
    left, stayed = sorted(set(town.ids) - {canary})
    town.move(left, "kiosk")
    town.report(canary, "applied")
    town.report(stayed, "applied")
    assert town.sent.keys() == {canary, stayed}
    assert views.rollout(books, rollout)["state"] == "done"


def test_a_box_that_joins_the_group_while_a_config_is_tried_gets_it_once_it_has_proved_itself(
    books: sqlite3.Connection,
) -> None:
    town = Boxes(books, 2)
    newcomer = town.ids[1]
    town.move(newcomer, "kiosk")
    town.push("group", "canteen", {"box": {"shop": "New"}})
    town.move(newcomer, "canteen")
    assert newcomer not in town.sent
    town.report(town.ids[0], "applied")
    assert town.sent[newcomer] == {"box": {"shop": "New"}}


def test_reports_that_come_together_are_weighed_together_but_a_failure_at_once(books: sqlite3.Connection) -> None:
    town = Boxes(books, 4)
    town.rollouts = Rollouts(town.send, weigh_every_s=900)
    rollout = town.push("group", "canteen", {"box": {"shop": "New"}})
    weighed = []
    for box, outcome in zip(town.ids, ("applied", "applied", "rejected"), strict=False):
        town.note(box, outcome)
        weighed.append(town.rollouts.settle(books, NOW))
    assert weighed[0] is None
    assert weighed[1] is not None, "the second one waits for company"
    assert 0 < weighed[1] <= 900
    assert weighed[2] is None
    assert views.rollout(books, rollout)["state"] == "halted"

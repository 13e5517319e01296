"""One push to many boxes: what they share is read once, and each still gets what its own layers say."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register
from fleet.database import open_database
from fleet.rollout import views
from fleet.rollout.books import Push, Rollouts
from mqtt.schemas import ConfigBody, ConfigReportBody

NOW = 1000


@pytest.fixture
def books(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_database(tmp_path / "fleet.db")) as tx:
        yield tx


class Boxes:
    def __init__(self, books: sqlite3.Connection, count: int) -> None:
        self.tx, self.sent = books, dict[str, dict[str, Any]]()
        self.rollouts = Rollouts(self._send)
        self.ids = [self._add(number) for number in range(count)]

    def push(self, scope: str, name: str, settings: dict[str, dict[str, Any]], *waves: float) -> int:
        return self.rollouts.push(self.tx, Push(scope, name, settings, waves or (100,), 0, 900), NOW)

    def report(self, box: str, outcome: str) -> None:
        [version] = self.tx.execute("SELECT version FROM config_desired WHERE box = ?", (box,)).fetchone()
        body = ConfigReportBody.model_validate(
            {"version": version, "outcome": outcome, "running": version, "at": NOW}, strict=False
        )
        self.rollouts.note_report(self.tx, box, body, NOW)
        self.rollouts.advance(self.tx, NOW)

    def _add(self, number: int) -> str:
        box = register.add(self.tx, Ed25519PrivateKey.generate().public_key(), f"box-{number}", "main", NOW)
        self.tx.execute("UPDATE boxes SET box_group = 'canteen', online = 1 WHERE id = ?", (box,))
        return box

    def _send(self, _: sqlite3.Connection, box: str, body: ConfigBody) -> None:
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

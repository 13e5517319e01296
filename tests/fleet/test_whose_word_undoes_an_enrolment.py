"""An enrolment at the matcher is undone on the word of the box that was asked for it, and not once it was done."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from fleet.boxes import commands
from fleet.boxes import register as boxes
from fleet.database import open_database
from fleet.matcher import at_gateway
from fleet.matcher.desk import MatcherDesk
from mqtt.schemas import EventBody

NOW = 1_800_000_000


@dataclass
class Undone:
    """What the matcher was told to undo."""

    ids: list[str] = field(default_factory=list)

    def undo(self, command_id: str) -> None:
        self.ids.append(command_id)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    connection = open_database(tmp_path / "ledger.db")
    yield connection
    connection.close()


@pytest.fixture
def two(books: sqlite3.Connection) -> tuple[str, str]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    keys = [Ed25519PrivateKey.from_private_bytes(letter * 32).public_key() for letter in (b"a", b"b")]
    first, second = (boxes.add(books, key, f"counter {n}", "main", NOW) for n, key in enumerate(keys))
    return first, second


def say(books: sqlite3.Connection, matcher: Undone, box: str, name: str, command_id: str) -> None:
    """As the gateway hears it."""
    event = EventBody(event=name, at=NOW, command_id=command_id, reason="timeout")
    commands.note_event(books, box, event, NOW)
    at_gateway.note_event(books, cast(MatcherDesk, matcher), box, event)


@pytest.mark.parametrize("word", ["enrol.failed", "enrol.cancelled"])
def test_another_boxs_word_undoes_nothing_and_its_own_does(
    books: sqlite3.Connection, two: tuple[str, str], word: str
) -> None:
    mine, stolen = two
    command = commands.create_enrolment(books, mine, "grace", ["pay"], "1", NOW + 60, NOW)
    matcher = Undone()
    say(books, matcher, stolen, word, command.command_id)
    assert matcher.ids == []
    say(books, matcher, mine, word, command.command_id)
    assert matcher.ids == [command.command_id]


def test_what_was_done_can_not_be_undone_later_by_saying_that_it_failed(
    books: sqlite3.Connection, two: tuple[str, str]
) -> None:
    mine, _ = two
    command = commands.create_enrolment(books, mine, "grace", ["pay"], "1", NOW + 60, NOW)
    matcher = Undone()
    say(books, matcher, mine, "enrol.done", command.command_id)
    say(books, matcher, mine, "enrol.failed", command.command_id)
    assert matcher.ids == []

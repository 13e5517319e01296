"""What the boxes say of whoever left, kept for a box that forgot it."""

from __future__ import annotations

import sqlite3

import pytest

from fleet.boxes import departures
from fleet.cli import main
from fleet.database import open_database
from mqtt.schemas import EventBody


@pytest.fixture
def books(tmp_path):
    main(["--state", str(tmp_path), "init"])
    connection = open_database(tmp_path / "ledger.db")
    connection.row_factory = sqlite3.Row
    connection.execute(
        "INSERT INTO boxes (id, name, public_pem, merchant, added_at) VALUES ('kf-a', 'counter-1', x'00', 'main', 1)"
    )
    yield connection
    connection.close()


def test_whoever_left_is_listed_once_and_as_the_list_a_restore_takes(books, tmp_path, capsys) -> None:
    for at in (10, 20):
        said = EventBody(event="erase.done", at=at, handle="grace", reason="technician")
        departures.note_event(books, "kf-a", said, at)
    departures.note_event(books, "kf-a", EventBody(event="consent.withdrawn", at=30, handle="eileen"), 30)
    departures.note_event(books, "kf-a", EventBody(event="enrol.done", at=30, handle="ada"), 30)
    books.commit()
    capsys.readouterr()
    assert main(["--state", str(tmp_path), "departures", "--handles"]) == 0
    assert capsys.readouterr().out == "grace\n"
    assert main(["--state", str(tmp_path), "departures", "--box", "counter-1"]) == 0
    said = capsys.readouterr().out
    assert "eileen" in said
    assert "ada" not in said
    assert said.count("grace") == 1


def test_an_answer_to_a_command_names_its_person_by_the_command(books) -> None:
    books.execute(
        "INSERT INTO commands (command_id, box, command, args, created_at, expires_at)"
        " VALUES ('c1', 'kf-a', 'erase', '{\"handle\": \"grace\"}', 1, 99)"
    )
    departures.note_event(books, "kf-a", EventBody(event="erase.done", at=10, command_id="c1", reason="done"), 10)
    assert [one["handle"] for one in departures.listing(books, None)] == ["grace"]

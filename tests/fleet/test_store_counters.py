"""How far each box's store of templates has come, and what a lower counter proves."""

from __future__ import annotations

import sqlite3

import pytest

from fleet.boxes import audit
from fleet.cli import main
from fleet.database import open_database


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


def test_the_highest_counter_is_kept_and_a_lower_one_is_a_fault_said_once(books, tmp_path, capsys) -> None:
    assert audit.store_reached(books, "kf-a") is None
    assert audit.note_store(books, "kf-a", {"store": 7, "store_key": "ab" * 32}, 1) is None
    assert audit.note_store(books, "kf-a", {"store": 9}, 2) is None
    assert audit.note_store(books, "kf-a", {"store": 4}, 3) is audit.Fault.STORE_WENT_BACK
    assert audit.note_store(books, "kf-a", {"store": 4}, 4) is None
    assert audit.store_reached(books, "kf-a") == 9
    books.commit()
    capsys.readouterr()
    assert main(["--state", str(tmp_path), "audit"]) == 1
    assert "store_went_back: from 9 to 4" in capsys.readouterr().out


def test_a_box_that_keeps_no_store_says_nothing_and_is_told_nothing(books) -> None:
    assert audit.note_store(books, "kf-a", {"software": "1"}, 1) is None
    assert audit.store_reached(books, "kf-a") is None

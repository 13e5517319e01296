"""A database of any earlier version becomes one of today, and a new one is the same as one that came all the way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fleet import database
from fleet.migrations import MIGRATIONS, Migration


def shape(path: Path) -> set[tuple[str, str]]:
    """Every table with its columns, and every index and trigger."""
    with closing(sqlite3.connect(path)) as books:
        names = books.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'").fetchall()
        columns = {(n, c[1]) for kind, n in names if kind == "table" for c in books.execute(f"PRAGMA table_info({n})")}
        return {(str(kind), str(name)) for kind, name in names} | columns


def test_the_steps_are_numbered_one_after_another() -> None:
    assert [m.version for m in MIGRATIONS] == list(range(3, 3 + len(MIGRATIONS)))
    assert MIGRATIONS[-1].version == database.SCHEMA_VERSION


@pytest.mark.parametrize("stop", range(len(MIGRATIONS)))
def test_a_file_of_an_earlier_version_ends_like_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    database.open_database(tmp_path / "new.db").close()
    with monkeypatch.context() as then:
        then.setattr(database, "MIGRATIONS", MIGRATIONS[:stop])
        then.setattr(database, "SCHEMA_VERSION", 2 + stop)
        database.open_database(tmp_path / "old.db").close()
    database.open_database(tmp_path / "old.db").close()
    assert shape(tmp_path / "old.db") == shape(tmp_path / "new.db")


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database.open_database(tmp_path / "books.db").close()
    before = shape(tmp_path / "books.db")
    bad = Migration(database.SCHEMA_VERSION + 1, "", ("CREATE TABLE half_made (a)", "CREATE NONSENSE"))
    monkeypatch.setattr(database, "MIGRATIONS", (*MIGRATIONS, bad))
    monkeypatch.setattr(database, "SCHEMA_VERSION", bad.version)
    with pytest.raises(sqlite3.OperationalError):
        database.open_database(tmp_path / "books.db")
    assert shape(tmp_path / "books.db") == before
    with closing(sqlite3.connect(tmp_path / "books.db")) as books:
        assert books.execute("PRAGMA user_version").fetchone()[0] == bad.version - 1

"""What could not be written is named after why, by SQLite's own word on real files."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from daemon.health.suggestions import suggestion
from daemon.health.write_faults import FAILING, FULL, READ_ONLY, REFUSED, write_fault


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "box.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    return path


def refused_by(connection: sqlite3.Connection, statement: str) -> BaseException:
    with pytest.raises(sqlite3.Error) as caught:
        connection.execute(statement)
    connection.close()
    return caught.value


def test_a_database_that_may_not_grow_is_a_full_disk(file: Path) -> None:
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA max_page_count = 2")
    assert write_fault(refused_by(connection, "INSERT INTO t VALUES (zeroblob(100000))")) == FULL


def test_a_database_that_may_only_be_read_is_no_full_disk(file: Path) -> None:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    assert write_fault(refused_by(connection, "INSERT INTO t VALUES (1)")) == READ_ONLY


def test_a_file_that_is_no_database_any_more_is_a_failing_disk(file: Path) -> None:
    file.write_bytes(b"noise" * 4096)
    assert write_fault(refused_by(sqlite3.connect(file), "INSERT INTO t VALUES (1)")) == FAILING


def test_what_no_disk_is_to_blame_for_is_not_laid_on_one(file: Path) -> None:
    assert write_fault(refused_by(sqlite3.connect(file), "INSERT INTO nothing VALUES (1)")) == REFUSED
    assert write_fault(ValueError("x")) == REFUSED


@pytest.mark.parametrize(
    ("number", "name"), [(errno.ENOSPC, FULL), (errno.EROFS, READ_ONLY), (errno.EIO, FAILING), (errno.EBADF, REFUSED)]
)
def test_the_systems_own_errors_have_the_same_names(number: int, name: str) -> None:
    assert write_fault(OSError(number, "x")) == name


def test_each_has_a_suggestion_of_its_own() -> None:
    assert len({suggestion(name) for name in (FULL, READ_ONLY, FAILING, REFUSED, "unheard of")}) == 5

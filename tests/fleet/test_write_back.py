"""The ledger's log is copied back beside the desk: commits go on, whoever reads and whatever fails; nothing is lost."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fleet_doubles.waiting import eventually

from fleet.database import open_database
from fleet.desk import Desk
from fleet.write_back import EVERY_S, MOST_PAGES, WriteBack

PAGE = 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with closing(open_database(tmp_path / "ledger.db")) as connection:
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, filling BLOB)")
    return tmp_path / "ledger.db"


@contextmanager
def writing_to(file: Path, copied_back: Path | None = None) -> Iterator[Desk]:
    """A desk with its write-back, which does its work in another file where one is named."""
    connection = open_database(file)
    desk, write_back = Desk(connection, lambda _: None), WriteBack(copied_back or file, connection)
    desk.start()
    write_back.start()
    try:
        yield desk
    finally:
        write_back.stop()
        desk.stop(60)


def insert(number: int, filling: int = 100) -> Callable[[sqlite3.Connection], int | None]:
    return lambda tx: tx.execute("INSERT INTO t VALUES (?, zeroblob(?))", (number, filling)).lastrowid


def log_of(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


def pages(file: Path) -> int:
    """Of the file without its log. Not by opening it, which would take SQLite's locks away from this process."""
    return file.stat().st_size // PAGE


def rows(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fleet.write_back"]


def test_what_is_committed_gets_into_the_file_while_the_desk_goes_on(file: Path) -> None:
    empty = pages(file)
    with writing_to(file) as desk:
        assert desk.run(lambda tx: tx.execute("PRAGMA wal_autocheckpoint").fetchone()[0]).result(30) == MOST_PAGES
        for number in range(20):
            desk.run(insert(number, 10 * PAGE)).result(30)
        numbers = itertools.count(20)
        eventually(lambda: desk.run(insert(next(numbers))).result(30) and pages(file) >= empty + 200, what="all there")
        assert log_of(file).stat().st_size < MOST_PAGES * PAGE, "no commit did it"
    assert rows(file) == next(numbers)


def test_stop_leaves_no_log_behind(file: Path) -> None:
    with writing_to(file) as desk:
        desk.run(insert(1)).result(30)
        assert log_of(file).stat().st_size > 0
    assert not log_of(file).exists()
    assert rows(file) == 1


def test_stop_may_come_twice_or_before_the_start(file: Path) -> None:
    with closing(open_database(file)) as connection:
        WriteBack(file, connection).stop()
        begun = WriteBack(file, connection)
        begun.start()
        begun.stop()
        begun.stop()


def test_a_reader_who_looks_on_for_long_holds_up_no_commit_and_the_log_shrinks_after_him(file: Path) -> None:
    most_bytes = 100 * PAGE
    with writing_to(file) as desk, closing(sqlite3.connect(file, isolation_level=None)) as reader:
        desk.run(lambda tx: tx.execute(f"PRAGMA journal_size_limit={most_bytes}").fetchall()).result(30)
        desk.run(insert(0)).result(30)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,)
        for number in range(1, 41):
            desk.run(insert(number, 10 * PAGE)).result(30)
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (1,), "he sees what he saw"
        assert log_of(file).stat().st_size > 4 * most_bytes
        reader.execute("COMMIT")
        numbers = itertools.count(41)
        eventually(
            lambda: desk.run(insert(next(numbers))).result(30) and log_of(file).stat().st_size <= most_bytes,
            what="a log that began anew",
        )
    assert rows(file) == next(numbers)


def test_the_log_is_not_left_to_grow_for_good_by_a_reader(file: Path) -> None:
    with writing_to(file) as desk:
        limit = desk.run(lambda tx: tx.execute("PRAGMA journal_size_limit").fetchone()[0]).result(30)
    assert MOST_PAGES * PAGE < limit < 3 * MOST_PAGES * PAGE, "beyond what a commit does itself"


# Not in this process: the limit would be everybody's. What lies beyond it can't be written, as on a full disk; the log,
# which begins anew before it, can.
WITH_A_FULL_DISK = """
import logging, resource, sqlite3, sys, time
from pathlib import Path
from fleet.database import open_database
from fleet.desk import Desk
from fleet.write_back import WriteBack

logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stdout)
file = Path(sys.argv[1])
connection = open_database(file)
desk, write_back = Desk(connection, lambda _: None), WriteBack(file, connection)
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), before[1]))
desk.start()
write_back.start()
for number in range(1000, 1005):
    desk.run(lambda tx: tx.execute("INSERT INTO t VALUES (?, zeroblob(5000))", (number,))).result(30)
    time.sleep(0.5)
print("committed", flush=True)
resource.setrlimit(resource.RLIMIT_FSIZE, before)
time.sleep(1)
write_back.stop()
desk.run(lambda tx: tx.execute("INSERT INTO t VALUES (2000, NULL)")).result(30)
print("over", flush=True)
"""


def test_a_full_disk_is_told_once_and_what_was_committed_stays(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("INSERT INTO t VALUES (1, zeroblob(1000000))")
        connection.commit()
    full_at = file.stat().st_size // 2
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_FULL_DISK, str(file), str(full_at)], stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout
    lines = [line.partition(" why=")[0] for line in done.stdout.splitlines()]
    assert lines == ["event=write_back_failed", "committed", "over"]
    assert rows(file) == 7
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_where_the_file_can_not_be_opened_that_is_told_once_and_done_when_it_can(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    away, empty = file.parent / "away", pages(file)
    with caplog.at_level(logging.WARNING), writing_to(file, away / file.name) as desk:
        eventually(lambda: told(caplog), what="a warning")
        for number in range(5):
            desk.run(insert(number, 10 * PAGE)).result(30)
            time.sleep(EVERY_S + 0.1)
        assert len(told(caplog)) == 1
        assert pages(file) == empty
        away.symlink_to(file.parent)
        eventually(lambda: pages(file) >= empty + 50, what="what the log held in the file")
    assert rows(file) == 5


UNTIL_KILLED = """
import itertools, sys
from pathlib import Path
from fleet.database import open_database
from fleet.desk import Desk
from fleet.write_back import WriteBack

file = Path(sys.argv[1])
connection = open_database(file)
desk = Desk(connection, lambda _: None)
desk.start()
WriteBack(file, connection).start()
for number in itertools.count(int(sys.argv[2])):
    desk.run(lambda tx: tx.execute("INSERT INTO t VALUES (?, zeroblob(20000))", (number,))).result(30)
    print(number, flush=True)
"""


def test_a_process_killed_in_the_middle_of_copying_loses_nothing_it_told_of(file: Path) -> None:
    for begin in (0, 1_000_000, 2_000_000):
        before, size = rows(file), file.stat().st_size
        process = subprocess.Popen(
            [sys.executable, "-c", UNTIL_KILLED, str(file), str(begin)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        deadline_s = time.monotonic() + 60
        while file.stat().st_size == size:  # until its first new page is there
            assert time.monotonic() < deadline_s
        process.kill()
        told_of = len([first, *process.stdout.read().splitlines()])
        process.wait(30)
        assert before + told_of <= rows(file) <= before + told_of + 1
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

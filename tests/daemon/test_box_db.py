"""One writer, whole transactions, and a damaged file that is named instead of used."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from daemon import app
from daemon.books import journal, payments, pin_tries
from daemon.books.box_db import SCHEMA_VERSION, BoxDb, open_reader
from daemon.errors import DatabaseRefused
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest
from daemon.payment.status import Status
from mqtt.outbox import Outbox, Priority

EDITION = (1, "fe8a013bd9e013e0")  # the schema's number and what it makes
SCHEMA = (payments.create_schema, journal.create_schema, pin_tries.create_schema)


@pytest.fixture
def db(tmp_path):
    db = BoxDb(tmp_path / "box.db", SCHEMA)
    yield db
    db.close()


def test_a_job_that_fails_leaves_nothing_and_the_writer_goes_on(db):
    def half(tx):
        journal.append(tx, "first", {}, 1)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        db.run(half)
    assert db.run(lambda tx: journal.append(tx, "second", {}, 2)).seq == 1


def test_it_is_durable_and_private(db):
    assert db.run(lambda tx: tx.execute("PRAGMA synchronous").fetchone()[0]) == 2
    assert db.run(lambda tx: tx.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"
    assert db.path.stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path):
    path = tmp_path / "box.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(DatabaseRefused, match=r"box\.db: is not readable as a database"):
        BoxDb(path, SCHEMA)
    assert path.read_bytes().startswith(b"not a database")


def test_a_damaged_page_is_found_at_the_start(tmp_path):
    path = tmp_path / "box.db"
    db = BoxDb(path, SCHEMA)
    for n in range(200):
        db.run(lambda tx, n=n: journal.append(tx, "entry", {"n": n, "padding": "x" * 200}, n))
    db.run(lambda tx: None)
    db.close()
    raw = bytearray(path.read_bytes())
    raw[8192 : 8192 + 4096] = os.urandom(4096)
    path.write_bytes(raw)
    with pytest.raises(DatabaseRefused, match=r"box\.db"):
        BoxDb(path, SCHEMA)


def test_a_newer_schema_is_refused_and_untouched(tmp_path):
    path = tmp_path / "box.db"
    BoxDb(path, SCHEMA).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    with pytest.raises(DatabaseRefused, match="newer release"):
        BoxDb(path, SCHEMA)


def test_a_reader_of_a_box_that_never_ran_is_told_so(tmp_path):
    with pytest.raises(DatabaseRefused, match="does not exist"):
        open_reader(tmp_path / "box.db")


def _write_until_killed(path, connection):
    db = BoxDb(path, SCHEMA)
    n = 0
    while True:
        n += 1
        db.run(lambda tx, n=n: journal.append(tx, "entry", {"n": n}, n))
        connection.send(n)


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    path = tmp_path / "box.db"
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_write_until_killed, args=(path, theirs))
    child.start()
    written = 0
    while written < 50:
        written = ours.recv()
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    while ours.poll():
        written = ours.recv()
    db = BoxDb(path, SCHEMA)
    count, _ = journal.verify(db.reader())
    db.close()
    assert count >= written


def test_what_a_start_must_take_up(db):
    amount = Amount(1850, "CNY")

    def fill(tx):
        for name in ("paid", "busy", "open", "gone"):
            payments.store_order(tx, Order(name, amount, None, 0), 1000, 1)
        for name, status in (("paid", Status.APPROVED), ("busy", Status.QUERYING), ("open", Status.DECLINED)):
            payments.open_attempt(tx, PayRequest(name, 1, amount, "grace", ("face", "pin"), "c", "f"), 1)
            payments.move_attempt(tx, name, 1, status, "", None, 2)
        payments.close_order(tx, "paid", Status.APPROVED, "", 3)
        payments.close_order(tx, "gone", Status.CANCELLED, "by_payer", 3)

    db.run(fill)
    found = payments.unfinished(db.reader(), now_s=50.0, now_wall=900)
    assert [(r.order_id, s) for r, s in found.attempts] == [("busy", Status.QUERYING)]
    assert [(t.order.order_id, t.attempt, t.order.expires_s) for t in found.orders] == [("open", 2, 150.0)]
    assert payments.is_known(db.reader(), "gone")


@pytest.mark.parametrize("size", [200, 3000, 20_000])
def test_what_was_deleted_stands_nowhere_in_the_file(tmp_path, size):
    """A pay request that was sent names the duress PIN; a PIN try names a payer who may be erased."""
    mark = b"pin_duress by grace"
    db = BoxDb(tmp_path / "box.db", (Outbox().create_tables,))
    try:
        for number in range(20):
            payload = mark + bytes([number]) * size
            db.run(
                lambda tx, payload=payload: Outbox().put(
                    tx, topic="t", payload=payload, kind="pay.request", priority=Priority.MONEY, expires_at=2**40
                )
            )
        db.run(lambda tx: tx.execute("DELETE FROM outbox"))
    finally:
        db.close()
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    assert [name for name, content in files.items() if mark in content] == []


def test_the_tables_of_this_edition_are_made_once_and_those_of_another_again(tmp_path):
    made = []

    def create(database):
        made.append("tables")
        payments.create_schema(database)

    for edition in (1, 1, 2, 2, 1):
        BoxDb(tmp_path / "box.db", (create,), edition).close()
    assert len(made) == 3


def test_a_start_that_was_cut_off_while_it_made_tables_makes_the_rest_at_the_next(tmp_path):
    def cut_off(database):
        raise sqlite3.OperationalError("the plug was pulled")

    with pytest.raises(DatabaseRefused):
        BoxDb(tmp_path / "box.db", (payments.create_schema, cut_off), 1)
    db = BoxDb(tmp_path / "box.db", (payments.create_schema, journal.create_schema), 1)
    try:
        assert db.run(lambda tx: journal.append(tx, "first", {}, 1)).seq == 1
    finally:
        db.close()


def test_a_box_that_has_all_its_tables_starts_without_what_makes_them(tmp_path):
    script = (
        "import sys; from pathlib import Path; from daemon import app; from daemon.books.box_db import BoxDb\n"
        "BoxDb(Path(sys.argv[1]), app.SCHEMA, app.SCHEMA_EDITION).close(); print('sqlite_utils' in sys.modules)"
    )
    start = [sys.executable, "-I", "-c", script, str(tmp_path / "box.db")]
    assert [subprocess.run(start, capture_output=True, text=True, check=True).stdout for _ in range(2)] == [
        "True\n", "False\n",
    ]  # fmt: skip


def test_a_new_table_or_column_has_a_new_edition(tmp_path):
    """Without one, a box that is updated would never make it."""
    db = BoxDb(tmp_path / "box.db", app.SCHEMA, app.SCHEMA_EDITION)
    try:
        made = sorted(row["sql"] for row in db.reader().execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))
    finally:
        db.close()
    words = " ".join("\n".join(made).split())
    digest = hashlib.sha256(words.encode()).hexdigest()[:16]
    assert (app.SCHEMA_EDITION, digest) == EDITION, (
        "raise SCHEMA_EDITION in daemon/app.py, then write the new pair here"
    )

"""Proofs of play are exact, also while box.db lets everybody wait: no showing is lost, and none is said twice."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.ads import plays
from daemon.ads.plays import Pending, new_play
from daemon.ads.proofs import KEEP_AFTER, KEEP_EVERY_S, Proofs
from daemon.books.box_db import BoxDb
from mqtt.schemas import PlayAckBody, PlayBody

WITHIN_S = 60


class Counter:
    """A box's books with its proofs of play, a clock that the test turns, and a fleet that hears what is said."""

    def __init__(self, folder: Path) -> None:
        self.db = BoxDb(folder / "box.db", [plays.create_schema])
        self.notes, self.heard, self.now = folder / "plays", list[PlayBody](), 0.0
        self.reader = self.db.reader()
        self.proofs = Proofs(self.db, self.reader, self.notes, self.heard.append, lambda: True)
        self.shown = 0

    def show(self, count: int) -> None:
        for _ in range(count):
            self.proofs.note(new_play(f"c{self.shown}", "0" * 64, "idle", 1_790_000_000 + self.shown, 10))
            self.shown += 1

    def an_interval_goes_by(self) -> None:
        self.now += KEEP_EVERY_S
        self.proofs.work(self.now)

    def settle(self) -> None:
        """Until the writer has done what it was handed."""
        self.db.run(lambda _: None)

    def kept(self) -> list[str]:
        return [play.campaign for _, play in plays.unacknowledged(self.reader, limit=10_000)]

    def in_notes(self) -> list[str]:
        """As a daemon that starts now would find them."""
        files = (self.notes.with_name(self.notes.name + ".taken"), self.notes)
        lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
        return [line.split('"campaign":"')[1].split('"')[0] for line in lines]

    def all_shown(self) -> list[str]:
        return [f"c{n}" for n in range(self.shown)]


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[Counter]:
    made = Counter(tmp_path)
    yield made
    made.reader.close()
    made.db.close()


@pytest.fixture
def other(counter: Counter) -> Iterator[sqlite3.Connection]:
    """A second connection, which may hold the write lock."""
    connection = sqlite3.connect(counter.db.path, isolation_level=None)
    yield connection
    connection.close()


class Stall:
    """The writer waits when it comes to this job, and what is handed to it later waits behind."""

    def __init__(self, counter: Counter) -> None:
        self._reached, self.end = threading.Event(), threading.Event()
        counter.db.submit(self._wait)

    def _wait(self, _: sqlite3.Connection) -> None:
        self._reached.set()
        assert self.end.wait(WITHIN_S)

    def reached(self) -> None:
        assert self._reached.wait(WITHIN_S)


def test_a_book_that_stalls_over_two_intervals_loses_no_showing_to_a_kill(
    counter: Counter, other: sqlite3.Connection
) -> None:
    other.execute("BEGIN IMMEDIATE")
    counter.show(2)
    counter.an_interval_goes_by()
    first = Stall(counter)
    counter.show(2)
    counter.an_interval_goes_by()
    second = Stall(counter)
    other.execute("COMMIT")
    first.reached()
    counter.an_interval_goes_by()
    first.end.set()
    second.reached()
    assert sorted({*counter.kept(), *counter.in_notes()}) == counter.all_shown(), "what a kill would leave now"
    second.end.set()
    counter.settle()
    counter.an_interval_goes_by()
    counter.settle()
    assert counter.kept() == counter.all_shown()
    assert counter.in_notes() == []


def test_what_a_locked_book_refused_is_kept_later_though_nothing_new_is_shown(
    counter: Counter, other: sqlite3.Connection
) -> None:
    counter.db.run(lambda tx: tx.execute("PRAGMA busy_timeout = 0"))
    for _ in range(2):
        counter.show(2)
        other.execute("BEGIN IMMEDIATE")
        counter.an_interval_goes_by()
        with pytest.raises(sqlite3.OperationalError):
            counter.settle()
        other.execute("COMMIT")
    assert counter.kept() == []
    for _ in range(2):
        counter.an_interval_goes_by()
        counter.settle()
    assert counter.kept() == counter.all_shown()


def test_a_showing_that_ends_while_the_notes_are_taken_is_among_these_or_the_next(counter: Counter) -> None:
    done = threading.Event()

    def play() -> None:
        for _ in range(40):
            counter.show(KEEP_AFTER)
        done.set()

    player = threading.Thread(target=play)
    player.start()
    while not done.is_set():
        counter.proofs.work(counter.now)
    player.join()
    for _ in range(3):
        counter.settle()
        counter.an_interval_goes_by()
    counter.settle()
    assert counter.kept() == counter.all_shown()


def test_what_was_acknowledged_is_not_said_again_after_a_stall(counter: Counter, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")
    for _ in range(3):
        counter.show(1)
        counter.an_interval_goes_by()
    other.execute("COMMIT")
    said: list[str] = []
    while len(said) < counter.shown:
        counter.settle()
        counter.an_interval_goes_by()
        for body in counter.heard:
            said += [play.campaign for play in body.plays]
            counter.proofs.acknowledged(PlayAckBody(through=body.first + len(body.plays) - 1))
        counter.heard.clear()
        assert counter.now < 100 * KEEP_EVERY_S, said
    counter.settle()
    counter.an_interval_goes_by()
    assert (said, counter.heard, counter.kept()) == (counter.all_shown(), [], [])


def test_notes_that_cannot_be_read_end_no_box_and_stay(counter: Counter) -> None:
    counter.show(1)
    whole = counter.notes.read_bytes()
    counter.notes.unlink()
    counter.notes.mkdir()  # like an I/O error, it opens and gives nothing
    counter.an_interval_goes_by()
    counter.notes.with_name(counter.notes.name + ".taken").rmdir()
    counter.notes.write_bytes(whole)
    counter.an_interval_goes_by()
    counter.settle()
    assert counter.kept() == counter.all_shown()


def test_a_start_takes_over_what_a_kill_left_aside_and_what_was_noted_after_it(tmp_path: Path) -> None:
    from daemon.ads.advertising import take_over

    killed = Counter(tmp_path)
    killed.show(1)
    Pending(killed.notes).take()
    killed.show(1)
    assert take_over(killed.db, killed.notes) == 2
    assert killed.kept() == killed.all_shown()
    killed.reader.close()
    killed.db.close()

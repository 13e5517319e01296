"""The desk: one writer, jobs together in one commit, each of them whole or not at all."""

from __future__ import annotations

import queue
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from fleet.desk import Desk, DeskClosed
from fleet.turns import FULL_ENOUGH, MAX_BATCH, Asked


@pytest.fixture
def file(tmp_path: Path) -> Path:
    connection = sqlite3.connect(tmp_path / "x.db")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY)")
    return tmp_path / "x.db"


@pytest.fixture
def desk(file: Path) -> Iterator[Desk]:
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    made = Desk(connection, lambda _: None)
    made.start()
    yield made
    made.stop()


def insert(number: int) -> object:
    return lambda tx: tx.execute("INSERT INTO t VALUES (?)", (number,)).lastrowid


def test_a_result_is_told_only_after_it_is_on_disk(desk: Desk, file: Path) -> None:
    other = sqlite3.connect(file)
    for number in range(20):
        desk.run(insert(number)).result(30)  # type: ignore[arg-type]
        assert other.execute("SELECT count(*) FROM t WHERE n = ?", (number,)).fetchone() == (1,)


def test_a_job_that_fails_leaves_nothing_and_harms_no_other_in_its_batch(desk: Desk, file: Path) -> None:
    gate = threading.Event()
    desk.run(lambda _: gate.wait(30))  # the following wait together

    def broken(tx: sqlite3.Connection) -> None:
        tx.execute("INSERT INTO t VALUES (99)")
        raise KeyError("mine")

    first, second, third = desk.run(insert(1)), desk.run(broken), desk.run(insert(2))  # type: ignore[arg-type]
    gate.set()
    assert (first.result(30), third.result(5)) == (1, 2)
    with pytest.raises(KeyError):
        second.result(30)
    assert sqlite3.connect(file).execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,)]


def test_what_is_to_be_sent_goes_out_after_the_commit_and_before_anybody_is_told(file: Path) -> None:
    seen: list[tuple[int, bool]] = []
    other, asked = sqlite3.connect(file, check_same_thread=False), list[Future[object]]()

    def send(_: sqlite3.Connection) -> None:
        rows = other.execute("SELECT count(*) FROM t").fetchone()[0]
        seen.append((rows, asked[0].done()))

    desk = Desk(sqlite3.connect(file, check_same_thread=False, isolation_level=None), send)
    asked.append(desk.run(insert(1)))  # type: ignore[arg-type]
    desk.start()
    asked[0].result(30)
    desk.stop()
    assert seen[0] == (1, False)


def test_a_fault_in_what_follows_a_commit_keeps_nobody_from_hearing_of_it(file: Path) -> None:
    told = list[str]()

    def broken(_: sqlite3.Connection) -> None:
        raise KeyError("mine")

    desk = Desk(sqlite3.connect(file, check_same_thread=False, isolation_level=None), broken)

    def job(_: sqlite3.Connection) -> None:
        desk.afterwards(lambda: broken(_))
        desk.afterwards(lambda: told.append("afterwards"))

    desk.start()
    desk.run(job).result(30)
    desk.stop(30)
    assert told == ["afterwards"]


def test_later_jobs_come_in_the_order_of_their_time(desk: Desk) -> None:
    seen: list[str] = []
    both = threading.Event()

    def second(_: sqlite3.Connection) -> None:
        seen.append("second")
        both.set()

    desk.run_later(0.5, second)
    desk.run_later(0.05, lambda _: seen.append("first"))
    assert both.wait(30)
    assert seen == ["first", "second"]


def test_what_was_asked_before_stop_is_done(desk: Desk, file: Path) -> None:
    futures = [desk.run(insert(number)) for number in range(200)]  # type: ignore[arg-type]
    desk.stop()
    desk.stop()
    assert all(future.done() for future in futures)
    assert sqlite3.connect(file).execute("SELECT count(*) FROM t").fetchone() == (200,)


def test_a_database_that_can_not_be_written_fails_every_job_and_the_desk_goes_on(desk: Desk, file: Path) -> None:
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    desk._connection.execute("PRAGMA busy_timeout=50")
    with pytest.raises(sqlite3.OperationalError):
        desk.run(insert(1)).result(30)  # type: ignore[arg-type]
    blocker.execute("ROLLBACK")
    assert desk.run(insert(1)).result(30) == 1  # type: ignore[arg-type]


def test_who_is_in_a_hurry_does_not_wait_for_the_work_of_what_may_wait(file: Path) -> None:
    commits: list[int] = []
    order: list[int] = []

    def sent(tx: sqlite3.Connection) -> None:
        commits.append(len(order))

    desk = Desk(sqlite3.connect(file, check_same_thread=False, isolation_level=None), sent)
    unhurried = [desk.run(lambda _, n=number: order.append(n), may_wait_s=10_000) for number in range(3)]
    hurried = desk.run(lambda _: order.append(-1))
    desk.start()
    for future in (*unhurried, hurried):
        future.result(30)
    desk.stop()
    assert (order, commits) == ([-1, 0, 1, 2], [1, 4])


def test_work_that_may_wait_is_cut_short_for_somebody_who_comes(file: Path) -> None:
    order: list[int] = []
    commits: list[int] = []
    desk = Desk(
        sqlite3.connect(file, check_same_thread=False, isolation_level=None), lambda _: commits.append(len(order))
    )
    payers: list[Future[None]] = []

    def first(_: sqlite3.Connection) -> None:
        order.append(0)
        payers.append(desk.run(lambda _: order.append(-1)))

    unhurried = [desk.run(first, may_wait_s=10_000)]
    unhurried += [desk.run(lambda _, n=number: order.append(n), may_wait_s=10_000) for number in range(1, 5)]
    desk.start()
    for future in unhurried:
        future.result(30)
    desk.stop()
    assert (order, commits) == ([0, -1, 1, 2, 3, 4], [2, 6]), "with the commit under way, and the others after it"


def test_where_no_commit_can_begin_all_who_wait_together_hear_of_it(file: Path) -> None:
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA busy_timeout=50")
    desk = Desk(connection, lambda _: None)
    futures = [desk.run(insert(number)) for number in range(3)]  # type: ignore[arg-type]
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    desk.start()
    assert [type(future.exception(30)) for future in futures] == [sqlite3.OperationalError] * 3
    blocker.execute("ROLLBACK")
    assert desk.run(insert(1)).result(30) == 1  # type: ignore[arg-type]
    desk.stop()


def test_many_that_may_wait_wait_no_longer(desk: Desk) -> None:
    futures = [desk.run(insert(number), may_wait_s=10_000) for number in range(FULL_ENOUGH)]  # type: ignore[arg-type]
    assert [future.result(30) for future in futures] == list(range(FULL_ENOUGH))


def test_who_is_in_a_hurry_does_not_wait_for_a_crowd_that_came_before(file: Path) -> None:
    order: list[int] = []
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    desk = Desk(connection, lambda _: None)
    crowd = [desk.run(lambda _, n=number: order.append(n), behind=True) for number in range(3 * MAX_BATCH)]
    payer = desk.run(lambda _: order.append(-1))
    desk.start()
    for future in (*crowd, payer):
        future.result(30)
    desk.stop()
    assert order == [-1, *range(3 * MAX_BATCH)]


def test_a_crowd_gets_on_however_many_are_in_a_hurry(file: Path) -> None:
    order: list[str] = []
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    desk = Desk(connection, lambda _: None)
    crowd = desk.run(lambda _: order.append("crowd"), behind=True)
    hurried = [desk.run(lambda _: order.append("payer")) for _ in range(5 * MAX_BATCH)]
    desk.start()
    for future in (*hurried, crowd):
        future.result(30)
    desk.stop()
    assert order.index("crowd") == MAX_BATCH, "at the end of the first commit"


def test_stop_finishes_more_than_one_commit_takes(file: Path) -> None:
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    desk = Desk(connection, lambda _: None)
    futures = [desk.run(insert(number), behind=number % 2 == 0) for number in range(3 * MAX_BATCH)]  # type: ignore[arg-type]
    desk.start()
    desk.stop()
    assert all(future.done() for future in futures)
    assert sqlite3.connect(file).execute("SELECT count(*) FROM t").fetchone() == (3 * MAX_BATCH,)


def test_a_job_for_later_whose_commit_could_not_begin_comes_again(desk: Desk, file: Path) -> None:
    """One that asks for itself anew, as the sweep does, would otherwise never do so again."""
    begun = threading.Event()
    blocker = sqlite3.connect(file, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    desk._connection.execute("PRAGMA busy_timeout=50")
    desk.run_later(0.0, lambda _: begun.set())
    with pytest.raises(sqlite3.OperationalError):
        desk.run(insert(1), may_wait_s=0.1).result(30)  # type: ignore[arg-type]
    assert not begun.is_set()
    blocker.execute("ROLLBACK")
    assert begun.wait(30)


def test_a_job_for_later_that_fails_does_not_come_again(desk: Desk) -> None:
    order, over = list[str](), threading.Event()

    def broken(_: sqlite3.Connection) -> None:
        order.append("broken")
        raise sqlite3.OperationalError("mine")

    desk.run_later(0.0, broken)
    desk.run_later(2.5, lambda _: over.set())
    assert over.wait(30)
    assert order == ["broken"]


def test_whoever_asks_a_desk_that_has_stopped_hears_so(desk: Desk, file: Path) -> None:
    stopping, late = threading.Event(), list[Future[int]]()

    def last(_: sqlite3.Connection) -> None:
        assert stopping.wait(30)
        late.append(desk.run(lambda _: 1))

    asked = desk.run(last)
    stopper = threading.Thread(target=desk.stop, args=(30,))
    stopper.start()
    while desk._jobs.empty():
        time.sleep(0.001)
    stopping.set()
    asked.result(30)
    stopper.join(30)
    late.append(desk.run(insert(1)))  # type: ignore[arg-type]
    assert [type(future.exception(30)) for future in late] == [DeskClosed, DeskClosed]
    assert sqlite3.connect(file).execute("SELECT count(*) FROM t").fetchone() == (0,)


@pytest.mark.parametrize("may_wait_s", [0.0, 10_000.0])
def test_the_desk_begins_however_fast_more_is_asked(file: Path, may_wait_s: float) -> None:
    class Crowd(queue.SimpleQueue[Asked | None]):
        """Whoever looks finds one more, as long as it is before the first has had his turn."""

        came = 0

        def get_nowait(self) -> Asked | None:
            if first.done() or self.came == 100_000:
                return super().get_nowait()
            self.came += 1
            return Asked(lambda _: None, Future(), 0.0, may_wait_s)

        def qsize(self) -> int:
            return super().qsize() + (0 if first.done() else 1)

        def empty(self) -> bool:
            return self.qsize() == 0

    desk = Desk(sqlite3.connect(file, check_same_thread=False, isolation_level=None), lambda _: None)
    crowd = desk._jobs = Crowd()
    first: Future[int] = Future()
    crowd.put(Asked(lambda _: 1, first, 0.0))
    desk._turns.add(crowd.get())  # type: ignore[arg-type]
    desk.start()
    assert first.result(60) == 1
    desk.stop(60)
    assert crowd.came < 100_000


def test_whatever_goes_wrong_each_is_done_once_and_told_what_is_on_disk(file: Path) -> None:
    chance, calls, acted = random.Random(7), Counter[int](), list[int]()
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    connection.executescript(
        "PRAGMA foreign_keys=ON; CREATE TABLE rooms (id INTEGER PRIMARY KEY);"
        "CREATE TABLE guests (room INTEGER REFERENCES rooms (id) DEFERRABLE INITIALLY DEFERRED);"
    )
    ends = {
        "well": lambda tx: None,
        "it raises": lambda tx: [][0],
        "the commit fails": lambda tx: tx.execute("INSERT INTO guests VALUES (1)"),
        "SQLite gives the transaction up": lambda tx: tx.execute("ROLLBACK"),
    }

    def job(number: int, end: str) -> Callable[[sqlite3.Connection], None]:
        def do(tx: sqlite3.Connection) -> None:
            calls[number] += 1
            tx.execute("INSERT INTO t VALUES (?)", (number,))
            desk.afterwards(lambda: acted.append(number))
            ends[end](tx)

        return do

    desk = Desk(connection, lambda _: None, lambda _: None)
    desk.start()
    futures = list[Future[None]]()
    for number in range(3000):
        [end] = chance.choices(list(ends), [95, 3, 1, 1])
        asked = job(number, end)
        futures.append(
            desk.run(
                asked,
                may_wait_s=chance.choice([0.0, 0.02, 5.0]),
                behind=chance.random() < 0.2,
                of=chance.choice([None, "kf-a", "kf-b"]),
            )
        )
    desk.stop(60)
    kept = [number for number, future in enumerate(futures) if future.exception(0) is None]
    assert sqlite3.connect(file).execute("SELECT n FROM t ORDER BY n").fetchall() == [(number,) for number in kept]
    assert sorted(acted) == kept
    assert max(calls.values()) == 1
    assert 0 < len(kept) < 3000

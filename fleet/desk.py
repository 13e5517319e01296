"""The one thread that writes the database. Jobs that wait are committed together, each of them all or nothing.

Whose turn it is, `fleet.turns` says.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import math
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

from fleet.turns import MAX_BATCH, Asked, Turns

log = logging.getLogger("fleet.desk")

T = TypeVar("T")
LATER_MAY_WAIT_S = 0.1
LATER_AGAIN_S = 1.0
TAKEN_IN_AT_ONCE = 1024  # however fast more is asked for, what has come gets its turn


class DeskClosed(sqlite3.OperationalError):
    """Asked of a desk that has stopped: nothing was done, nor will be."""


class _Later:
    """A job for later, and whether it has had its turn."""

    def __init__(self, job: Callable[[sqlite3.Connection], object]) -> None:
        self.job, self.begun = job, False

    def __call__(self, tx: sqlite3.Connection) -> None:
        self.begun = True
        _logged(self.job)(tx)


class Desk:
    """A job gets the connection inside a transaction and must not commit. After each batch's commit
    `after_commit(connection)` runs (to send what was put into the outbox), then the futures are resolved, on the desk's
    thread. What a job gives to `afterwards` is done if and only if that job is on disk. `before_commit` is one more job
    at the end of each batch: for what need only be done once for all of them."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        after_commit: Callable[[sqlite3.Connection], None],
        before_commit: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        self._connection, self._after_commit = connection, after_commit
        self._before_commit = _logged(before_commit) if before_commit is not None else None
        self._jobs: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()
        self._turns = Turns()  # what was taken from it, and is not done yet
        self._stopping = self._over = False
        self._afterwards: list[Callable[[], None]] = []
        self._later: list[tuple[float, int, Callable[[sqlite3.Connection], Any]]] = []
        self._later_lock = threading.Lock()
        self._count = itertools.count()
        self._thread = threading.Thread(target=self._run, name="fleet-desk", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(
        self, job: Callable[[sqlite3.Connection], T], *, may_wait_s: float = 0.0, behind: bool = False,
        of: str | None = None,
    ) -> Future[T]:  # fmt: skip
        """Do it: as soon as possible, or when it is quiet, and after `may_wait_s` seconds in any case, or after those
        of one ahead of it. `behind`: after all that are not. Those that may wait are done in the order of asking, and
        so are those `of` the same box, whether they may wait or not, but for those that stay behind. The future fails
        with what the job raises, with the sqlite3.Error that kept its transaction off the disk, or with DeskClosed."""
        future: Future[T] = Future()
        self._jobs.put(Asked(job, future, time.monotonic(), may_wait_s, behind, of))
        if self._over:
            self._refuse_the_rest()
        return future

    @property
    def busy(self) -> bool:
        """Whether the next commit is full already."""
        return len(self._turns) + self._jobs.qsize() >= MAX_BATCH

    def afterwards(self, act: Callable[[], None]) -> None:
        """From inside a job: do this once the job's transaction is on disk, and not at all where it fails."""
        self._afterwards.append(act)

    def run_later(self, delay_s: float, job: Callable[[sqlite3.Connection], object]) -> None:
        """Do it in `delay_s` seconds; errors are logged. Where its transaction ends before its turn, it comes again:
        some ask for themselves anew, and would otherwise never do so again."""
        with self._later_lock:
            heapq.heappush(self._later, (time.monotonic() + delay_s, next(self._count), job))
        self._jobs.put(Asked(_nothing, Future(), 0.0))  # wakes the thread, so that it looks at the clock again

    def stop(self, timeout_s: float = 5.0) -> None:
        """Finish what was asked for before, then end and close the database. May be called twice."""
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping or len(self._turns):
            self._take_in()
            if batch := self._turns.next_batch(time.monotonic()):
                self._do(batch)
        self._over = True
        self._refuse_the_rest()
        self._connection.close()

    def _refuse_the_rest(self) -> None:
        """What was asked for after `stop`: nobody takes it any more, and nobody is to wait for it."""
        with contextlib.suppress(queue.Empty):
            while True:
                asked = self._jobs.get_nowait()
                if asked is not None and asked.future.set_running_or_notify_cancel():
                    asked.future.set_exception(DeskClosed("the desk has stopped"))

    def _take_in(self) -> None:
        """What has come, and what has fallen due; waits until something is to be done."""
        taken = 0
        while not self._stopping and taken < TAKEN_IN_AT_ONCE:
            self._take_in_later()
            wait_s = min(self._turns.begin_s(), self._next_later_s()) - time.monotonic()
            try:
                if wait_s > 0:
                    self._note(self._jobs.get(timeout=wait_s if wait_s < threading.TIMEOUT_MAX else None))
                else:
                    self._note(self._jobs.get_nowait())
                taken += 1
            except queue.Empty:
                if self._turns.begin_s() <= time.monotonic():
                    return

    def _note(self, asked: Asked | None) -> None:
        if asked is None:
            self._stopping = True
        elif asked.job is not _nothing and asked.future.set_running_or_notify_cancel():
            self._turns.add(asked)

    def _in_turn(self, batch: deque[Asked]) -> Iterator[Asked]:
        """Takes them out of the batch. Where nobody waits for any of them, it is cut short for somebody who does: his
        job goes with this commit, theirs with a later one."""
        may_be_cut = not any(one.hurried for one in batch)
        while batch:
            yield batch.popleft()
            if may_be_cut and self._somebody_came():
                may_be_cut = False
                self._turns.put_back(batch)
                batch.extend(self._turns.next_batch(time.monotonic()))
        if self._before_commit is not None:
            yield Asked(self._before_commit, Future(), time.monotonic(), LATER_MAY_WAIT_S)

    def _somebody_came(self) -> bool:
        for _ in range(min(self._jobs.qsize(), TAKEN_IN_AT_ONCE)):
            if not self._stopping:
                self._note(self._jobs.get_nowait())
        return self._turns.somebody_waits

    def _do(self, batch: deque[Asked]) -> None:
        taken: list[Asked] = []
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for asked in self._in_turn(batch):
                taken.append(asked)
                self._connection.execute("SAVEPOINT job")
                before = len(self._afterwards)
                try:
                    done.append((asked.future, asked.job(self._connection)))
                except Exception as error:
                    del self._afterwards[before:]
                    self._connection.execute("ROLLBACK TO job")
                    failed.append((asked.future, error))
                self._connection.execute("RELEASE job")
            self._connection.execute("COMMIT")
        except sqlite3.Error as broken:
            taken += batch
            log.exception("event=commit_failed jobs=%d", len(taken))
            self._roll_back()
            for asked in taken:
                if isinstance(asked.job, _Later) and not asked.job.begun:
                    self.run_later(LATER_AGAIN_S, asked.job.job)
            failed = [(asked.future, broken) for asked in taken]
            done = []
            self._afterwards.clear()
        acts, self._afterwards = self._afterwards, []
        if any(asked.hurried for asked in taken):
            self._turns.note_served(time.monotonic())
        _guarded(lambda: self._after_commit(self._connection))  # first: somebody waits for what is sent
        for future, why in failed:
            future.set_exception(why)
        for future, result in done:
            future.set_result(result)
        for act in acts:
            _guarded(act)

    def _roll_back(self) -> None:
        """Where SQLite has not done so itself."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            log.exception("event=rollback_failed")

    def _next_later_s(self) -> float:
        """Monotonic."""
        with self._later_lock:
            return self._later[0][0] if self._later else math.inf

    def _take_in_later(self) -> None:
        with self._later_lock:
            while self._later and self._later[0][0] <= time.monotonic():
                job = heapq.heappop(self._later)[2]
                self._turns.add(Asked(_Later(job), Future(), time.monotonic(), LATER_MAY_WAIT_S))


def _logged(job: Callable[[sqlite3.Connection], object]) -> Callable[[sqlite3.Connection], None]:
    def run(tx: sqlite3.Connection) -> None:
        try:
            job(tx)
        except Exception:
            log.exception("event=later_job_failed")
            raise

    return run


def _guarded(act: Callable[[], object]) -> None:
    try:
        act()
    except Exception:
        log.exception("event=after_commit_failed")


def _nothing(_: sqlite3.Connection) -> None:
    return None

"""The one thread that writes the database. Jobs that wait are committed together, each of them all or nothing.

A commit waits for the disk, which is most of what a payment's way through the gateway costs. So what nobody waits for
(that the broker has a message, a heartbeat) lets itself be carried along by the next job that somebody does. And what
comes in crowds and has nothing to do with money (a thousand boxes' reports of a config) stays behind all that has.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

log = logging.getLogger("fleet.desk")

T = TypeVar("T")
MAX_BATCH = 64
BEHIND_AT_ONCE = 16  # of those that stay behind, in a commit that is somebody else's: some 3 ms
FULL_ENOUGH = 16  # so many jobs wait for nobody: whatever is behind them is not to be held up


@dataclass(frozen=True, slots=True)
class _Asked:
    job: Callable[[sqlite3.Connection], Any]
    future: Future[Any]
    begin_by_s: float  # monotonic
    behind: bool = False


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
        self._jobs: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._first, self._behind = deque[_Asked](), deque[_Asked]()  # taken from it, and not done yet
        self._stopping = False
        self._afterwards: list[Callable[[], None]] = []
        self._later: list[tuple[float, int, Callable[[sqlite3.Connection], Any]]] = []
        self._later_lock = threading.Lock()
        self._count = itertools.count()
        self._thread = threading.Thread(target=self._run, name="fleet-desk", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(
        self, job: Callable[[sqlite3.Connection], T], *, may_wait_s: float = 0.0, behind: bool = False
    ) -> Future[T]:
        """Do it, in the order of asking: as soon as possible, or with the next one that may not wait so long. `behind`:
        after all that are not."""
        future: Future[T] = Future()
        self._jobs.put(_Asked(job, future, time.monotonic() + may_wait_s, behind))
        return future

    @property
    def busy(self) -> bool:
        """Whether the next commit is full already."""
        return len(self._first) + len(self._behind) + self._jobs.qsize() >= MAX_BATCH

    def afterwards(self, act: Callable[[], None]) -> None:
        """From inside a job: do this once the job's transaction is on disk, and not at all where it fails."""
        self._afterwards.append(act)

    def run_later(self, delay_s: float, job: Callable[[sqlite3.Connection], object]) -> None:
        """Do it in `delay_s` seconds; errors are logged."""
        with self._later_lock:
            heapq.heappush(self._later, (time.monotonic() + delay_s, next(self._count), job))
        self._jobs.put(_Asked(_nothing, Future(), 0.0))  # wakes the thread, so that it looks at the clock again

    def stop(self, timeout_s: float = 5.0) -> None:
        """Finish what was asked for before, then end and close the database. May be called twice."""
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not (self._stopping and not self._first and not self._behind):
            self._take_in()
            batch = self._next_batch()
            batch += [_Asked(job, Future(), 0.0) for job in self._due()]
            if batch and self._before_commit is not None:
                batch.append(_Asked(self._before_commit, Future(), 0.0))
            if batch:
                self._do(batch)
        self._connection.close()

    def _take_in(self) -> None:
        """What has come; waits until something is to be done."""
        begin_s = 0.0 if self._first or self._behind else self._next_later_s()
        while not self._stopping:
            ready = len(self._first) + len(self._behind)
            wait_s = begin_s - time.monotonic() if ready < FULL_ENOUGH else 0.0
            try:
                if wait_s > 0:
                    asked = self._jobs.get(timeout=wait_s if wait_s < threading.TIMEOUT_MAX else None)
                else:
                    asked = self._jobs.get_nowait()
            except queue.Empty:
                break
            if asked is None:
                self._stopping = True
            elif asked.job is _nothing:
                begin_s = min(begin_s, self._next_later_s())
            elif asked.future.set_running_or_notify_cancel():
                (self._behind if asked.behind else self._first).append(asked)
                begin_s = min(begin_s, asked.begin_by_s)

    def _next_batch(self) -> list[_Asked]:
        """What is committed together now."""
        batch = [self._first.popleft() for _ in range(min(MAX_BATCH, len(self._first)))]
        room = min(MAX_BATCH - len(batch), BEHIND_AT_ONCE) if batch else MAX_BATCH
        return batch + [self._behind.popleft() for _ in range(min(max(room, 1), len(self._behind)))]

    def _do(self, batch: list[_Asked]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for asked in batch:
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
            log.exception("event=commit_failed jobs=%d", len(batch))
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failed = [(asked.future, broken) for asked in batch]
            done = []
            self._afterwards.clear()
        acts, self._afterwards = self._afterwards, []
        _guarded(lambda: self._after_commit(self._connection))  # first: somebody waits for what is sent
        for future, why in failed:
            future.set_exception(why)
        for future, result in done:
            future.set_result(result)
        for act in acts:
            _guarded(act)

    def _next_later_s(self) -> float:
        """Monotonic."""
        with self._later_lock:
            return self._later[0][0] if self._later else math.inf

    def _due(self) -> list[Callable[[sqlite3.Connection], Any]]:
        due = []
        with self._later_lock:
            while self._later and self._later[0][0] <= time.monotonic():
                due.append(_logged(heapq.heappop(self._later)[2]))
        return due


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

"""The one thread that writes the database. Jobs that wait are committed together, each of them all or nothing."""

from __future__ import annotations

import heapq
import itertools
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

log = logging.getLogger("fleet.desk")

T = TypeVar("T")
MAX_BATCH = 64


class Desk:
    """A job gets the connection inside a transaction and must not commit. Its future is resolved after the commit,
    on the desk's thread; `after_commit(connection)` runs after each batch (to send what was put into the outbox)."""

    def __init__(self, connection: sqlite3.Connection, after_commit: Callable[[sqlite3.Connection], None]) -> None:
        self._connection, self._after_commit = connection, after_commit
        self._jobs: queue.SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], Future[Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._later: list[tuple[float, int, Callable[[sqlite3.Connection], Any]]] = []
        self._later_lock = threading.Lock()
        self._count = itertools.count()
        self._thread = threading.Thread(target=self._run, name="fleet-desk", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def run(self, job: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Do it as soon as possible, in the order of asking."""
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def run_later(self, delay_s: float, job: Callable[[sqlite3.Connection], object]) -> None:
        """Do it in `delay_s` seconds; errors are logged."""
        with self._later_lock:
            heapq.heappush(self._later, (time.monotonic() + delay_s, next(self._count), job))
        self._jobs.put((_nothing, Future()))  # wakes the thread, so that it looks at the clock again

    def stop(self, timeout_s: float = 5.0) -> None:
        """Finish what was asked for before, then end and close the database. May be called twice."""
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]] = []
            timeout_s: float | None = self._until_next()
            while len(batch) < MAX_BATCH:
                try:
                    item = self._jobs.get(timeout=timeout_s) if timeout_s != 0.0 else self._jobs.get_nowait()
                except queue.Empty:
                    break
                if item is None:
                    stopping = True
                    break
                if item[1].set_running_or_notify_cancel():
                    batch.append(item)
                timeout_s = 0.0
            batch += [(job, Future()) for job in self._due()]
            self._do(batch)
        self._connection.close()

    def _do(self, batch: list[tuple[Callable[[sqlite3.Connection], Any], Future[Any]]]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        failed: list[tuple[Future[Any], BaseException]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job, future in batch:
                self._connection.execute("SAVEPOINT job")
                try:
                    done.append((future, job(self._connection)))
                except Exception as error:
                    self._connection.execute("ROLLBACK TO job")
                    failed.append((future, error))
                self._connection.execute("RELEASE job")
            self._connection.execute("COMMIT")
        except sqlite3.Error as broken:
            log.exception("event=commit_failed jobs=%d", len(batch))
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failed = [(future, broken) for _, future in batch]
            done = []
        for future, why in failed:
            future.set_exception(why)
        for future, result in done:
            future.set_result(result)
        try:
            self._after_commit(self._connection)
        except Exception:
            log.exception("event=after_commit_failed")

    def _until_next(self) -> float | None:
        with self._later_lock:
            return max(0.0, self._later[0][0] - time.monotonic()) if self._later else None

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


def _nothing(_: sqlite3.Connection) -> None:
    return None

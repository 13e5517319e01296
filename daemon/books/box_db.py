"""`box.db`: one SQLite file for payments, journal, outbox, inbox and PIN counters, and the one thread that writes it.

Every job runs in one transaction of its own: all of it is on disk (WAL, synchronous=FULL) when its future resolves, or
none of it. Readers open their own read-only connection.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from daemon.errors import DatabaseClosed, DatabaseRefused
from mqtt.presence import is_absent

if TYPE_CHECKING:
    import sqlite_utils

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]
SCHEMA_VERSION = 1


class BoxDb:
    """Owns the file and its writer thread.

    `schema` makes the tables that are missing. With an `edition` only in a file that another edition of the schema has
    left: two releases that differ in it may open the file in turn.

    Raises:
        DatabaseRefused: when the file is damaged or belongs to a newer release.
    """

    def __init__(
        self, path: Path, schema: Iterable[Callable[[sqlite_utils.Database], None]], edition: int | None = None
    ) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._jobs: queue.SimpleQueue[tuple[Job[Any], Future[Any]] | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._pending: deque[float] = deque()  # when each job that has not ended was handed in
        try:
            self._connection = _open(path)
        except (sqlite3.Error, OSError) as error:
            raise DatabaseRefused(path, f"can't be opened now ({error})", _MAKE_ROOM) from error
        try:
            _prepare(path, self._connection, schema, edition)
        except sqlite3.OperationalError as error:  # full, unreadable for a moment, held by another: not damaged
            self._connection.close()
            raise DatabaseRefused(path, f"can't be opened now ({error})", _MAKE_ROOM) from error
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise DatabaseRefused(path, f"is not readable as a database ({error})", _RESTORE) from error
        except DatabaseRefused:
            self._connection.close()
            raise
        self._thread = threading.Thread(target=self._write, name="box-db", daemon=True)
        self._thread.start()

    def submit(self, job: Job[T]) -> Future[T]:
        """Runs `job(connection)` in a transaction on the writer thread; the future resolves after the commit."""
        future: Future[T] = Future()
        with self._gate:
            if not self._closed:
                self._pending.append(time.monotonic())
                self._jobs.put((job, future))
                return future
        future.set_exception(DatabaseClosed(self.path))
        return future

    def stalled_s(self) -> float:
        """How long the oldest job has been waiting for the disk, in seconds; 0 when none is."""
        with self._gate:
            return time.monotonic() - self._pending[0] if self._pending else 0.0

    def run(self, job: Job[T]) -> T:
        """`submit` and wait: for starts, stops and tests, never on the main loop."""
        return self.submit(job).result()

    def reader(self) -> sqlite3.Connection:
        """A read-only connection for the calling thread; the caller closes it."""
        return open_reader(self.path)

    def close(self) -> None:
        """Finishes the jobs that were handed in, then closes the file. May be called twice."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()
        self._connection.close()

    def _write(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, future = item
            try:
                result = self._transact(job)
            except BaseException as error:  # handed to whoever asked; the writer itself goes on
                self._ended()
                future.set_exception(error)
            else:
                self._ended()
                future.set_result(result)

    def _transact(self, job: Job[T]) -> T:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            result = job(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result

    def _ended(self) -> None:
        with self._gate:
            self._pending.popleft()


_MAKE_ROOM = "Make room on the disk, check that it may be written, and start again; keep the file: it holds payments"
_RESTORE = "Keep a copy as evidence, then move it away to start with an empty one; the fleet's ledger has what was paid"


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection to the database of a box that may be running.

    Raises:
        DatabaseRefused: when there is no such file.
    """
    try:
        absent = is_absent(path)
    except OSError as error:
        raise DatabaseRefused(path, f"can't be opened now ({error.strerror})", _MAKE_ROOM) from error
    if absent:
        raise DatabaseRefused(path, "does not exist", "Start the box once: kingfisher run")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    return connection


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    path.chmod(0o600)
    return connection


def _prepare(
    path: Path,
    connection: sqlite3.Connection,
    schema: Iterable[Callable[[sqlite_utils.Database], None]],
    edition: int | None,
) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")  # what was sent says who was forced, and erased means erased
    connection.execute("PRAGMA wal_autocheckpoint=200")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise DatabaseRefused(
            path,
            f"was written by a newer release (schema {version}, this one knows {SCHEMA_VERSION})",
            "Install that release again",
        )
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise DatabaseRefused(path, f"is damaged ({found})", _RESTORE)
    if version == SCHEMA_VERSION and edition is not None and _edition(connection) == edition:
        return
    import sqlite_utils  # slow to import, and most starts find every table made

    database = sqlite_utils.Database(connection)
    for create in schema:
        create(database)
    if version != SCHEMA_VERSION:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    if edition is not None:  # last: a start that was cut off makes the rest of the tables at the next one
        database.table("schema_edition").upsert({"id": 1, "edition": edition}, pk="id")


def _edition(connection: sqlite3.Connection) -> int | None:
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name='schema_edition'").fetchone() is None:
        return None
    row = connection.execute("SELECT edition FROM schema_edition WHERE id=1").fetchone()
    return None if row is None else int(row["edition"])

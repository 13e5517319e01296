"""What the console must remember by itself, also while the daemon is down: PIN tries, used tickets, typed lines.

A file of its own (`console.db`), for the daemon's database has one writer. A PIN try is on disk before the PIN is
compared: in the file, or where the card is full in the record beside it (`spare_count`); where neither can be written,
there is no try.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import sqlite_utils

from daemon.books import pin_tries
from daemon.books.pin_tries import Try
from daemon.console.spare_count import Count, SpareCount
from daemon.health.write_faults import FULL, REFUSED, write_fault
from mqtt.presence import is_absent

FILE_NAME = "console.db"
WHO = "console"
MAX_SPOOLED = 2000


@dataclass(frozen=True, slots=True)
class Typed:
    """A line as it goes into the journal: masked, with who typed it, when (unix seconds), in which session."""

    session: str
    who: str
    line: str
    at: int


class GuestBook:
    """Opened anew for each use: two consoles may share it, and a full disk of now need not be one of later."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE_NAME
        self._locked = Count(pin_tries.MAX_TRIES, int(time.time()) + pin_tries.LOCK_S)
        self._spare = SpareCount(state, damaged=self._locked)

    def prepare(self) -> None:
        """Takes the room of the spare count while there is some."""
        with suppress(OSError):  # full before it was ever made: then a ticket is the way in
            self._spare.prepare()

    def count_try(self, now: int) -> Try | None:
        """Counts a PIN try as wrong, durably; None when that is not possible: then no PIN may be compared."""
        counted: list[Try] = []
        spare = self._spare.read()

        def count(connection: sqlite3.Connection) -> None:
            counted.append(_count(connection, spare, now))

        if self._write(count):
            if spare != Count():
                with suppress(OSError):  # then it counts again the next time: stricter, never laxer
                    self._spare.write(Count())
            return counted[0]
        return self._count_beside(spare, now)

    def locked_until(self, now: int) -> int:
        """Unix seconds; in the past when a PIN may be tried."""
        locked_until = self._counted().joined(self._spare.read()).locked_until
        return min(locked_until, now + pin_tries.LONGEST_LOCK_S)

    def clear_tries(self) -> None:
        self._write(lambda connection: pin_tries.clear(connection, WHO))
        with suppress(OSError):
            if self._spare.read() != Count():
                self._spare.write(Count())

    def _counted(self) -> Count:
        """A file that is there and can't be read counts as a lock; one that is only full or in use does not."""
        try:
            rows = self._read("SELECT wrong, locked_until FROM pin_tries WHERE payer = ?", (WHO,))
        except (sqlite3.Error, OSError) as error:
            return Count() if write_fault(error) in (FULL, REFUSED) else self._locked
        return Count(int(rows[0]["wrong"]), int(rows[0]["locked_until"])) if rows else Count()

    def _count_beside(self, spare: Count, now: int) -> Try | None:
        """By the same rule, on what both records say; None where there is no spare record to write."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        try:
            connection.row_factory = sqlite3.Row
            pin_tries.create_schema(sqlite_utils.Database(connection))
            counted = _count(connection, spare.joined(self._counted()), now)
            row = connection.execute("SELECT wrong, locked_until FROM pin_tries").fetchone()
        finally:
            connection.close()
        try:
            self._spare.write(Count(int(row["wrong"]), int(row["locked_until"])))
        except OSError:
            return None
        return counted

    def use_ticket(self, ticket_id: str, exp: int, now: int) -> bool:
        """False when it was used before. A disk that takes nothing is no reason to lock the technician out who came
        because of it: then the ticket's short life is the only bound."""
        fresh: list[bool] = []

        def use(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM used_tickets WHERE exp < ?", (now - 3600,))
            done = connection.execute("INSERT OR IGNORE INTO used_tickets VALUES (?, ?)", (ticket_id, exp))
            fresh.append(done.rowcount == 1)

        return fresh[0] if self._write(use) else True

    def spool(self, typed: Typed) -> None:
        """Keeps a line until the daemon takes it into the journal."""

        def keep(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO typed (session, who, line, at) VALUES (?, ?, ?, ?)",
                (typed.session, typed.who, typed.line, typed.at),
            )
            connection.execute("DELETE FROM typed WHERE id <= (SELECT max(id) FROM typed) - ?", (MAX_SPOOLED,))

        self._write(keep)

    def hand_over(self, take: Callable[[Typed], None]) -> None:
        """Gives the kept lines to `take`, oldest first, and forgets each that it took. Ends where `take` raises."""
        rows: list[sqlite3.Row] = []
        with suppress(sqlite3.Error, OSError):  # they stay in the file
            rows = self._read("SELECT id, session, who, line, at FROM typed ORDER BY id")
        for row in rows:
            take(Typed(row["session"], row["who"], row["line"], row["at"]))
            taken = (row["id"],)
            self._write(partial(_forget_line, taken))

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        """Raises sqlite3.Error, OSError."""
        if is_absent(self._path) or self._path.stat().st_size == 0:  # the second: a full card let no table be made
            return []
        connection = self._open()
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def _write(self, job: Callable[[sqlite3.Connection], object]) -> bool:
        try:
            connection = self._open()
        except (sqlite3.Error, OSError):
            return False
        try:
            connection.execute("BEGIN IMMEDIATE")
            job(connection)
            connection.execute("COMMIT")
        except sqlite3.Error:
            return False
        finally:
            connection.close()
        return True

    def _open(self) -> sqlite3.Connection:
        try:
            return self._opened()
        except sqlite3.OperationalError:
            raise  # busy, full, read-only: not damaged
        except sqlite3.DatabaseError:
            # Damaged. It starts anew, locked: damage must not be a way to more tries.
            with suppress(OSError):
                self._path.rename(self._path.with_suffix(".damaged"))
            connection = self._opened()
            locked = int(time.time()) + pin_tries.LOCK_S
            connection.execute("INSERT INTO pin_tries VALUES (?, ?, ?)", (WHO, pin_tries.MAX_TRIES, locked))
            return connection

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=5)
        connection.row_factory = sqlite3.Row
        self._path.chmod(0o600)
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA synchronous=FULL")
        database = sqlite_utils.Database(connection)
        pin_tries.create_schema(database)
        database.table("used_tickets").create({"id": str, "exp": int}, pk="id", if_not_exists=True)
        database.table("typed").create(
            {"id": int, "session": str, "who": str, "line": str, "at": int}, pk="id", if_not_exists=True
        )  # fmt: skip
        self.prepare()
        return connection


def _count(connection: sqlite3.Connection, spare: Count, now: int) -> Try:
    if spare != Count():
        connection.execute(
            "INSERT INTO pin_tries VALUES (?, ?, ?) ON CONFLICT (payer) DO UPDATE SET"
            " wrong = max(wrong, excluded.wrong), locked_until = max(locked_until, excluded.locked_until)",
            (WHO, spare.wrong, spare.locked_until),
        )
    # a clock that was set back must not lock the console for years
    connection.execute(
        "UPDATE pin_tries SET locked_until = ? WHERE locked_until > ?",
        (now + pin_tries.LONGEST_LOCK_S, now + pin_tries.LONGEST_LOCK_S),
    )
    return pin_tries.count(connection, WHO, now)


def _forget_line(line_id: tuple[int], connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM typed WHERE id = ?", line_id)

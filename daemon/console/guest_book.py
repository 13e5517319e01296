"""What the console must remember by itself, also while the daemon is down: PIN tries, used tickets, typed lines.

A file of its own (`console.db`), for the daemon's database has one writer. A PIN try is on disk before the PIN is
compared; where it can't be, there is no try.
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

from daemon import pin_tries
from daemon.pin_tries import Try

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

    def count_try(self, now: int) -> Try | None:
        """Counts a PIN try as wrong, durably; None when that is not possible: then no PIN may be compared."""
        counted: list[Try] = []

        def count(connection: sqlite3.Connection) -> None:
            # a clock that was set back must not lock the console for years
            connection.execute(
                "UPDATE pin_tries SET locked_until = ? WHERE locked_until > ?",
                (now + pin_tries.LONGEST_LOCK_S, now + pin_tries.LONGEST_LOCK_S),
            )
            counted.append(pin_tries.count(connection, WHO, now))

        return counted[0] if self._write(count) else None

    def locked_until(self, now: int) -> int:
        """Unix seconds; in the past when a PIN may be tried."""
        rows = self._read("SELECT locked_until FROM pin_tries WHERE payer = ?", (WHO,))
        return min(int(rows[0]["locked_until"]), now + pin_tries.LONGEST_LOCK_S) if rows else 0

    def clear_tries(self) -> None:
        self._write(lambda connection: pin_tries.clear(connection, WHO))

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
        for row in self._read("SELECT id, session, who, line, at FROM typed ORDER BY id"):
            take(Typed(row["session"], row["who"], row["line"], row["at"]))
            taken = (row["id"],)
            self._write(partial(_forget_line, taken))

    def _read(self, query: str, values: tuple[object, ...] = ()) -> list[sqlite3.Row]:
        if not self._path.exists():
            return []
        try:
            connection = self._open()
            try:
                return connection.execute(query, values).fetchall()
            finally:
                connection.close()
        except sqlite3.Error:
            return []

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
        return connection


def _forget_line(line_id: tuple[int], connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM typed WHERE id = ?", line_id)

"""What is still to be sent, durably. Everything happens in the caller's transaction; nothing here commits.

Messages leave in the order of their priority, then of their ids: money before control before telemetry. Money and
control are never dropped here; telemetry is bounded, and the oldest goes first.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database  # slow to import


class Priority(IntEnum):
    MONEY = 0
    CONTROL = 1
    TELEMETRY = 2


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    topic: str
    payload: bytes
    kind: str
    priority: int
    expires_at: int  # unix seconds


@dataclass(frozen=True, slots=True)
class Outbox:
    max_telemetry_rows: int = 2000
    max_telemetry_bytes: int = 16 * 1024 * 1024

    def create_tables(self, db: Database) -> None:
        """May be called on every start."""
        db.execute(
            "CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL,"
            " payload BLOB NOT NULL, kind TEXT NOT NULL, priority INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT"
        )
        db.execute("CREATE INDEX IF NOT EXISTS outbox_by_priority ON outbox (priority, id)")

    def put(
        self, tx: sqlite3.Connection, *, topic: str, payload: bytes, kind: str, priority: int, expires_at: int
    ) -> int:
        """The message's durable id, never used twice. It counts once the caller has committed."""
        row = tx.execute(
            "INSERT INTO outbox (topic, payload, kind, priority, expires_at) VALUES (?, ?, ?, ?, ?) RETURNING id",
            (topic, payload, kind, int(priority), expires_at),
        ).fetchone()
        if priority >= Priority.TELEMETRY:
            self._drop_oldest_telemetry(tx)
        return int(row[0])

    def following(
        self, tx: sqlite3.Connection, priority: Priority, after: int, now: int, limit: int
    ) -> list[OutboxRow]:
        """The next rows of a priority after the id `after` that have not expired."""
        rows = tx.execute(
            "SELECT id, topic, payload, kind, priority, expires_at FROM outbox"
            " WHERE priority = ? AND id > ? AND expires_at > ? ORDER BY id LIMIT ?",
            (int(priority), after, now, limit),
        )
        return [OutboxRow(*row) for row in rows]

    def mark_acked(self, tx: sqlite3.Connection, message_id: int) -> None:
        """The broker has it. Unknown ids (acknowledged twice) are fine."""
        tx.execute("DELETE FROM outbox WHERE id = ?", (message_id,))

    def prune(self, tx: sqlite3.Connection, now: int) -> list[OutboxRow]:
        """Remove what has expired (its receiver would refuse it) and say what it was, so that money is asked about."""
        rows = tx.execute(
            "DELETE FROM outbox WHERE expires_at <= ? RETURNING id, topic, payload, kind, priority, expires_at", (now,)
        ).fetchall()
        return [OutboxRow(*row) for row in rows]

    def count(self, tx: sqlite3.Connection) -> int:
        return int(tx.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def _drop_oldest_telemetry(self, tx: sqlite3.Connection) -> None:
        tx.execute(
            "DELETE FROM outbox WHERE id IN (SELECT id FROM (SELECT id, count(*) OVER newest AS n,"
            " sum(length(payload)) OVER newest AS bytes FROM outbox WHERE priority >= ?"
            " WINDOW newest AS (ORDER BY id DESC)) WHERE n > ? OR bytes > ?)",
            (int(Priority.TELEMETRY), self.max_telemetry_rows, self.max_telemetry_bytes),
        )

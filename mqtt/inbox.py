"""What has come in, durably and once. Everything happens in the caller's transaction; nothing here commits.

Accept, commit, then acknowledge on the wire. A message is remembered by issuer and `jti` until it could no longer
be replayed (its `exp` plus the skew); what the receiver has not handled yet survives a power cut.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database  # slow to import


@dataclass(frozen=True, slots=True)
class InboxRow:
    issuer: str
    jti: str
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Inbox:
    skew_s: int = 60

    def create_tables(self, db: Database) -> None:
        """May be called on every start."""
        db.execute(
            "CREATE TABLE IF NOT EXISTS inbox (seq INTEGER PRIMARY KEY AUTOINCREMENT, issuer TEXT NOT NULL,"
            " jti TEXT NOT NULL, topic TEXT NOT NULL, payload BLOB NOT NULL, exp INTEGER NOT NULL,"
            " handled INTEGER NOT NULL DEFAULT 0, UNIQUE (issuer, jti)) STRICT"
        )
        db.execute("CREATE INDEX IF NOT EXISTS inbox_by_exp ON inbox (exp) WHERE handled = 1")
        db.execute("CREATE INDEX IF NOT EXISTS inbox_waiting ON inbox (seq) WHERE handled = 0")

    def accept(
        self, tx: sqlite3.Connection, *, jti: str, topic: str, payload: bytes, exp: int, issuer: str = "",
        handled: bool = False,
    ) -> bool:  # fmt: skip
        """False: seen already, do nothing. `handled=True` when the effect is in this very transaction:
        then only the `jti` is kept."""
        cursor = tx.execute(
            "INSERT INTO inbox (issuer, jti, topic, payload, exp, handled) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (issuer, jti) DO NOTHING",
            (issuer, jti, topic, b"" if handled else payload, exp, int(handled)),
        )
        return cursor.rowcount == 1

    def seen(self, connection: sqlite3.Connection, *, jti: str, issuer: str = "") -> bool:
        """Whether `accept` would say False; only `accept` itself decides."""
        found = connection.execute("SELECT 1 FROM inbox WHERE issuer = ? AND jti = ?", (issuer, jti)).fetchone()
        return found is not None

    def waiting(self, tx: sqlite3.Connection, limit: int) -> list[InboxRow]:
        """Accepted and not handled yet, oldest first."""
        rows = tx.execute(
            "SELECT issuer, jti, topic, payload FROM inbox WHERE handled = 0 ORDER BY seq LIMIT ?", (limit,)
        )
        return [InboxRow(*row) for row in rows]

    def mark_handled(self, tx: sqlite3.Connection, *, jti: str, issuer: str = "") -> None:
        """Its effect is in this transaction; the payload goes, the `jti` stays."""
        tx.execute("UPDATE inbox SET handled = 1, payload = x'' WHERE issuer = ? AND jti = ?", (issuer, jti))

    def prune(self, tx: sqlite3.Connection, now: int, most: int = -1) -> int:
        """Forget what the verifier would refuse as expired anyway, the oldest first and at `most` so many (-1: all).
        The number forgotten."""
        return tx.execute(
            "DELETE FROM inbox WHERE seq IN (SELECT seq FROM inbox WHERE handled = 1 AND exp < ? ORDER BY exp LIMIT ?)",
            (now - self.skew_s, most),
        ).rowcount

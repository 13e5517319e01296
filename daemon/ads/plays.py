"""Proofs of play: each complete showing once, in order, until the fleet has said that it has them.

A showing is first noted in a file in memory (`pending`, on /run): that costs the card nothing and survives the daemon's
death. Now and then, and before anything is sent, the notes become rows of box.db, numbered without a gap; a row stays
until the fleet acknowledges its number. A power cut loses at most the notes since then, and never doubles one.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mqtt.presence import is_absent

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made


MAX_ROWS = 100_000  # some ten days of ten-second showings without a fleet; then the oldest go, and are counted
BATCH = 50


@dataclass(frozen=True, slots=True)
class Play:
    """One complete showing. `at` is unix seconds when it began; `id` is random, made before anything is written."""

    id: str
    campaign: str
    sha256: str
    slot: str
    at: int
    seconds: int


def new_play(campaign: str, sha256: str, slot: str, at: int, seconds: int) -> Play:
    return Play(secrets.token_hex(8), campaign, sha256, slot, at, seconds)


def create_schema(database: sqlite_utils.Database) -> None:
    database.execute(
        "CREATE TABLE IF NOT EXISTS plays (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " campaign TEXT NOT NULL, sha256 TEXT NOT NULL, slot TEXT NOT NULL, at INTEGER NOT NULL,"
        " seconds INTEGER NOT NULL) STRICT"
    )


@dataclass(frozen=True)
class Pending:
    """The notes in memory. A line is written with one call, so that a kill leaves whole lines."""

    path: Path
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def note(self, play: Play) -> None:
        line = json.dumps(asdict(play), separators=(",", ":")).encode() + b"\n"
        with self._turn:  # else the file could be put aside, read and removed between opening and writing
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)

    def take(self) -> list[Play]:
        """The notes so far, put aside: what is noted from now on is not among them. Until `kept` is called, the same
        ones are given again. Raises OSError."""
        with self._turn:
            if is_absent(self._aside) and not is_absent(self.path):
                self.path.rename(self._aside)
        return list(_plays(self._aside))

    def kept(self) -> bool:
        """What was taken last is on disk; whether something was noted since. Raises OSError."""
        self._aside.unlink(missing_ok=True)
        return not is_absent(self.path)

    @property
    def _aside(self) -> Path:
        return self.path.with_name(self.path.name + ".taken")


def _plays(path: Path) -> Iterator[Play]:
    """A torn last line is left out: its showing was not complete."""
    try:
        noted = path.read_bytes()
    except FileNotFoundError:
        return
    for line in noted.split(b"\n")[:-1]:
        try:
            yield Play(**json.loads(line))
        except (ValueError, TypeError):
            continue


def keep(tx: sqlite3.Connection, plays: list[Play]) -> int:
    """Numbers them; one that was kept before (the notes outlived the commit) stays as it is. How many were dropped."""
    for play in plays:
        known = tx.execute("SELECT 1 FROM plays WHERE id = ?", (play.id,)).fetchone()
        if known is None:
            tx.execute(
                "INSERT INTO plays (id, campaign, sha256, slot, at, seconds) VALUES (?,?,?,?,?,?)",
                (play.id, play.campaign, play.sha256, play.slot, play.at, play.seconds),
            )
    excess = int(tx.execute("SELECT count(*) FROM plays").fetchone()[0]) - MAX_ROWS
    if excess > 0:
        tx.execute("DELETE FROM plays WHERE seq IN (SELECT seq FROM plays ORDER BY seq LIMIT ?)", (excess,))
    return max(0, excess)


def unacknowledged(connection: sqlite3.Connection, after: int = 0, limit: int = BATCH) -> list[tuple[int, Play]]:
    """In the order of their numbers."""
    rows = connection.execute("SELECT * FROM plays WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
    return [
        (row["seq"], Play(row["id"], row["campaign"], row["sha256"], row["slot"], row["at"], row["seconds"]))
        for row in rows
    ]


def acknowledge(tx: sqlite3.Connection, through: int) -> int:
    """The fleet has them all up to this number; how many rows went."""
    return tx.execute("DELETE FROM plays WHERE seq <= ?", (through,)).rowcount

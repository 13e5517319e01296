"""Wall time for a board that may have no clock of its own.

Inside the daemon time is monotonic. Where wall time matters (expiries, the journal), this is asked; it never goes below
the last trusted moment, and it knows whether it may be believed: a system clock below that floor may not, until the
fleet answers a nonce with the time.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time

import sqlite_utils

RELEASED_AT = 1_790_000_000  # no box runs this before it was written
FLOOR_EVERY_S = 3600


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("clock").create({"id": int, "floor": int}, pk="id", if_not_exists=True)


class TrustedClock:
    """Thread-safe. `offset_s` is what the fleet's time is ahead of the system clock; 0 while that one is believed."""

    def __init__(self, floor: int = RELEASED_AT) -> None:
        self._lock = threading.Lock()
        self._floor = max(floor, RELEASED_AT)
        self._offset_s = 0.0
        self._trusted = time.time() >= self._floor
        self._nonce: str | None = None

    @property
    def trusted(self) -> bool:
        with self._lock:
            return self._trusted

    def now(self) -> int:
        """Unix seconds, never below the floor."""
        with self._lock:
            return max(int(time.time() + self._offset_s), self._floor)

    def ask(self) -> str:
        """A fresh nonce for a time request."""
        with self._lock:
            self._nonce = secrets.token_urlsafe(16)
            return self._nonce

    def answered(self, nonce: str, now: int) -> bool:
        """Takes the fleet's time when it answers the last nonce and does not go back behind the floor."""
        with self._lock:
            if nonce != self._nonce or now < self._floor:
                return False
            self._nonce = None
            self._offset_s = now - time.time()
            self._trusted = True
            return True

    def floor(self) -> int | None:
        """What to keep on disk; None while the time is not trusted."""
        now = self.now()
        with self._lock:
            if not self._trusted:
                return None
            self._floor = max(self._floor, now)
            return self._floor


def load_floor(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT floor FROM clock WHERE id = 1").fetchone()
    return int(row["floor"]) if row else RELEASED_AT


def keep_floor(tx: sqlite3.Connection, floor: int) -> None:
    tx.execute(
        "INSERT INTO clock VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET floor = max(floor, excluded.floor)", (floor,)
    )

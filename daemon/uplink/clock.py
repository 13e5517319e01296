"""Wall time for a board that may have no clock of its own.

Inside the daemon time is monotonic. Where wall time matters (expiries, the journal), this is asked. It is a moment that
was believed plus the monotonic time since, so a system clock that jumps does not move it. Believed are, in this order:
the fleet's signed answer to a nonce made just now; the system clock once NTP has set it; the system clock at the start
when it is not behind the last trusted moment on disk (the floor). Otherwise nothing with an expiry is believed.

`certain` is another count, for what must not end early: never ahead, whatever the board's own clock or NTP says. It
goes on from where it was kept, by the monotonic clock, until the fleet says the time.

NTP is not signed: whoever holds the network can say any time with it. It therefore never leads behind the floor, moves
nothing once the fleet has answered, and what can't be undone (`told_by_fleet`) waits for that answer.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made


RELEASED_AT = 1_790_000_000  # no box runs this before it was written
FLOOR_EVERY_S = 6 * 3600  # each time is one more commit on the card
ANSWER_WITHIN_S = 10.0  # an answer to an older nonce may have been held back
AGREE_S = 5.0
DAY_S = 86_400
AWAY_FOR_S = 60 * DAY_S  # so long a box may have been off; a system clock further ahead than that is doubted
NTP_HAS_SET_IT = Path("/run/systemd/timesync/synchronized")


class Heard(StrEnum):
    """What an answer did: `IGNORED` is late, repeated, or not to our nonce."""

    IGNORED = "ignored"
    CONFIRMED = "confirmed"
    CORRECTED = "corrected"


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("clock").create({"id": int, "floor": int}, pk="id", if_not_exists=True)


class TrustedClock:
    """Thread-safe."""

    def __init__(self, floor: int = RELEASED_AT, certain: int | None = None) -> None:
        """`certain`: how far the certain time had come, as it was kept; by default as far as the floor."""
        self._lock = threading.Lock()
        self._certain_at_start = floor if certain is None else certain
        self._start_s = time.monotonic()
        self._floor = max(floor, RELEASED_AT)
        system = time.time()
        self._trusted = system >= self._floor
        self._anchor_wall = max(system, float(self._floor))
        self._anchor_s = time.monotonic()
        self._nonce: str | None = None
        self._asked_s = 0.0
        self._told = False

    @property
    def trusted(self) -> bool:
        with self._lock:
            return self._trusted

    @property
    def told_by_fleet(self) -> bool:
        """Whether the fleet has answered since the start. Before that, nothing is erased or forgotten for its age."""
        with self._lock:
            return self._told

    def system_is_right(self) -> bool:
        """Whether the system clock may judge dates, as of a certificate: it agrees with the fleet's word to a day, or,
        before there is one, is neither behind the last trusted moment nor far ahead of what certainly has come."""
        system = time.time()
        with self._lock:
            if self._told:
                return abs(system - self._now()) <= DAY_S
            return self._floor <= system <= self._run_up_to() + AWAY_FOR_S

    def now(self) -> int:
        """Unix seconds."""
        with self._lock:
            return int(self._now())

    def certain(self) -> int:
        """Unix seconds that certainly have come: the fleet's word, or what was kept and this run's monotonic time."""
        with self._lock:
            return int(self._now() if self._told else self._run_up_to())

    def ask(self) -> str:
        """A fresh nonce for a time request; an answer to an earlier one counts no more."""
        with self._lock:
            self._nonce, self._asked_s = secrets.token_hex(16), time.monotonic()
            return self._nonce

    def answered(self, nonce: str, now: int) -> Heard:
        """Takes the fleet's time, also when it is behind the floor: a floor that a wrong clock raised must not bind."""
        with self._lock:
            late = time.monotonic() - self._asked_s > ANSWER_WITHIN_S
            if nonce != self._nonce or late or now < RELEASED_AT:
                return Heard.IGNORED
            self._nonce, self._told = None, True
            agrees = self._trusted and abs(now - self._now()) <= AGREE_S
            if not agrees:
                self._anchor(float(now))
                self._floor = now
            return Heard.CONFIRMED if agrees else Heard.CORRECTED

    def follow_ntp(self) -> bool:
        """Takes the system clock's time where NTP has set it, it differs and the fleet has said nothing; whether it
        did."""
        with self._lock:
            system = time.time()
            if (
                self._told
                or not NTP_HAS_SET_IT.exists()
                or system < self._floor
                or abs(system - self._now()) <= AGREE_S
            ):
                return False
            self._anchor(system)
            return True

    def floor(self) -> int | None:
        """What to keep on disk; None while the time is not trusted."""
        with self._lock:
            if self._trusted:
                self._floor = int(self._now())
            return self._floor if self._trusted else None

    def _run_up_to(self) -> float:
        return self._certain_at_start + time.monotonic() - self._start_s

    def _now(self) -> float:
        return self._anchor_wall + time.monotonic() - self._anchor_s

    def _anchor(self, wall: float) -> None:
        self._anchor_wall, self._anchor_s, self._trusted = wall, time.monotonic(), True


def load_floor(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT floor FROM clock WHERE id = 1").fetchone()
    return int(row["floor"]) if row else RELEASED_AT


def certain_at(tx: sqlite3.Connection, clock: TrustedClock) -> tuple[int, bool]:
    """How late it certainly is, kept in the caller's transaction, and whether the fleet has said so since the start."""
    now, told = clock.certain(), clock.told_by_fleet
    keep_certain(tx, now)
    return now, told


def load_certain(connection: sqlite3.Connection) -> int | None:
    row = connection.execute("SELECT floor FROM clock WHERE id = 2").fetchone()
    return int(row["floor"]) if row else None


def keep_certain(tx: sqlite3.Connection, certain: int) -> None:
    tx.execute("INSERT INTO clock VALUES (2, ?) ON CONFLICT (id) DO UPDATE SET floor = excluded.floor", (certain,))


def keep_floor(tx: sqlite3.Connection, floor: int) -> None:
    tx.execute("INSERT INTO clock VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET floor = excluded.floor", (floor,))

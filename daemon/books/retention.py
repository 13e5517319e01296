"""Nothing is kept beyond its time: people whose consent or templates came to their end, and backups that still hold
whoever left since. A sweep at each start, and then every so often, on a thread of its own.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from daemon.books.box_db import BoxDb
from daemon.config.model import Config
from daemon.logs import note
from daemon.people import box_store, leaving
from daemon.people.leaving import Departures
from daemon.people.members import Members
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from secure_store.errors import StoreError

log = logging.getLogger("daemon.books.retention")

DAY_S = 24 * 3600
AGAIN_S = 60.0  # where the store did not open
NOT_TOLD_S = 5.0  # where the fleet has not said the time yet


@dataclass(frozen=True)
class Keeping:
    """How long what is kept. `template_days` and `backups` may be None: no limit, no folder to look into."""

    sweep_s: float = float(DAY_S)
    template_days: int | None = None
    backups: Path | None = None
    backup_days: int = 30
    journal_days: int | None = None


def keeping_of(config: Config) -> Keeping:
    enrolment, backups = config.enrolment, config.box.state / box_store.BACKUPS
    return Keeping(
        enrolment.sweep_hours * 3600,
        enrolment.template_days,
        backups,
        config.store.backup_days,
        config.journal.keep_days or None,
    )


class Retention:
    """On the main loop; `finish` waits for a sweep that is under way."""

    def __init__(self, db: BoxDb, members: Members, link: FleetLink, clock: TrustedClock, keeping: Keeping) -> None:
        self._db, self._members, self._clock, self._keeping = db, members, clock, keeping
        self._departures = Departures(db, link, clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retention")
        self._resolved, self._due_s, self._failures = False, 0.0, 0

    def work(self, now: float, reader: sqlite3.Connection, sent: Callable[[], None]) -> None:
        """Returns at once. `sent` is called once something is to be sent."""
        self._departures.work(now, reader, sent)
        if now < self._due_s:
            return
        self._due_s = now + (self._keeping.sweep_s if self._clock.told_by_fleet else NOT_TOLD_S)
        if self._members.keeps_people:
            self._thread.submit(self._sweep)

    def finish(self) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _sweep(self) -> None:
        try:
            store = self._members.store
            if not self._resolved:
                leaving.resolve(store, self._db)
                self._resolved = True
            if self._clock.told_by_fleet:  # nothing is ended by a clock that may be wrong, or was set by a stranger
                self.sweep()
            self._failures = 0
        except StoreError as error:  # a store without its key stays so until somebody comes: each line wears the card
            pause_s = min(AGAIN_S * 2**self._failures, self._keeping.sweep_s)
            self._failures += 1
            note(log, "sweep_failed", logging.ERROR, why=type(error).__name__, again_s=round(pause_s))
            self._due_s = time.monotonic() + pause_s
        except Exception as error:  # a sweep that fails must not end the box: the next one is in an hour or a day
            note(log, "sweep_failed", logging.ERROR, why=type(error).__name__)

    def sweep(self) -> tuple[str, ...]:
        """Who was erased. Raises StoreError."""
        wall, keeping = self._clock.now(), self._keeping
        age_s = None if keeping.template_days is None else keeping.template_days * DAY_S
        gone = leaving.erase_expired(self._members.store, self._db, wall, age_s)
        if gone:
            self._members.reload()
        old = [] if keeping.backups is None else box_store.drop_old_backups(keeping.backups, wall, keeping.backup_days)
        if gone or old:
            note(log, "swept", people=len(gone), backups=len(old))
        return gone

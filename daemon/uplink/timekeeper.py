"""When the fleet is asked for the time, and when the last trusted moment is written down."""

from __future__ import annotations

import sqlite3

from daemon.books.box_db import BoxDb
from daemon.uplink import clock as clocks
from daemon.uplink import contract
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink

ASK_EVERY_S = 6 * 3600.0  # a quartz is some two seconds off by then; the answer is a commit, too
ASK_AGAIN_S = 15.0  # while the clock is not trusted, or a message's times have made it doubtful


class Timekeeper:
    """The main loop's: `work` at `due_s`, and whenever something happened."""

    def __init__(self, clock: TrustedClock, link: FleetLink, db: BoxDb) -> None:
        self._clock, self._link, self._db = clock, link, db
        self._floor_due_s = 0.0
        self._ask_due_s = 0.0
        self._asked_s = -ASK_AGAIN_S

    @property
    def due_s(self) -> float:
        """Monotonic seconds."""
        return min(self._floor_due_s, self._ask_due_s)

    def doubt(self) -> None:
        """Something says that the clock may be wrong, or the link is new: ask, but not again and again."""
        self._ask_due_s = min(self._ask_due_s, self._asked_s + ASK_AGAIN_S)

    def work(self, now: float) -> None:
        """Asks and writes what is due; returns at once."""
        if now >= self._ask_due_s:
            self._ask_due_s = now + (ASK_EVERY_S if self._clock.trusted else ASK_AGAIN_S)
            self._clock.follow_ntp()
            if self._link.connected:
                self._asked_s = now
                self._link.say("time.request", contract.time_request(self._clock.ask()))
        if now >= self._floor_due_s:
            self._floor_due_s = now + clocks.FLOOR_EVERY_S
            self.write_floor()

    def write_floor(self) -> None:
        floor, certain = self._clock.floor(), self._clock.certain()

        def keep(tx: sqlite3.Connection) -> None:
            clocks.keep_certain(tx, certain)
            if floor is not None:
                clocks.keep_floor(tx, floor)

        self._db.submit(keep)

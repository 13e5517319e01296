"""A payer's tries at this box, which the other boxes of the tenant are to hear of."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable

from daemon.books import fleet_tries, pin_tries
from daemon.books.box_db import BoxDb
from daemon.books.pin_tries import Try
from daemon.logs import note
from daemon.uplink.clock import TrustedClock, certain_at
from daemon.uplink.fleet_link import FleetLink
from mqtt.outbox import Priority
from mqtt.schemas import TriesBody

log = logging.getLogger("daemon.people.payer_tries")

TOLD_FOR_S = 24 * 3600


class PayerTries:
    """Thread-safe: every count is a transaction on the database's thread."""

    def __init__(self, db: BoxDb, link: FleetLink, clock: TrustedClock) -> None:
        self._db, self._link, self._clock = db, link, clock

    def count(self, name: str) -> Try:
        """One try is on disk, as wrong, when it returns; and that the fleet does not know of it yet."""

        def job(tx: sqlite3.Connection) -> Try:
            now, told = certain_at(tx, self._clock)
            return fleet_tries.count(tx, name, now, sure=told)

        return self._db.run(job)

    def ended(self, guessed: bool, names: Iterable[str]) -> None:
        """None of these was right: where it was a guess, the fleet is told. Returns at once."""
        counted = tuple(names)

        def job(tx: sqlite3.Connection) -> None:
            for name in counted if not guessed else ():
                fleet_tries.not_wrong(tx, name)
            self._tell(tx)

        self._db.submit(job)
        self._link.flush()

    def take_up(self) -> None:
        """After a start: what a pulled plug left untold."""
        self._db.submit(self._tell)

    def adopt(self, tx: sqlite3.Connection, said: TriesBody) -> None:
        """What the fleet says of all boxes' tries, in the caller's transaction."""
        locked = [one for one in said.payers if fleet_tries.adopt(tx, one) and one.wrong >= pin_tries.MAX_TRIES]
        if locked:
            note(log, "payers_locked_by_fleet", count=len(locked))

    def _tell(self, tx: sqlite3.Connection) -> None:
        for event in fleet_tries.to_tell(tx, self._clock.now()):
            # before the pay request of a later, right one: the priority of money
            self._link.put(tx, "event", event, TOLD_FOR_S, Priority.MONEY)


def locks_begin_anew(tx: sqlite3.Connection, before: int, clock: TrustedClock) -> None:
    """Where the fleet has said the time, what was locked before is locked for its whole length from now."""
    now, told = certain_at(tx, clock)
    if told:
        pin_tries.begin_anew(tx, before, now)

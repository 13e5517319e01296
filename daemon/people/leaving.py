"""Somebody leaves: erased, or with a consent withdrawn. The store forgets, the PIN tries go, the journal has a line
that names nobody, and the fleet is told who, however long the link is down.

What is meant is on disk before the store is touched: after a power cut between the two, `resolve` finds what happened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from daemon.books import fleet_tries, journal
from daemon.books.box_db import BoxDb
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.outbox import Priority
from mqtt.schemas import EventBody
from secure_store.errors import PersonUnknown
from secure_store.store import SecureStore

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made

EVENT_LIFE_S = 24 * 3600
TELL_EVERY_S = 30.0
AT_ONCE = 200  # told in one go


class Why(StrEnum):
    """On whose word, or by what rule."""

    TECHNICIAN = "technician"
    EXPIRED = "expired"  # the consent or the templates had come to their end
    FLEET = "fleet"


@dataclass(frozen=True, slots=True)
class Departure:
    """`event` is what the fleet is told: `erase.done` or `consent.withdrawn`."""

    handle: str
    event: str
    why: str
    at: int


def create_schema(database: sqlite_utils.Database) -> None:
    """`done`: 0 while it is only meant. `outbox`: the message that tells it, until that was delivered."""
    database.table("departures").create(
        {"handle": str, "event": str, "why": str, "at": int, "done": int, "outbox": int, "exp": int},
        pk=("handle", "event"), not_null={"why", "at", "done"}, if_not_exists=True,
    )  # fmt: skip


def erase(store: SecureStore, db: BoxDb | None, handle: str, why: Why, now: int) -> None:
    """Gone when it returns; the fleet is told by `Departures.tell`. Without a `db` nothing is told or journaled.

    Raises StoreError.
    """
    leaving = Departure(handle, "erase.done", why, now)
    _mean(db, leaving)
    try:
        store.erase(handle)
    except PersonUnknown:
        _forget(db, leaving)
        raise
    _finish(db, leaving)


def erase_expired(store: SecureStore, db: BoxDb | None, now: int, template_age_s: int | None = None) -> tuple[str, ...]:
    """Everyone whose consent, or every template, has come to its end; their handles. Raises StoreError."""
    handles = store.expired(template_age_s)
    for handle in handles:
        erase(store, db, handle, Why.EXPIRED, now)
    return handles


def withdraw(store: SecureStore, db: BoxDb | None, handle: str, purposes: Iterable[str], now: int) -> None:
    """Ends the consent to these purposes (none: to all), from now on. The record goes with the next sweep when nothing
    of it is left. Raises StoreError.
    """
    named = frozenset(purposes)
    leaving = Departure(handle, "consent.withdrawn", Why.TECHNICIAN, now)
    _mean(db, leaving)
    try:
        store.withdraw(handle, named or None)
    except PersonUnknown:
        _forget(db, leaving)
        raise
    _finish(db, leaving)


def resolve(store: SecureStore, db: BoxDb) -> None:
    """After a start: what was meant, and cut off by a power cut, either happened or is forgotten. Raises StoreError."""

    def job(tx: sqlite3.Connection) -> None:
        for row in tx.execute("SELECT * FROM departures WHERE done = 0").fetchall():
            leaving = Departure(row["handle"], row["event"], row["why"], row["at"])
            (note if _happened(store, leaving) else _drop)(tx, leaving)

    db.run(job)


def _happened(store: SecureStore, leaving: Departure) -> bool:
    if leaving.event == "erase.done":
        return store.was_erased(leaving.handle)
    try:
        receipts = store.own_data(leaving.handle).receipts
    except PersonUnknown:
        return True  # gone altogether
    return any(one.withdrawn_at is not None and one.withdrawn_at >= leaving.at for one in receipts)


def note(tx: sqlite3.Connection, left: Departure) -> None:
    """It happened: the PIN tries go, the journal gets its line, and the fleet is to be told."""
    tx.execute(
        "INSERT INTO departures VALUES (?,?,?,?,1,NULL,NULL) ON CONFLICT (handle, event) DO UPDATE SET"
        " why = excluded.why, at = excluded.at, done = 1, outbox = NULL, exp = NULL",
        (left.handle, left.event, left.why, left.at),
    )
    if left.event == "erase.done":
        fleet_tries.forget(tx, left.handle)
    # Nothing is ever taken out of a journal, so nobody who left is named in it.
    journal.append(tx, left.event.replace(".", "_"), {"why": left.why}, left.at)


class Departures:
    """Tells the fleet; on the main loop. A row goes once its message was delivered; one that expired is told again."""

    def __init__(self, db: BoxDb, link: FleetLink, clock: TrustedClock) -> None:
        self._db, self._link, self._clock = db, link, clock
        self._due_s = 0.0

    def work(self, now: float, reader: sqlite3.Connection, sent: Callable[[], None]) -> None:
        """Returns at once, and writes nothing where nobody left. `sent` is called once something is to be sent."""
        if now < self._due_s:
            return
        self._due_s = now + TELL_EVERY_S
        if reader.execute("SELECT 1 FROM departures WHERE done = 1 LIMIT 1").fetchone() is None:
            return

        def job(tx: sqlite3.Connection) -> None:
            if self.tell(tx, self._clock.now()):
                sent()

        self._db.submit(job)

    def tell(self, tx: sqlite3.Connection, wall: int) -> int:
        """Signs what was not told yet, in the caller's transaction; how many."""
        told = 0
        for row in tx.execute("SELECT * FROM departures WHERE done = 1 ORDER BY at LIMIT ?", (AT_ONCE,)).fetchall():
            left = Departure(row["handle"], row["event"], row["why"], row["at"])
            if row["outbox"] is not None:
                waits = tx.execute("SELECT 1 FROM outbox WHERE id = ?", (row["outbox"],)).fetchone() is not None
                if waits:
                    continue
                if wall < row["exp"]:  # it is out of the outbox before its time: it was delivered
                    _drop(tx, left)
                    continue
            body = EventBody(event=left.event, at=left.at, handle=left.handle, reason=left.why)
            self._link.put(tx, "event", body, EVENT_LIFE_S, Priority.CONTROL)
            newest = tx.execute("SELECT max(id) FROM outbox").fetchone()[0]
            tx.execute(
                "UPDATE departures SET outbox = ?, exp = ? WHERE handle = ? AND event = ?",
                (newest, wall + EVENT_LIFE_S, left.handle, left.event),
            )
            told += 1
        return told


def _mean(db: BoxDb | None, leaving: Departure) -> None:
    if db is not None:
        values = (leaving.handle, leaving.event, leaving.why, leaving.at)
        # One that is still being told is left alone: it is told whatever becomes of this.
        db.run(
            lambda tx: tx.execute("INSERT INTO departures VALUES (?,?,?,?,0,NULL,NULL) ON CONFLICT DO NOTHING", values)
        )


def _finish(db: BoxDb | None, left: Departure) -> None:
    if db is not None:
        db.run(lambda tx: note(tx, left))


def _forget(db: BoxDb | None, leaving: Departure) -> None:
    if db is not None:
        named = (leaving.handle, leaving.event)
        db.run(lambda tx: tx.execute("DELETE FROM departures WHERE handle = ? AND event = ? AND done = 0", named))


def _drop(tx: sqlite3.Connection, leaving: Departure) -> None:
    tx.execute("DELETE FROM departures WHERE handle = ? AND event = ?", (leaving.handle, leaving.event))

"""The journal's head, signed now and then and sent to the fleet: whoever cuts the tail off must contradict it.

A checkpoint is made after so many new entries, after so long with any, and at the end of each day (UTC); a box where
nothing happens writes nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.errors import JournalBroken, JournalPruned
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.envelope import TrustedKey, Verifier
from mqtt.errors import EnvelopeRefused
from mqtt.identity import box_id_from_key
from mqtt.outbox import Priority
from mqtt.schemas import CheckpointBody

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made

TYP = "checkpoint"
LIFE_S = 24 * 3600  # as a message: the next one says all that this one did
LOOK_EVERY_S = 60.0
DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Pace:
    """When a checkpoint is due: after `entries` new ones, or `seconds` after the last checkpoint if there are any."""

    entries: int = 200
    seconds: int = 3600


@dataclass(frozen=True, slots=True)
class Checkpoint:
    seq: int
    head: str
    at: int
    token: str


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("checkpoints").create(
        {"seq": int, "head": str, "at": int, "token": str}, pk="seq", not_null={"head", "at", "token"},
        if_not_exists=True,
    )  # fmt: skip


def is_due(last: Checkpoint | None, head: journal.Entry | None, now: int, pace: Pace) -> bool:
    if head is None or (last is not None and head.seq <= last.seq):
        return False
    if last is None:
        return True
    new, age = head.seq - last.seq, now - last.at
    return new >= pace.entries or age >= pace.seconds or now // DAY_S != last.at // DAY_S


def newest(connection: sqlite3.Connection) -> Checkpoint | None:
    row = connection.execute("SELECT * FROM checkpoints ORDER BY seq DESC LIMIT 1").fetchone()
    return Checkpoint(row["seq"], row["head"], row["at"], row["token"]) if row else None


def make(tx: sqlite3.Connection, link: FleetLink, now: int, pace: Pace) -> Checkpoint | None:
    """Signs, keeps and sends the head when one is due, in the caller's transaction."""
    head = next(journal.entries(tx, last=1), None)
    if not is_due(newest(tx), head, now, pace) or head is None:
        return None
    body = CheckpointBody(seq=head.seq, head=head.hash, at=now)
    token = link.put(tx, TYP, body, LIFE_S, Priority.CONTROL)
    tx.execute("INSERT INTO checkpoints VALUES (?,?,?,?)", (head.seq, head.hash, now, token))
    return Checkpoint(head.seq, head.hash, now, token)


def compare(connection: sqlite3.Connection, seq: int, head: str) -> None:
    """Holds the journal against one checkpoint, the box's own or the fleet's copy.

    Raises:
        JournalBroken: where entry `seq` is gone, or is another than was signed.
        JournalPruned: where it was forgotten, and can't be compared any more.
    """
    begin = journal.anchor(connection)
    if begin is not None and seq <= begin.seq:
        if seq == begin.seq and head != begin.head:
            raise JournalBroken(seq, "was another before it was pruned than the one that a signed checkpoint names")
        if seq < begin.seq:
            raise JournalPruned(seq, begin.seq)
        return
    row = connection.execute("SELECT hash FROM journal WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        last = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0]
        raise JournalBroken(last + 1, f"is missing: a signed checkpoint says that there were {seq}")
    if row["hash"] != head:
        raise JournalBroken(seq, "is another than the one that a signed checkpoint names")


def compare_own(connection: sqlite3.Connection) -> int:
    """Holds the journal against every checkpoint that the box kept; their number. Raises JournalBroken."""
    rows = connection.execute("SELECT seq, head FROM checkpoints ORDER BY seq").fetchall()
    for row in rows:
        compare(connection, row["seq"], row["head"])
    return len(rows)


def believe_anchor(begin: journal.Anchor, key: Ed25519PublicKey, fleet: str) -> None:
    """That the box itself signed where its journal begins. Raises JournalBroken."""
    box = box_id_from_key(key)
    try:
        claims = Verifier({box: TrustedKey(box, key)}.get, fleet).verify_carried(
            begin.token.encode("ascii"), TYP, timed=False
        )
    except (EnvelopeRefused, UnicodeEncodeError) as refused:
        raise JournalBroken(
            begin.seq, f"is where the journal begins, and its signature does not hold ({refused})"
        ) from None
    if (claims.body.get("seq"), claims.body.get("head")) != (begin.seq, begin.head):
        raise JournalBroken(begin.seq, "is where the journal begins, and is not what the box signed")


class Checkpointer:
    """The main loop's: `work` now and then. Nothing is read where no clock can be trusted."""

    def __init__(self, db: BoxDb, link: FleetLink, clock: TrustedClock, pace: Pace | None = None) -> None:
        self._db, self._link, self._clock, self._pace = db, link, clock, pace or Pace()
        self._look_due_s = 0.0

    def work(self, now: float, reader: sqlite3.Connection, sent: Callable[[], None]) -> None:
        """Returns at once: the writing is the database thread's. `sent` is called once something is to be sent."""
        if now < self._look_due_s:
            return
        self._look_due_s = now + LOOK_EVERY_S
        if not self._clock.trusted:
            return
        wall = self._clock.now()
        if not is_due(newest(reader), next(journal.entries(reader, last=1), None), wall, self._pace):
            return  # an idle box must not write

        def job(tx: sqlite3.Connection) -> None:
            if make(tx, self._link, wall, self._pace) is not None:
                sent()

        self._db.submit(job)

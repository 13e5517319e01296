"""Forgets the beginning of the journal: only what a checkpoint signed, what the fleet says it holds, and what is old.

A checkpoint becomes the anchor from which the chain is verified from then on. The fleet is asked whether it holds that
very checkpoint, and only its answer lets the entries go; they go in one transaction with the anchor, a line in the
journal that names it, and a repetition of what of the journal is still looked up.
"""

from __future__ import annotations

import json
import logging
import sqlite3

from daemon.books import checkpoints, journal
from daemon.books.box_db import BoxDb
from daemon.books.checkpoints import Checkpoint
from daemon.logs import note
from daemon.people import box_store, witness_file
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.schemas import CheckpointAckBody, CheckpointBody

log = logging.getLogger("daemon.books.journal")

DAY_S = 24 * 3600
LOOK_EVERY_S = 3600.0
AT_ONCE = 2000  # entries, where a checkpoint lies so near: nobody waits long behind it
# The newest of each is a state, not a memory.
STILL_LOOKED_UP = (box_store.COUNTED, box_store.FLEETS_FLOOR, witness_file.SEEN)


def candidate(connection: sqlite3.Connection, before: int) -> Checkpoint | None:
    """The checkpoint that may become the anchor: made before `before` (unix seconds), not too far from the beginning,
    and not the newest one, so that something signed always stays."""
    begin = journal.anchor(connection)
    first = 0 if begin is None else begin.seq
    rows = connection.execute(
        "SELECT * FROM checkpoints WHERE seq > ? AND at < ? AND seq < (SELECT max(seq) FROM checkpoints) ORDER BY seq",
        (first, before),
    ).fetchall()
    near = [row for row in rows if row["seq"] <= first + AT_ONCE] or rows[:1]
    return Checkpoint(**dict(near[-1])) if near else None


def prune(tx: sqlite3.Connection, signed: Checkpoint, now: int) -> int:
    """The number of entries forgotten. Raises JournalBroken where the journal is not what was signed: then it stays."""
    checkpoints.compare(tx, signed.seq, signed.head)
    for name in STILL_LOOKED_UP:
        row = tx.execute("SELECT seq, facts FROM journal WHERE name = ? ORDER BY seq DESC LIMIT 1", (name,)).fetchone()
        if row is not None and row["seq"] <= signed.seq:
            journal.append(tx, name, json.loads(row["facts"]), now)
    begin = journal.Anchor(signed.seq, signed.head, signed.at, signed.token)
    journal.append(tx, journal.PRUNED, journal.pruned(begin), now)
    gone = tx.execute("DELETE FROM journal WHERE seq <= ?", (signed.seq,)).rowcount
    tx.execute("DELETE FROM checkpoints WHERE seq < ?", (signed.seq,))
    tx.execute("DELETE FROM journal_anchor")
    tx.execute("INSERT INTO journal_anchor VALUES (?,?,?,?)", (signed.seq, signed.head, signed.at, signed.token))
    return gone


class JournalPruner:
    """The main loop's: both calls return at once."""

    def __init__(self, db: BoxDb, link: FleetLink, clock: TrustedClock, keep_days: int | None) -> None:
        self._db, self._link, self._clock, self._keep_days = db, link, clock, keep_days
        self._due_s = 0.0
        self._asked: Checkpoint | None = None

    def work(self, now: float, reader: sqlite3.Connection) -> None:
        """Asks the fleet, where there is something old. By a clock that nobody told it forgets nothing."""
        if now < self._due_s or self._keep_days is None or not self._clock.told_by_fleet:
            return
        self._due_s = now + LOOK_EVERY_S
        self._asked = candidate(reader, self._clock.now() - self._keep_days * DAY_S)
        if self._asked is not None:
            body = CheckpointBody(seq=self._asked.seq, head=self._asked.head, at=self._asked.at)
            self._link.say(checkpoints.TYP, body)

    def acknowledged(self, said: CheckpointAckBody) -> None:
        """The fleet holds this checkpoint."""
        signed = self._asked
        if signed is None or (said.seq, said.head) != (signed.seq, signed.head):
            return
        self._asked, self._due_s = None, 0.0  # there may be more

        def job(tx: sqlite3.Connection) -> None:
            note(log, "journal_pruned", through=signed.seq, entries=prune(tx, signed, self._clock.now()))

        self._db.submit(job)

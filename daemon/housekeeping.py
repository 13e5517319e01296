"""The chores between two events: free space, checkpoints, what must be forgotten, templates that age."""

from __future__ import annotations

import sqlite3

from daemon.books import commands, payments
from daemon.books.box_db import BoxDb
from daemon.books.checkpoints import Checkpointer
from daemon.books.journal_pruning import JournalPruner
from daemon.books.retention import Keeping, Retention
from daemon.health.disk_space import DiskSpace
from daemon.people.members import Members
from daemon.people.template_update import TemplateUpdate
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from daemon.uplink.inbound import Inbound
from mqtt.schemas import CheckpointAckBody

PRUNE_EVERY_S = 6 * 3600.0  # each time is one more commit on the card
PRUNE_AGAIN_S = 60.0  # while the fleet has not said the time


class Housekeeping:
    """Called at each turn of the loop; each chore knows when it is due, and leaves to a thread what takes long."""

    def __init__(
        self, db: BoxDb, clock: TrustedClock, link: FleetLink, inbound: Inbound, members: Members, keeping: Keeping,
        updates: TemplateUpdate | None,
    ) -> None:  # fmt: skip
        self._db, self._clock, self._link, self._inbound = db, clock, link, inbound
        self._space = DiskSpace(db.path.parent)
        self._checkpoints = Checkpointer(db, link, clock)
        self._journal = JournalPruner(db, link, clock, keeping.journal_days)
        self._retention = Retention(db, members, link, clock, keeping)
        self._updates = updates
        self._prune_due_s = 0.0

    def work(self, now: float, reader: sqlite3.Connection) -> str | None:
        """What the disk's free space says if it was looked at just now: "" for enough, else why it is too little."""
        full = self._space.work(now)
        self._checkpoints.work(now, reader, self._link.flush)
        self._journal.work(now, reader)
        self._retention.work(now, reader, self._link.flush)
        if self._updates is not None:
            self._updates.work(now, reader)
        if now >= self._prune_due_s:
            self._prune_due_s = now + (PRUNE_EVERY_S if self._clock.told_by_fleet else PRUNE_AGAIN_S)
            self._prune()
        return full

    def acknowledged(self, said: CheckpointAckBody) -> None:
        """The fleet holds a checkpoint."""
        self._journal.acknowledged(said)

    def finish(self) -> None:
        """Waits for what runs on a thread."""
        self._retention.finish()

    def _prune(self) -> None:
        self._inbound.forget()
        wall = self._clock.now()

        def prune(tx: sqlite3.Connection) -> None:
            self._link.inbox.prune(tx, wall)
            self._link.outbox.prune(tx, wall)
            payments.prune(tx, wall)
            commands.prune(tx, wall - payments.KEPT_S)

        if self._clock.told_by_fleet:  # by any other clock a stranger could have messages forgotten, and sent again
            self._db.submit(prune)

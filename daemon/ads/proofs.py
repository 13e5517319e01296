"""What was shown on its way to the fleet: noted in memory, kept in box.db now and then, said until acknowledged."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from daemon.ads import plays
from daemon.ads.plays import Pending, Play
from daemon.books.box_db import BoxDb
from daemon.logs import note
from mqtt.schemas import PlayAckBody, PlayBody

log = logging.getLogger("daemon.ads")

KEEP_EVERY_S = 600.0  # an idle box must not wear out its card; what is noted meanwhile lies in memory
KEEP_AFTER = plays.BATCH
SAY_AGAIN_S = 120.0


class Proofs:
    """The main loop's, but for `note`, which is the player's thread's. Each call returns at once.

    What was taken from the notes is kept by one job at a time: the next one is taken only when that has ended, however
    long the disk lets it wait, and where it failed the same showings are taken again.
    """

    def __init__(
        self,
        db: BoxDb,
        reader: sqlite3.Connection,
        notes: Path,
        say: Callable[[PlayBody], object],
        connected: Callable[[], bool],
    ) -> None:
        self._db, self._reader = db, reader
        self._say_to_the_fleet, self._connected = say, connected
        self._pending = Pending(notes)
        self._noted = 0  # since the last taking, about: it decides when, never what
        self._keeping = False
        self._left = False  # there are notes, though perhaps none since the last taking
        self._refused = False
        self._keep_due_s = 0.0
        self._say_due_s = 0.0

    def note(self, play: Play) -> None:
        self._pending.note(play)
        self._noted += 1

    def work(self, now: float) -> None:
        """Now and then: notes become rows, and rows go to the fleet. `now`: monotonic seconds."""
        if not self._keeping and self._keep_is_due(now):
            self._keep_due_s = now + KEEP_EVERY_S
            self._keep()
        if now >= self._say_due_s and self._connected():
            self._say_due_s = now + SAY_AGAIN_S
            self._say()

    def acknowledged(self, body: PlayAckBody) -> None:
        def job(tx: sqlite3.Connection) -> None:
            plays.acknowledge(tx, body.through)

        self._db.submit(job).add_done_callback(lambda _: self._soon())

    def _keep_is_due(self, now: float) -> bool:
        if now >= self._keep_due_s:
            return self._noted > 0 or self._left
        return self._noted >= KEEP_AFTER and not self._refused

    def _soon(self) -> None:
        self._say_due_s = 0.0

    def _keep(self) -> None:
        self._noted = 0
        try:
            batch = self._pending.take()
        except OSError as error:  # no advertisement ends the box; what is noted stays where it is
            self._left = self._refused = True
            note(log, "plays_not_taken", logging.ERROR, why=error.strerror or str(error))
            return
        self._keeping = True

        def job(tx: sqlite3.Connection) -> None:
            dropped = plays.keep(tx, batch)
            if dropped:
                note(log, "plays_dropped", logging.WARNING, count=dropped)

        def kept(future: Future[None]) -> None:
            self._refused = future.exception() is not None
            if self._refused:
                self._left = True
            else:
                try:
                    self._left = self._pending.kept()
                except OSError as error:  # nothing more is taken: these would be counted again after an acknowledgement
                    note(log, "plays_not_cleared", logging.ERROR, why=error.strerror or str(error))
                    return
                self._soon()
            self._keeping = False  # last: until now what lies aside is this batch

        self._db.submit(job).add_done_callback(kept)

    def _say(self) -> None:
        rows = plays.unacknowledged(self._reader)
        if not rows:
            return
        body = PlayBody.model_validate(
            {
                "first": rows[0][0],
                "plays": [
                    {
                        "seq": seq, "campaign": play.campaign, "sha256": play.sha256, "slot": play.slot,
                        "at": play.at, "seconds": play.seconds,
                    }
                    for seq, play in rows
                ],
            },
            strict=False,
        )  # fmt: skip
        self._say_to_the_fleet(body)

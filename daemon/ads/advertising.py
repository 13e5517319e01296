"""Advertisements as the main loop sees them: fetched, shown and proven elsewhere; here each call returns at once."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.ads import killed, plays
from daemon.ads.decoder import Decoder
from daemon.ads.placing import VIEW_OF, has_room, placed, slot_of
from daemon.ads.player import Player, Stage
from daemon.ads.plays import Pending, Play
from daemon.books.box_db import BoxDb
from daemon.content.over_mqtt import Pieces
from daemon.content.store import ContentStore
from daemon.content.worker import ContentWorker
from daemon.front.painter import Painter
from daemon.logs import note
from daemon.screen.views import View
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.campaigns import Campaigns, Slot
from mqtt.schemas import ContentChunkBody, PlayAckBody, PlayBody

log = logging.getLogger("daemon.ads")

KEEP_EVERY_S = 600.0  # an idle box must not wear out its card; what is noted meanwhile lies in memory
KEEP_AFTER = plays.BATCH
SAY_AGAIN_S = 120.0

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Means:
    """Built by `daemon.ads.opening`."""

    db: BoxDb
    link: FleetLink
    clock: TrustedClock
    painter: Painter
    store: ContentStore
    notes: Path
    places: frozenset[str]
    stopping: threading.Event
    pieces: Pieces | None
    worker_of: Callable[[Callable[[Campaigns | None], None]], ContentWorker]


class Advertising:
    """Not thread-safe but for what its threads call: the main loop's."""

    def __init__(self, means: Means) -> None:
        self._m = means
        self._pending = Pending(means.notes)
        self._noted = 0
        self._reader = means.db.reader()
        self._slot: Slot | None = None
        self._said_version: int | None = None
        self._keep_due_s = 0.0
        self._say_due_s = 0.0
        self._player = Player(
            Stage(
                means.store, self._decoder, self._paint, self._note,
                lambda: means.clock.now() if means.clock.trusted else None, means.places,
            )
        )  # fmt: skip
        self._worker = means.worker_of(self._player.adopt)

    def start(self) -> None:
        self._player.kill(killed.load(self._reader))
        self._player.start()
        self._worker.start()

    def stop(self) -> None:
        """May be called twice."""
        self._m.stopping.set()
        self._player.stop()
        self._worker.stop()
        self._reader.close()

    @property
    def versions(self) -> dict[str, int]:
        """For the box's state: what it has of the fleet's content."""
        return {"content": self._worker.version} if self._worker.version is not None else {}

    def moved(self) -> bool:
        """Whether there is other content than when this was asked last."""
        version = self._worker.version
        moved, self._said_version = version != self._said_version, version
        return moved

    def shown(self, view: View | None) -> None:
        """What the display shows now: whether there is room, and none for anyone while somebody is at the counter."""
        slot = slot_of(view)
        if slot is not None and not has_room(slot, self._m.painter.size):
            slot = None
        if slot is self._slot:
            return
        self._slot = slot
        if slot is None:
            self._player.close()
        else:
            self._player.open(slot)

    def announced(self) -> None:
        self._worker.look()

    def arrived(self, chunk: ContentChunkBody) -> None:
        if self._m.pieces is not None:
            self._m.pieces.arrived(chunk)

    def kill(self, campaigns: Collection[str]) -> Future[None]:
        """Off the display at once, and on disk when the future resolves."""
        off = frozenset(campaigns)
        self._player.kill(off)
        return self._m.db.submit(lambda tx: killed.keep(tx, off))

    # ---- proofs of play ------------------------------------------------------------------------------------------

    def work(self, now: float) -> None:
        """Now and then: notes become rows, and rows go to the fleet."""
        if self._noted and (now >= self._keep_due_s or self._noted >= KEEP_AFTER):
            self._keep_due_s = now + KEEP_EVERY_S
            self._keep()
        if now >= self._say_due_s and self._m.link.connected:
            self._say_due_s = now + SAY_AGAIN_S
            self._say()

    def acknowledged(self, body: PlayAckBody) -> None:
        def job(tx: sqlite3.Connection) -> None:
            plays.acknowledge(tx, body.through)

        self._m.db.submit(job).add_done_callback(lambda _: self._soon())

    def _soon(self) -> None:
        self._say_due_s = 0.0

    def _keep(self) -> None:
        self._noted = 0
        batch = self._pending.take()

        def job(tx: sqlite3.Connection) -> None:
            dropped = plays.keep(tx, batch)
            if dropped:
                note(log, "plays_dropped", logging.WARNING, count=dropped)

        def kept(future: Future[None]) -> None:
            if future.exception() is None:
                self._pending.kept()
                self._soon()

        self._m.db.submit(job).add_done_callback(kept)

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
        self._m.link.say("play", body)

    # ---- on the player's thread ----------------------------------------------------------------------------------

    def _decoder(self) -> Decoder:
        return Decoder(self._m.painter.size)

    def _paint(self, slot: Slot, pixels: Pixels | None) -> None:
        if pixels is None:
            self._m.painter.advertise(VIEW_OF[slot], None)
        else:
            self._m.painter.advertise(VIEW_OF[slot], placed(slot, pixels, self._m.painter.size))

    def _note(self, play: Play) -> None:
        self._pending.note(play)
        self._noted += 1


def take_over(db: BoxDb, notes: Path) -> int:
    """At a start: what the last run noted and did not come to keep. How many showings."""
    pending, count = Pending(notes), 0
    for _ in range(2):  # what was put aside, and what was noted after that
        left = pending.take()
        if left:
            db.run(partial(plays.keep, plays=left))
        pending.kept()
        count += len(left)
    return count

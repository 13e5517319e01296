"""Advertisements as the main loop sees them: fetched, shown and proven elsewhere; here each call returns at once."""

from __future__ import annotations

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
from daemon.ads.plays import Pending
from daemon.ads.proofs import Proofs
from daemon.books.box_db import BoxDb
from daemon.content.over_mqtt import Pieces
from daemon.content.store import ContentStore
from daemon.content.worker import ContentWorker
from daemon.front.painter import Painter
from daemon.screen.views import View
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.campaigns import Campaigns, Slot
from mqtt.schemas import ContentChunkBody, PlayAckBody

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
        self._reader = means.db.reader()
        self._proofs = Proofs(
            means.db, self._reader, means.notes, partial(means.link.say, "play"), lambda: means.link.connected
        )
        self._slot: Slot | None = None
        self._said_version: int | None = None
        self._player = Player(
            Stage(
                means.store, self._decoder, self._paint, self._proofs.note,
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
        self._proofs.work(now)

    def acknowledged(self, body: PlayAckBody) -> None:
        self._proofs.acknowledged(body)

    # ---- on the player's thread ----------------------------------------------------------------------------------

    def _decoder(self) -> Decoder:
        return Decoder(self._m.painter.size)

    def _paint(self, slot: Slot, pixels: Pixels | None) -> None:
        if pixels is None:
            self._m.painter.advertise(VIEW_OF[slot], None)
        else:
            self._m.painter.advertise(VIEW_OF[slot], placed(slot, pixels, self._m.painter.size))


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

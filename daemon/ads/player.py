"""Shows advertisements while nobody is at the counter: a thread that picks, decodes, paints and notes what was shown.

The main loop opens a slot and closes it; closing takes effect at once and needs nothing of this thread, because the
painter shows an advertisement only under the view it was made for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from daemon.ads.choosing import Moment, Pick, Standing, pick
from daemon.ads.decoder import AdUnreadable, Decoder
from daemon.ads.plays import Play, new_play
from daemon.content.store import ContentStore
from daemon.logs import note
from mqtt.campaigns import Campaigns, Item, Kind, Slot

log = logging.getLogger("daemon.ads")

Pixels = NDArray[np.uint8]
NOTHING_TO_SHOW_S = 30.0
AFTER_FAULT_S = 5.0


@dataclass(frozen=True)
class Stage:
    """What the player works with. `paint(None)` gives the display back; `noted` gets each complete showing."""

    store: ContentStore
    decoder: Callable[[], Decoder]  # made when it is first needed: the display may come late
    paint: Callable[[Slot, Pixels | None], None]
    noted: Callable[[Play], None]
    now: Callable[[], int | None]  # unix seconds, None while no clock can be trusted
    places: frozenset[str] = frozenset()


@dataclass
class _Wanted:
    slot: Slot | None = None
    campaigns: Campaigns | None = None
    killed: frozenset[str] = frozenset()
    changed: bool = False


class Player:
    """`open`, `close`, `adopt` and `kill` may be called from any thread and return at once."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._wake = threading.Condition()
        self._wanted = _Wanted()
        self._standing = Standing()
        self._bad: dict[str, str] = {}
        self._sound: set[str] = set()  # read whole since the start, and what was signed
        self._decoder: Decoder | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="ads", daemon=True)

    @property
    def unreadable(self) -> dict[str, str]:
        """Files that could not be shown, by SHA-256, and why."""
        with self._wake:
            return dict(self._bad)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """May be called twice."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread.is_alive():
            self._thread.join(15)
        if self._decoder is not None:
            self._decoder.close()

    def open(self, slot: Slot) -> None:
        """This slot is in view now."""
        self._change(slot=slot)

    def close(self) -> None:
        """No slot is: whatever was being shown was not shown whole, and is not counted."""
        self._change(slot=None)

    def adopt(self, campaigns: Campaigns | None) -> None:
        """The campaigns that count from now on; files that were bad are tried again."""
        with self._wake:
            self._bad.clear()
        self._change(campaigns=campaigns)

    def kill(self, campaigns: frozenset[str]) -> None:
        """Campaigns that must not be shown: one that is on the display goes at once."""
        self._change(killed=campaigns)

    def _change(self, **changes: object) -> None:
        with self._wake:
            for name, value in changes.items():
                if getattr(self._wanted, name) != value:
                    setattr(self._wanted, name, value)
                    self._wanted.changed = True
            self._wake.notify_all()

    # ---- the thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._wanted.slot is not None)
                if self._stopping:
                    return
                wanted, self._wanted.changed = self._wanted, False
                slot, campaigns, killed = wanted.slot, wanted.campaigns, wanted.killed
            assert slot is not None
            try:
                self._next(slot, campaigns, killed)
            except Exception:  # no memory, no room in /run, a card that breaks: the next one may go
                log.exception("event=ads_fault")
                self._rest(AFTER_FAULT_S)

    def _next(self, slot: Slot, campaigns: Campaigns | None, killed: frozenset[str]) -> None:
        chosen = self._pick(slot, campaigns, killed)
        if chosen is None:
            self._stage.paint(slot, None)
            self._rest(NOTHING_TO_SHOW_S)
        else:
            self._show(slot, chosen)

    def _pick(self, slot: Slot, campaigns: Campaigns | None, killed: frozenset[str]) -> Pick | None:
        now = self._stage.now()
        if campaigns is None or now is None:  # a campaign that is over must not be shown by a clock that is wrong
            return None
        chosen, self._standing = pick(
            campaigns, slot, Moment.local(now), self._stage.places, killed, self._standing, self._usable
        )
        return chosen

    def _usable(self, item: Item) -> bool:
        return item.sha256 not in self._bad and self._stage.store.has(item.sha256, item.length)

    def _show(self, slot: Slot, chosen: Pick) -> None:
        item = chosen.item
        began = self._stage.now()
        try:
            whole = self._perform(slot, item)
        except AdUnreadable as bad:
            note(log, "ad_unreadable", logging.WARNING, campaign=chosen.campaign, target=item.target, why=bad.why)
            with self._wake:
                self._bad[item.sha256] = bad.why
            return
        if whole and began is not None:
            self._stage.noted(new_play(chosen.campaign, item.sha256, slot.value, began, item.seconds))

    def _perform(self, slot: Slot, item: Item) -> bool:
        """Whether it was shown for all of its time. A video shorter than that begins again."""
        path = self._verified(item)
        decoder = self._decoder = self._decoder or self._stage.decoder()
        pixels = decoder.open(path, item.kind)
        began_s = time.monotonic()
        ends_s = began_s + item.seconds
        self._stage.paint(slot, pixels)
        while item.kind is Kind.VIDEO and time.monotonic() < ends_s:
            frame = decoder.next()
            if frame is None:
                began_s = time.monotonic()
                frame = (0.0, decoder.open(path, item.kind))
            due_s = min(began_s + frame[0], ends_s)
            if self._interrupted(due_s - time.monotonic()):
                return False
            self._stage.paint(slot, frame[1])
        return not self._interrupted(ends_s - time.monotonic())

    def _verified(self, item: Item) -> Path:
        """Raises AdUnreadable."""
        path = self._stage.store.path(item.sha256)
        if item.sha256 not in self._sound:
            if not self._stage.store.sound(item.sha256):
                self._stage.store.forget(item.sha256)
                raise AdUnreadable(path, "its bytes are not those that were signed: it is fetched again")
            self._sound.add(item.sha256)
        return path

    def _interrupted(self, within_s: float) -> bool:
        with self._wake:
            return self._wake.wait_for(lambda: self._stopping or self._wanted.changed, max(0.0, within_s))

    def _rest(self, seconds: float) -> None:
        self._interrupted(seconds)

"""Fetches on a thread of its own: when the fleet announces something, now and then, and again soon after a failure."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.content.errors import ContentRefused, Why
from daemon.content.store import ContentStore
from daemon.content.updating import Round, Source, last_good, refresh
from daemon.logs import note
from mqtt.campaigns import Campaigns

log = logging.getLogger("daemon.content")

FIRST_RETRY_S, LONGEST_RETRY_S = 5.0, 900.0
BETWEEN_ROUNDS_S = 2.0  # however often it is announced
NOT_READY_S = 0.5
IN_VAIN = 3  # so many rounds by the errand's own way alone: a server that is started anew sends no box elsewhere
NO_WAY = frozenset({Why.UNREACHABLE, Why.CUT_OFF})

REFUSED, INCOMPLETE = "content_refused", "content_incomplete"


@dataclass(frozen=True)
class Errand:
    """What the worker works with. Called on its thread: `adopt` with the campaigns that count from now on, `tell` with
    (condition, why it holds, or None when it is over)."""

    folder: Path
    root: bytes
    source: Source
    store: ContentStore
    look_every_s: float
    adopt: Callable[[Campaigns | None], None]
    tell: Callable[[str, str | None], None]
    now: Callable[[], int]  # unix seconds
    ready: Callable[[], bool]  # a clock, without which nothing that expires can be believed; a way to the fleet
    fallback: Source | None = None  # the other way, for where `source` can't be reached


class ContentWorker:
    """`look` may be called from any thread and returns at once."""

    def __init__(self, errand: Errand, stopping: threading.Event) -> None:
        self._errand, self._stopping = errand, stopping
        self._wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="content", daemon=True)
        self._in_vain = 0
        self.version: int | None = None

    def start(self) -> None:
        """What the last round brought is shown at once, network or not."""
        self._errand.adopt(last_good(self._errand.folder))
        self._thread.start()

    def look(self) -> None:
        """There may be something new."""
        self._wanted.set()

    def stop(self) -> None:
        """Ends within a chunk. May be called twice."""
        self._stopping.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            if not self._errand.ready():
                self._stopping.wait(NOT_READY_S)
                continue
            self._wanted.clear()
            failures = 0 if self._round() else failures + 1
            retry_s = min(FIRST_RETRY_S * 2 ** (failures - 1), LONGEST_RETRY_S)
            pause_s = retry_s if failures else self._errand.look_every_s
            self._wanted.wait(random.uniform(0.5, 1.0) * pause_s)  # not all boxes of a fleet at once
            self._stopping.wait(BETWEEN_ROUNDS_S)

    def _round(self) -> bool:
        errand = self._errand
        try:
            brought = self._refreshed()
        except ContentRefused as refused:
            if not self._stopping.is_set():
                note(log, "content_refused", logging.WARNING, what=refused.what, why=refused.why, detail=refused.detail)
                errand.tell(REFUSED, str(refused))
            return False
        except Exception as fault:  # a card that breaks, most likely: the thread must be there for the next round
            log.exception("event=content_fault")
            errand.tell(REFUSED, f"{type(fault).__name__}: {fault}. Is the data partition writable?")
            return False
        errand.tell(REFUSED, None)
        self._report(brought)
        self.version = brought.targets_version
        errand.adopt(brought.campaigns)
        return not brought.refused

    def _refreshed(self) -> Round:
        """By the errand's own way first, and by the other one where that has led nowhere for a while. Raises
        ContentRefused."""
        errand = self._errand
        try:
            brought: Round | ContentRefused = self._by(errand.source)
        except ContentRefused as refused:
            brought = refused
        faults = (brought,) if isinstance(brought, ContentRefused) else brought.refused
        self._in_vain = self._in_vain + 1 if any(one.why in NO_WAY for one in faults) else 0
        if errand.fallback is not None and self._in_vain > IN_VAIN and not self._stopping.is_set():
            note(log, "content_by_the_other_way", rounds_in_vain=self._in_vain)
            return self._by(errand.fallback)
        if isinstance(brought, ContentRefused):
            raise brought
        return brought

    def _by(self, source: Source) -> Round:
        errand = self._errand
        return refresh(errand.folder, errand.root, source, errand.store, errand.now())

    def _report(self, brought: Round) -> None:
        for one in brought.refused:
            note(log, "content_file_refused", logging.WARNING, what=one.what, why=one.why, detail=one.detail)
        if brought.closed and brought.targets_version != self.version:
            note(log, "slot_closed", campaigns=",".join(brought.closed))
        first = str(brought.refused[0]) if brought.refused else None
        self._errand.tell(INCOMPLETE, first)
        if brought.fetched or brought.targets_version != self.version:
            note(log, "content_fetched", version=brought.targets_version, files=brought.fetched)

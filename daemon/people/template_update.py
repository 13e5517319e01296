"""A payment that left no doubt may refresh the payer's templates: approved, with the PIN, without duress, with a very
strong score far from everybody else. Off unless the config says otherwise.

The probe waits in memory for the approval and no longer than a payment lasts; what the store lets in of it, and that it
never leaves the enrolment, is `secure_store.ageing`'s.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.config.model import Config
from daemon.logs import note
from daemon.payment.status import Status
from daemon.people.members import PAY, Members
from daemon.uplink.clock import TrustedClock
from pipeline.match import Matcher, MatchResult
from secure_store.ageing import Aged, Ageing
from secure_store.errors import StoreError
from secure_store.person import Template

log = logging.getLogger("daemon.templates")

WAIT_S = 180.0  # from the look to the approval
LOOK_EVERY_S = 2.0
PIN = "pin"


@dataclass(frozen=True)
class UpdateRule:
    """`score` and `margin` (to the next person) are cosines, and far above what a payment needs."""

    on: bool = False
    score: float = 0.75
    margin: float = 0.35
    ageing: Ageing = field(default_factory=Ageing)


def update_rule_of(config: Config) -> UpdateRule:
    section = config.enrolment
    ageing = Ageing(section.updates_kept, section.update_days * 24 * 3600, section.update_score)
    return UpdateRule(section.update_templates, section.update_score, section.update_margin, ageing)


Choose = Callable[[str | None], Matcher]  # a payer, or None for everybody


@dataclass(frozen=True)
class _Candidate:
    payer: str
    probe: NDArray[np.float32] = field(repr=False)
    score: float
    seen_s: float  # monotonic
    seen_at: int  # unix seconds
    model_hash: str

    def wipe(self) -> None:
        self.probe.fill(0.0)


class TemplateUpdate:
    """`matcher` stands between the looks and the gallery, on the camera's thread; `work` is the main loop's."""

    def __init__(self, db: BoxDb, members: Members, clock: TrustedClock, rule: UpdateRule) -> None:
        self._db, self._members, self._clock, self.rule = db, members, clock, rule
        self._lock = threading.Lock()
        self._candidate: _Candidate | None = None
        self._look_due_s = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="templates")

    def matcher(self, choose: Choose) -> Choose:
        """`choose` with every strong match of the whole gallery remembered; as it is where updates are off."""
        if not self.rule.on:
            return choose

        def watched(payer: str | None) -> Matcher:
            matcher = choose(payer)
            return matcher if payer is not None else _Watched(matcher, self._seen)

        return watched

    def work(self, now: float, reader: sqlite3.Connection) -> None:
        """Returns at once. Whether the one who was seen has paid by now, or will not any more."""
        if now < self._look_due_s:
            return
        self._look_due_s = now + LOOK_EVERY_S
        with self._lock:
            candidate = self._candidate
        if candidate is None:
            return
        if now - candidate.seen_s > WAIT_S:
            self._drop(candidate)
        elif _paid(reader, candidate):
            with self._lock:
                if self._candidate is candidate:
                    self._candidate = None
            self._thread.submit(self._update, candidate)

    def finish(self) -> None:
        self._thread.shutdown(wait=True)
        with self._lock:
            if self._candidate is not None:
                self._candidate.wipe()
            self._candidate = None

    def _seen(self, probe: NDArray[np.float32], found: MatchResult, model_hash: str) -> None:
        strong = found.handle is not None and found.score >= self.rule.score and found.margin >= self.rule.margin
        with self._lock:
            if self._candidate is not None and (strong or self._candidate.payer != found.handle):
                self._candidate.wipe()  # somebody else stands there now
                self._candidate = None
            if strong and found.handle is not None:
                copy = np.array(probe, dtype=np.float32)
                self._candidate = _Candidate(
                    found.handle, copy, found.score, time.monotonic(), self._clock.now(), model_hash
                )

    def _drop(self, candidate: _Candidate) -> None:
        with self._lock:
            if self._candidate is candidate:
                self._candidate = None
        candidate.wipe()

    def _update(self, candidate: _Candidate) -> None:
        try:
            # How good the picture was nobody knows here any more; how like the enrolment it is, is what counts.
            template = Template(candidate.probe, min(1.0, candidate.score), candidate.model_hash)
            became = self._members.store.update_template(candidate.payer, template, PAY, self.rule.ageing)
            if became in (Aged.ADDED, Aged.REPLACED):
                self._members.reload()
                facts: dict[str, str | int] = {"became": became.value, "score": round(candidate.score * 10_000)}
                self._db.run(lambda tx: journal.append(tx, "template_updated", facts, self._clock.now()))
            note(log, "template_update", became=became.value)
        except StoreError as error:
            note(log, "template_update_failed", logging.WARNING, why=type(error).__name__)
        except Exception as error:  # a payment went well; that nothing was learnt from it must not end the box
            note(log, "template_update_failed", logging.ERROR, why=type(error).__name__)
        finally:
            candidate.wipe()


class _Watched:
    """A matcher that tells what it found."""

    def __init__(self, matcher: Matcher, tell: Callable[[NDArray[np.float32], MatchResult, str], None]) -> None:
        self._matcher, self._tell = matcher, tell
        self.model_hash = matcher.model_hash

    def search(self, probe: NDArray[np.float32]) -> MatchResult:
        found = self._matcher.search(probe)
        self._tell(probe, found, self.model_hash)
        return found

    def __len__(self) -> int:
        return len(self._matcher)


def _paid(reader: sqlite3.Connection, candidate: _Candidate) -> bool:
    """By face and PIN, of the payer's own will, after the look."""
    rows = reader.execute(
        "SELECT factors FROM attempts WHERE payer = ? AND status = ? AND changed_at >= ? AND NOT coalesce(duress, 0)",
        (candidate.payer, Status.APPROVED, candidate.seen_at),
    ).fetchall()
    return any(PIN in (row["factors"] or "").split(",") for row in rows)

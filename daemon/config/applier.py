"""The fleet's configs in the running box: judged, stored, taken over between two payments, watched, kept or undone.

Its calls are the main loop's and return at once; files and the database are worked on by a thread of its own, which
tells the loop with `ConfigNews`. On disk stands at each moment what a start goes by (`daemon.config.generations`), so a
power cut anywhere leaves either the config before or the one on trial, and the trial is watched from its beginning.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.config import allowed, generations
from daemon.config.generations import Document, Generations
from daemon.config.load import ConfigRefused, Loaded, load_all, with_document
from daemon.config.model import Config
from daemon.config.probation import Probation, Verdict
from daemon.logs import note
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink, Message
from mqtt.outbox import Priority
from mqtt.schemas import ConfigBody

log = logging.getLogger("daemon.config")

REPORT_LIFE_S = 24 * 3600
REFUSED = "config_refused"  # the condition: the fleet's newest document is not in force
WRITE_AGAIN_S = 5.0  # after a fault of the disk


@dataclass(frozen=True)
class Ready:
    """What the box is to go by from the next quiet moment on. `restart`: the process must begin anew for it."""

    version: int
    loaded: Loaded
    restart: bool


@dataclass(frozen=True)
class ConfigNews:
    """What stands on disk now. `fault`: it could not be written, and nothing of the fleet's message counts."""

    generations: Generations
    ready: Ready | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Moment:
    """How the box is while the loop asks. `quiet`: nobody pays, and no payment is unsettled. `looked`: whether what is
    looked after was looked at since the start."""

    now_s: float
    quiet: bool
    conditions: Mapping[str, str]
    looked: bool


class ConfigApplier:
    """The main loop's; `tell` is called on its worker thread."""

    def __init__(
        self, path: Path, loaded: Loaded, *, db: BoxDb, link: FleetLink, clock: TrustedClock,
        tell: Callable[[ConfigNews], None], restart: Callable[[], None],
    ) -> None:  # fmt: skip
        self._path, self._state = path, loaded.config.box.state
        self._db, self._link, self._clock = db, link, clock
        self._tell, self._restart = tell, restart
        self._config, self._left_out = loaded.config, loaded.left_out
        self._generations = generations.read(self._state).generations
        self._version = self._generations.running_version
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="fleet-config")
        self._copies: dict[str, list[Message]] = {}
        self._ready: Ready | None = None
        self._preparing = self._settling = False
        self._probation: Probation | None = None
        self._failed, self._rests_until_s = False, 0.0

    @property
    def config(self) -> Config:
        """What the process goes by; any thread may ask."""
        return self._config

    @property
    def versions(self) -> dict[str, int]:
        """For the state: what is in force, and the newest that was ever seen."""
        return {"config": 0 if self._left_out else self._version, "config_seen": self._generations.floor}

    @property
    def condition(self) -> str | None:
        """Why the fleet's newest config is not in force, None while it is (or is being tried)."""
        if self._left_out:
            return self._left_out[0]
        outcome = self._generations.outcome
        if outcome is None or outcome.outcome == "applied":
            return None
        first = f"{outcome.errors[0][0]}: {outcome.errors[0][1]}" if outcome.errors else outcome.reason
        return f"version {outcome.version} was {outcome.outcome.replace('_', ' ')}: {first}"

    def begin(self) -> None:
        """At the start of the loop: what the fleet has not heard yet is said."""
        trial = self._generations.trial
        if trial is not None or (self._generations.outcome is not None and not self._generations.outcome.told):
            self._worker.submit(self._guarded, self._report)
        if trial is not None:
            note(log, "config_on_trial", version=trial.document.version, beginnings=trial.beginnings)

    def arrived(self, message: Message, body: ConfigBody, moment: Moment) -> None:
        """A verified document. It is acknowledged on the wire once it is on disk, with what became of it."""
        copies = self._copies.setdefault(message.claims.jti, [])
        copies.append(message)
        if len(copies) == 1:
            self._worker.submit(self._guarded, lambda: self._judge(message, body, tuple(moment.conditions)))

    def heard(self, news: ConfigNews) -> None:
        self._generations = news.generations
        self._ready = news.ready or self._ready
        self._preparing = self._preparing and news.ready is None and news.fault is None
        self._settling = False
        self._failed = self._failed or news.fault is not None

    def work(self, moment: Moment) -> Config | None:
        """What is due. A config that the loop is to go by from now on, when there is one."""
        if self._failed:  # a disk that took nothing is not asked again at once, for each event anew
            self._failed, self._rests_until_s = False, moment.now_s + WRITE_AGAIN_S
        if moment.now_s < self._rests_until_s:
            return None
        self._watch(moment)
        target = self._generations.running_version
        if target == self._version:
            self._ready = None
            return None
        if self._ready is None or self._ready.version != target:
            if not self._preparing:
                self._preparing = True
                self._worker.submit(self._guarded, self._prepare)
            return None
        return self._change(self._ready, moment) if moment.quiet else None

    def due_s(self, now_s: float) -> float | None:
        """When `work` wants to be called again though nothing happened, monotonic seconds."""
        if now_s < self._rests_until_s:
            return self._rests_until_s
        return self._probation.next_look_s(now_s) if self._probation is not None else None

    def finish(self) -> None:
        """Waits for what was begun."""
        self._worker.shutdown(wait=True)

    # ---- on the main loop ---------------------------------------------------------------------------------------

    def _change(self, ready: Ready, moment: Moment) -> Config | None:
        note(log, "config_taken_over", version=ready.version, restart=ready.restart)
        self._ready = None
        if ready.restart:
            self._restart()
            return None
        self._config, self._version, self._left_out = ready.loaded.config, ready.version, ready.loaded.left_out
        self._probation = None
        self._watch(moment)
        return self._config

    def _watch(self, moment: Moment) -> None:
        trial = self._generations.trial
        if trial is None or trial.document.version != self._version:
            self._probation = None
            return
        if self._settling:
            return
        if self._probation is None:
            if not moment.looked:  # a box of which nobody knows how it is would seem well
                return
            self._probation = Probation(frozenset(trial.conditions), moment.now_s, trial.probation_s)
        self._probation, judged = self._probation.judge(moment.conditions, moment.now_s)
        at = self._clock.now()
        if judged.verdict is Verdict.GOOD:
            note(log, "config_kept", version=self._version)
            self._end_trial(lambda found: found.kept(at))
        elif judged.verdict is Verdict.WORSE:
            note(log, "config_worse", logging.WARNING, version=self._version, condition=judged.condition)
            self._end_trial(lambda found: found.rolled_back(judged.condition, judged.why, at))

    def _end_trial(self, ended: Callable[[Generations], Generations]) -> None:
        self._settling = True
        version = self._version
        self._worker.submit(self._guarded, lambda: self._settle(version, ended))

    # ---- on the worker ------------------------------------------------------------------------------------------

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # a full disk, most likely: the box goes on by what it has
            note(log, "config_not_written", logging.ERROR, why=f"{type(error).__name__}: {error}")
            found = generations.read(self._state).generations
            self._tell(ConfigNews(found, fault=f"{type(error).__name__}: {error}"))

    def _judge(self, message: Message, body: ConfigBody, conditions: tuple[str, ...]) -> None:
        try:
            after = self._stored(message, body, conditions)
        finally:
            copies = self._copies.pop(message.claims.jti, [])
        for copy in copies:
            copy.done()
        self._link.flush()
        self._tell(ConfigNews(after))

    def _stored(self, message: Message, body: ConfigBody, conditions: tuple[str, ...]) -> Generations:
        """What became of the document, on disk, and the fleet's copy of it in the outbox."""
        before = generations.read(self._state).generations
        after, at = before, self._clock.now()
        if body.version <= before.floor:
            name = "config_repeated" if body.version == before.floor else "config_stale"
        else:
            try:
                wanted = with_document(self._path, body.settings)
            except ConfigRefused as refused:
                name, after = "config_rejected", before.rejected(body.version, refused.errors, at)
            else:
                before_s = load_all(self._path).config.health.probation_s
                longest = max(before_s, wanted.health.probation_s)  # nothing shortens the watch over itself
                document = Document(version=body.version, settings=body.settings)
                restart = allowed.needs_restart(allowed.changed(self._config, wanted))
                name, after = "config_stored", before.trying(document, conditions, longest, restart=restart)
            generations.write(self._state, after)
        note(log, name, version=body.version)
        newest = body.version == after.floor
        self._db.run(lambda tx: self._written(tx, name, body.version, after if newest else None, message))
        return self._tick_off(after) if newest else after

    def _written(
        self, tx: sqlite3.Connection, name: str, version: int, told: Generations | None, message: Message | None = None
    ) -> None:
        if message is not None:
            self._link.accept(tx, message.claims)
        journal.append(tx, name, {"version": version}, self._clock.now())
        report = told.report(self._clock.now()) if told is not None else None
        if report is not None:
            self._link.put(tx, "config.report", report, REPORT_LIFE_S, Priority.CONTROL)

    def _prepare(self) -> None:
        """What disk wants, read before the moment in which it is taken over."""
        found = generations.read(self._state).generations
        loaded = load_all(self._path)
        restart = allowed.needs_restart(allowed.changed(self._config, loaded.config))
        if found.trial is not None and not restart:
            found = found.begun()
            generations.write(self._state, found)
        self._tell(ConfigNews(found, Ready(found.running_version, loaded, restart)))

    def _settle(self, version: int, ended: Callable[[Generations], Generations]) -> None:
        """By what stands on disk: a newer config may have been stored since the loop judged."""
        found = generations.read(self._state).generations
        if found.trial is None or found.trial.document.version != version:
            self._tell(ConfigNews(found))
            return
        generations.write(self._state, ended(found))
        self._report()

    def _report(self) -> None:
        after = generations.read(self._state).generations
        outcome = after.outcome.outcome if after.outcome is not None else "trial"
        version = after.outcome.version if after.outcome is not None else after.floor
        self._db.run(lambda tx: self._written(tx, f"config_{outcome}", version, after))
        self._link.flush()
        self._tell(ConfigNews(self._tick_off(after)))

    def _tick_off(self, after: Generations) -> Generations:
        """The report is in the outbox: it need not be made again at the next start."""
        if after.outcome is None or after.outcome.told:
            return after
        told = after.told()
        generations.write(self._state, told)
        return told

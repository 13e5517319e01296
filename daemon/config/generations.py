"""The fleet's config on the box's disk: the last good one, the one before it, the one on trial, and how the last ended.

One file, `<state>/fleet-config.json`, replaced whole (write, fsync, rename, fsync the folder), with its SHA-256. The
file before it is kept: a damaged one is named, and that one read instead.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from mqtt.identity import write_file
from mqtt.schemas import ConfigFault, ConfigReportBody

FILE = "fleet-config.json"
BEFORE = "fleet-config.before.json"
RESTART = "restart"  # of a report: the box begins anew for this config, between two payments
MAX_BEGINNINGS = 3  # a config that three starts did not survive is given up


class Document(BaseModel):
    """What the fleet sent, verified."""  # not mqtt's body: what is on disk outlives a change of the contract

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    version: int
    settings: dict[str, dict[str, Any]]


class Trial(BaseModel):
    """A document that is being tried. `conditions` are what was amiss before it; `beginnings` counts how often the box
    began with it; `probation_s`: so long it is watched; `restart`: the box begins anew for it, as soon as nobody
    pays."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    document: Document
    conditions: tuple[str, ...] = ()
    beginnings: int = 0
    probation_s: float = 120.0
    restart: bool = False


class Outcome(BaseModel):
    """How a version ended. `told`: the fleet's copy is in the outbox."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    version: int
    outcome: str
    reason: str | None = None
    errors: tuple[tuple[str, str], ...] = ()
    at: int = 0
    told: bool = False


class Generations(BaseModel):
    """`floor`: the highest version ever seen; nothing at or below it has an effect again."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    floor: int = 0
    good: Document | None = None
    previous: Document | None = None
    trial: Trial | None = None
    outcome: Outcome | None = None

    @property
    def running(self) -> Document | None:
        """What a start goes by."""
        return self.trial.document if self.trial is not None else self.good

    @property
    def running_version(self) -> int:
        return self.running.version if self.running is not None else 0

    def rejected(self, version: int, errors: list[str], at: int) -> Generations:
        """Nothing but the memory of it. A config on trial goes on."""
        faults = tuple(_fault(line) for line in errors)
        outcome = Outcome(version=version, outcome="rejected", reason="invalid", errors=faults, at=at)
        return self.model_copy(update={"floor": version, "outcome": outcome})

    def trying(
        self, document: Document, conditions: tuple[str, ...], probation_s: float, *, restart: bool = False
    ) -> Generations:
        """On disk before anything of it counts. One that was still on trial makes room: it never became good."""
        before = self.trial.conditions if self.trial is not None else conditions
        trial = Trial(document=document, conditions=before, probation_s=probation_s, restart=restart)
        return self.model_copy(update={"floor": document.version, "trial": trial, "outcome": None})

    def begun(self) -> Generations:
        """The box begins with the config on trial, once more."""
        if self.trial is None:
            return self
        trial = self.trial.model_copy(update={"beginnings": self.trial.beginnings + 1})
        return self.model_copy(update={"trial": trial})

    def kept(self, at: int) -> Generations:
        """The trial is over, and well."""
        if self.trial is None:
            return self
        document = self.trial.document
        outcome = Outcome(version=document.version, outcome="applied", at=at)
        return self.model_copy(
            update={"good": document, "previous": self.good, "trial": None, "outcome": outcome}
        )  # fmt: skip

    def rolled_back(self, reason: str, why: str, at: int) -> Generations:
        """The trial is over, and not well: the last good one counts again."""
        if self.trial is None:
            return self
        errors = ((reason, why[:240]),) if why else ()
        outcome = Outcome(
            version=self.trial.document.version, outcome="rolled_back", reason=reason, errors=errors, at=at
        )
        return self.model_copy(update={"trial": None, "outcome": outcome})

    def told(self) -> Generations:
        outcome = self.outcome.model_copy(update={"told": True}) if self.outcome is not None else None
        return self.model_copy(update={"outcome": outcome})

    def report(self, now: int) -> ConfigReportBody | None:
        """What the fleet is to hear of the newest version; None where there never was one."""
        if self.trial is not None and (self.outcome is None or self.outcome.version < self.floor):
            version = self.trial.document.version
            reason = RESTART if self.trial.restart else None
            watch_s = math.ceil(self.trial.probation_s)
            return ConfigReportBody(
                version=version, outcome="trial", running=version, at=now, reason=reason, watch_s=watch_s
            )
        if self.outcome is None:
            return None
        faults = [ConfigFault(path=path[:160] or "config", why=why[:240]) for path, why in self.outcome.errors[:50]]
        return ConfigReportBody.model_validate(
            {
                "version": self.outcome.version, "outcome": self.outcome.outcome, "running": self.running_version,
                "at": self.outcome.at, "reason": self.outcome.reason, "errors": faults,
            },
            strict=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Found:
    """`damaged` says why the newest file was not taken."""

    generations: Generations = field(default_factory=Generations)
    damaged: str | None = None


def read(state: Path) -> Found:
    """What stands on disk; nothing of the fleet's where nothing ever came. Raises nothing."""
    why: list[str] = []
    for name in (FILE, BEFORE):
        try:
            raw = (state / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            why.append(f"{name}: {error.strerror}")
            continue
        try:
            return Found(_decode(raw), why[0] if why else None)
        except ValueError as error:
            why.append(f"{name}: {error}")
    return Found(Generations(), why[0] if why else None)


def write(state: Path, generations: Generations) -> None:
    """Whole, or not at all. Raises OSError."""
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    _keep_the_one_before(state)
    write_file(state / FILE, _encode(generations), mode=0o600)


def note_beginning(state: Path, now: int) -> tuple[Generations, bool]:
    """A start begins: counted before anything of the trial is used. True: too many did not survive, and the last good
    config counts again. Raises OSError."""
    found = read(state).generations
    if found.trial is None:
        return found, False
    if found.trial.beginnings >= MAX_BEGINNINGS:
        back = found.rolled_back("crashed", f"{found.trial.beginnings} starts with it did not last", now)
        write(state, back)
        return back, True
    begun = found.begun()
    write(state, begun)
    return begun, False


def give_up(state: Path, reason: str, why: str, now: int) -> bool:
    """The box can't even start with the config on trial. Whether there was one. Raises OSError."""
    found = read(state).generations
    if found.trial is None:
        return False
    write(state, found.rolled_back(reason, why, now))
    return True


def _keep_the_one_before(state: Path) -> None:
    try:
        raw = (state / FILE).read_bytes()
        _decode(raw)
    except (OSError, ValueError):
        return  # a damaged one must not push out a good one
    spare = state / (BEFORE + ".new")
    spare.unlink(missing_ok=True)
    os.link(state / FILE, spare)
    spare.replace(state / BEFORE)


def _encode(generations: Generations) -> bytes:
    text = generations.model_dump_json()
    return json.dumps({"sha256": hashlib.sha256(text.encode()).hexdigest(), "config": text}).encode() + b"\n"


def _decode(raw: bytes) -> Generations:
    """Raises ValueError."""
    try:
        outer = json.loads(raw)
        text = str(outer["config"])
        if hashlib.sha256(text.encode()).hexdigest() != outer["sha256"]:
            raise ValueError("its checksum does not fit")
        return Generations.model_validate_json(text)
    except (KeyError, TypeError, RecursionError, ValidationError) as error:
        raise ValueError("it is not readable") from error


def _fault(line: str) -> tuple[str, str]:
    path, _, why = line.partition(": ")
    return (path, why) if why else ("config", line)

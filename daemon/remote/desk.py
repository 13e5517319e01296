"""Does what the fleet asked for from afar, one thing after another on a thread of its own, and answers each once.

The answer's parts, the command's end and the journal's line are one transaction; what ends the process (`restart`)
comes after it. What is large goes as telemetry: it may be dropped where room is short, and asked for again.
"""

from __future__ import annotations

import base64
import io
import json
import logging
import queue
import secrets
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

from PIL import Image

from daemon.books import commands, journal
from daemon.books.box_db import BoxDb
from daemon.box_events import ConditionChanged
from daemon.config.model import Config
from daemon.console.snapshot import Board
from daemon.front.painter import Painter, Pixels
from daemon.health.live import examine_live
from daemon.logs import note
from daemon.people.members import Members
from daemon.remote.log_bundle import LogBundle
from daemon.remote.requests import CryptoEraseArgs, LogsArgs, RemoteRequest, RestartArgs
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from mqtt.outbox import Priority
from mqtt.schemas import MAX_PARTS, EventBody, ResultBody
from secure_store.errors import StoreError

log = logging.getLogger("daemon.remote")

ANSWER_LIFE_S = 24 * 3600
PART_BYTES = 24_000  # two layers of base64 later it still fits into one envelope
PICTURE_WAIT_S = 5.0
CONFIRM_WITHIN_S = 600.0

Media = Literal["application/json", "image/png"]


@dataclass(frozen=True)
class Answer:
    """`done` False: refused or failed, for this `reason`. `after` runs once the answer is on disk; `in_any_case`: also
    where it can't be written."""

    done: bool
    reason: str
    content: bytes = b""
    media: Media = "application/json"
    after: Callable[[], None] | None = None
    in_any_case: bool = False


class RemoteDesk:
    """`do` returns at once. `in_force` is the config of this moment, `restart` ends the loop for a new start."""

    def __init__(
        self, *, in_force: Callable[[], Config], board: Board, db: BoxDb, link: FleetLink, clock: TrustedClock,
        members: Members, painter: Painter, lines: LogBundle, software: str,
        tell: Callable[[ConditionChanged], None], restart: Callable[[], None],
    ) -> None:  # fmt: skip
        self._in_force, self._board, self._db, self._link, self._clock = in_force, board, db, link, clock
        self._members, self._painter, self._lines, self._software = members, painter, lines, software
        self._tell, self._restart = tell, restart
        self._confirmation: tuple[str, float] | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="remote")

    def do(self, request: RemoteRequest) -> None:
        self._worker.submit(self._guarded, request)

    def finish(self) -> None:
        """Waits for what was begun."""
        self._worker.shutdown(wait=True)

    def _guarded(self, request: RemoteRequest) -> None:
        try:
            answer = self._answer(request)
        except Exception as error:  # whatever it was, the operator hears that it failed
            note(log, "remote_failed", logging.ERROR, command=request.command, why=f"{type(error).__name__}: {error}")
            answer = Answer(False, "fault")
        written = self._answered(request, answer)
        if answer.after is not None and (written or answer.in_any_case):
            answer.after()

    def _answered(self, request: RemoteRequest, answer: Answer) -> bool:
        """False: it could not be written; the fleet asks again, and is heard again after the next start."""
        try:
            self._db.run(lambda tx: self._written(tx, request, answer))
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            note(log, "remote_not_written", logging.ERROR, command=request.command, id=request.command_id, why=why)
            return False
        note(log, "remote_answered", command=request.command, id=request.command_id, reason=answer.reason)
        self._link.flush()
        return True

    def _answer(self, request: RemoteRequest) -> Answer:
        match request.command, request.args:
            case "doctor", _:
                return self._doctor()
            case "logs", LogsArgs(last=last):
                return Answer(True, "done", _json(self._facts() | {"lines": self._lines.last(last)}))
            case "screenshot", _:
                return self._screenshot()
            case "restart", RestartArgs(force=force):
                if self._board.snapshot.busy and not force:
                    return Answer(False, "order_open")
                return Answer(True, "restarting", after=self._restart)
            case "crypto-erase", CryptoEraseArgs(confirm=confirm):
                return self._crypto_erase(confirm)
            case "identity.twice", _:
                why = "the fleet hears two boxes with this one's key"
                self._tell(ConditionChanged("identity_twice", True, why))
                return Answer(True, "done")
            case _:
                return Answer(False, "unknown_command")

    def _facts(self) -> dict[str, Any]:
        snapshot = self._board.snapshot
        return {
            "box": self._link.box_id, "at": self._clock.now(), "software": self._software,
            "stage": snapshot.stage.lower(), "conditions": [name for name, _ in snapshot.conditions],
        }  # fmt: skip

    def _doctor(self) -> Answer:
        findings = examine_live(self._in_force(), self._board.snapshot, self._link.connected)
        return Answer(True, "done", _json(self._facts() | {"findings": [asdict(finding) for finding in findings]}))

    def _screenshot(self) -> Answer:
        if self._board.snapshot.busy:
            return Answer(False, "order_open")
        pictures: queue.SimpleQueue[Pixels | None] = queue.SimpleQueue()
        self._painter.picture(pictures.put)
        try:
            pixels = pictures.get(timeout=PICTURE_WAIT_S)
        except queue.Empty:
            return Answer(False, "no_display")
        if pixels is None:
            return Answer(False, "order_open")
        raw = io.BytesIO()
        Image.fromarray(pixels).save(raw, "PNG", optimize=True)
        return Answer(True, "done", raw.getvalue(), "image/png")

    def _crypto_erase(self, confirm: str | None) -> Answer:
        """Asked for once, the box answers with a word; asked for again with that word, it is done."""
        now = time.monotonic()
        word, until_s = self._confirmation or ("", 0.0)
        self._confirmation = None
        if confirm is None or now > until_s or not secrets.compare_digest(confirm.encode(), word.encode()):
            word = f"{secrets.randbelow(10**6):06}"
            self._confirmation = (word, now + CONFIRM_WITHIN_S)
            return Answer(False, "confirm" if confirm is None else "wrong_confirmation", _json({"confirm": word}))
        if self._board.snapshot.busy:
            return Answer(False, "order_open")
        people = len(self._members)
        try:
            self._members.keeper.crypto_erase()
        except StoreError as error:
            note(log, "crypto_erase_failed", logging.ERROR, why=error.why)
            return Answer(False, self._members.reason_of(error), after=self._restart, in_any_case=True)
        note(log, "crypto_erased", logging.WARNING, people=people)
        return Answer(True, "erased", _json({"erased": people}), after=self._restart, in_any_case=True)

    def _written(self, tx: sqlite3.Connection, request: RemoteRequest, answer: Answer) -> None:
        wall = self._clock.now()
        chunks = [answer.content[at : at + PART_BYTES] for at in range(0, len(answer.content), PART_BYTES)]
        reason = answer.reason
        if len(chunks) > MAX_PARTS:
            chunks, reason = [], "too_large"
        for number, chunk in enumerate(chunks, 1):
            part = ResultBody(
                command_id=request.command_id, part=number, parts=len(chunks), media=answer.media,
                data=base64.b64encode(chunk).decode("ascii"),
            )  # fmt: skip
            self._link.put(tx, "result", part, ANSWER_LIFE_S, Priority.TELEMETRY)
        name = "remote.done" if answer.done and reason == answer.reason else "remote.failed"
        journal.append(tx, name.replace(".", "_"), {"command": request.command, "reason": reason}, wall)
        commands.end(tx, request.command_id, name, reason, wall)
        event = EventBody(
            event=name, at=wall, command_id=request.command_id, reason=reason, data={"parts": len(chunks)}
        )
        self._link.put(tx, "event", event, ANSWER_LIFE_S, Priority.CONTROL)


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode()

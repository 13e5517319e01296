"""What the gateway does about content: announce it, hand out pieces of it, keep its signatures fresh, stop ads."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from fleet.boxes import commands
from fleet.content import plays
from fleet.content.chunks import chunk
from fleet.content.repository import ContentRefused, Repository
from fleet.errors import RequestRefused
from mqtt.outbox import Priority
from mqtt.schemas import Body, ContentNoticeBody, ContentRequestBody, PlayAckBody, PlayBody, StateBody

log = logging.getLogger("fleet.content")

KILL = "ads.kill"
NOTICE_LIFE_S = 3600
KILL_LIFE_S = 7 * 24 * 3600
CHUNK_LIFE_S = 60
MOST_OFF = 1000  # of the contract

# put(tx, box, typ, body, expires_at, priority)
Put = Callable[[sqlite3.Connection, str, str, Body, int, Priority], Any]


class ContentDesk:
    """Runs inside the gateway's transactions."""

    def __init__(self, repository: Repository, put: Put, now: Callable[[], int]) -> None:
        self.repository, self._put, self._now = repository, put, now
        self._known: tuple[tuple[int, int], int | None] | None = None

    def version(self) -> int | None:
        """Of the targets; None where nothing was ever published. Read once for each edition: a thousand boxes that come
        back at once all have their version compared."""
        try:
            stamp = self.repository.stamp_file.stat()
        except OSError:
            return None
        edition = (stamp.st_ino, stamp.st_mtime_ns)
        if self._known is None or self._known[0] != edition:
            self._known = (edition, self._read_version())
        return self._known[1]

    def _read_version(self) -> int | None:
        try:
            return self.repository.published().versions["targets"]
        except ContentRefused as refused:
            log.warning("event=content_unreadable why=%s", refused)
            return None

    def announce(self, tx: sqlite3.Connection) -> int:
        """Tells every box that there is something new; how many. One that is away hears when it says what it has."""
        version, boxes = self.version(), _trusted(tx)
        if version is None:
            return 0
        for box in boxes:
            self._notice(tx, box, version)
        return len(boxes)

    def kill(self, tx: sqlite3.Connection, campaigns: Sequence[str]) -> int:
        """These campaigns and no others are switched off, on every box, from now on. How many boxes were told."""
        boxes, now = _trusted(tx), self._now()
        for box in boxes:
            # An earlier list that was not carried out yet must not come after this one.
            tx.execute(
                "UPDATE commands SET status = 'cancelled', reason = 'replaced', ended_at = ?"
                " WHERE box = ? AND command = ? AND status = 'open'",
                (now, box, KILL),
            )
            self._switch_off(tx, box, campaigns, now)
        return len(boxes)

    def switch(self, tx: sqlite3.Connection, campaigns: Sequence[str], *, on: bool) -> tuple[int, list[str]]:
        """Switches these off, or on again; what is off besides stays so. None named: all are on again. How many boxes
        were told, and what is off from now on. Raises RequestRefused."""
        wanted = set(switched_off(tx)) - set(campaigns) if on else {*switched_off(tx), *campaigns}
        off = sorted(wanted) if campaigns else []
        if len(off) > MOST_OFF:
            raise RequestRefused(
                "switching campaigns off", f"{len(off)} would be off; a box keeps {MOST_OFF}",
                "take what is over out of the page, or switch some on again with --undo",
            )  # fmt: skip
        return self.kill(tx, off), off

    def _switch_off(self, tx: sqlite3.Connection, box: str, campaigns: Sequence[str], now: int) -> None:
        body = commands.create(tx, box, KILL, {"campaigns": list(campaigns)}, now + KILL_LIFE_S, now)
        self._put(tx, box, "command", body, now + KILL_LIFE_S, Priority.CONTROL)

    def _switch_off_what_it_missed(self, tx: sqlite3.Connection, box: str) -> None:
        """A box that was away for longer than a command lives, or came to the fleet after it was given."""
        now, newest = self._now(), commands.newest(tx, KILL)
        if newest is None:
            return
        wanted, told = switched_off(tx), commands.newest(tx, KILL, box)
        if told is None:
            missing = bool(wanted)
        else:
            missing = told["args"] != newest["args"] or (told["status"] == "open" and told["expires_at"] <= now)
        if missing:
            self._switch_off(tx, box, wanted, now)

    def note_state(self, tx: sqlite3.Connection, box: str, state: StateBody) -> None:
        """A box that says it has less than there is hears of it, and of what is switched off."""
        version = self.version()
        if version is not None and state.versions.get("content") != version:
            self._notice(tx, box, version)
        self._switch_off_what_it_missed(tx, box)

    def note_plays(self, tx: sqlite3.Connection, box: str, body: PlayBody) -> None:
        through = plays.note(tx, box, body)
        self._put(tx, box, "play.ack", PlayAckBody(through=through), self._now() + NOTICE_LIFE_S, Priority.TELEMETRY)

    def hand_out(self, tx: sqlite3.Connection, box: str, wanted: ContentRequestBody) -> None:
        body = chunk(self.repository.folder, wanted)
        self._put(tx, box, "content.chunk", body, self._now() + CHUNK_LIFE_S, Priority.TELEMETRY)

    def tidy(self, tx: sqlite3.Connection) -> None:
        """Now and then: what has used up half of its life is signed anew, and old proofs of play are summed up."""
        plays.fold(tx)
        try:
            for role in self.repository.renew() if self.repository.exists else ():
                log.info("event=content_signed_anew role=%s", role)
        except (ContentRefused, OSError) as fault:
            log.warning("event=content_not_renewed why=%s", fault)

    def _notice(self, tx: sqlite3.Connection, box: str, version: int) -> None:
        body = ContentNoticeBody(version=version)
        self._put(tx, box, "content", body, self._now() + NOTICE_LIFE_S, Priority.TELEMETRY)


def switched_off(tx: sqlite3.Connection) -> list[str]:
    """The campaigns that no box is to show, whatever is published."""
    newest = commands.newest(tx, KILL)
    return list(json.loads(newest["args"])["campaigns"]) if newest is not None else []


def _trusted(tx: sqlite3.Connection) -> list[str]:
    return [row["id"] for row in tx.execute("SELECT id FROM boxes WHERE revoked_at IS NULL ORDER BY id")]

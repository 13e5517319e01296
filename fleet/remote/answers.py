"""The parts of what a remote command brought to light, in the fleet's database. In the caller's transaction."""

from __future__ import annotations

import base64
import binascii
import logging
import sqlite3
from dataclasses import dataclass
from typing import Any

from fleet.boxes import commands
from mqtt.schemas import CommandBody, ResultBody

log = logging.getLogger("fleet.remote")

COMMANDS = ("doctor", "logs", "screenshot", "restart", "crypto-erase")
KEPT_S = 7 * 24 * 3600  # what a box showed of itself is not kept for long


@dataclass(frozen=True, slots=True)
class Found:
    media: str
    content: bytes


def create(
    tx: sqlite3.Connection, box: str, command: str, args: dict[str, Any], expires_at: int, now: int
) -> CommandBody:
    """The command to send, kept so that it is sent again until the box has answered."""
    return commands.create(tx, box, command, args, expires_at, now)


def note_result(tx: sqlite3.Connection, box: str, body: ResultBody) -> None:
    """Of a command to this very box; anything else is dropped."""
    asked = tx.execute("SELECT 1 FROM commands WHERE command_id = ? AND box = ?", (body.command_id, box)).fetchone()
    if asked is None:
        log.warning("event=result_unasked box=%s", box)
        return
    try:
        data = base64.b64decode(body.data, validate=True)
    except binascii.Error:
        log.warning("event=result_unreadable box=%s", box)
        return
    tx.execute(
        "INSERT INTO command_results (command_id, part, parts, media, data) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (command_id, part) DO NOTHING",
        (body.command_id, body.part, body.parts, body.media, data),
    )


def found(tx: sqlite3.Connection, command_id: str) -> Found | None:
    """What the command brought to light, once every part is there."""
    rows = tx.execute("SELECT * FROM command_results WHERE command_id = ? ORDER BY part", (command_id,)).fetchall()
    if not rows or len(rows) != rows[0]["parts"]:
        return None
    return Found(rows[0]["media"], b"".join(row["data"] for row in rows))


def forget(tx: sqlite3.Connection, now: int) -> None:
    """What is older than a week."""
    tx.execute(
        "DELETE FROM command_results WHERE EXISTS (SELECT 1 FROM commands c"
        " WHERE c.command_id = command_results.command_id AND c.created_at < ?)",
        (now - KEPT_S,),
    )

"""Whom a box has verified: its signed word, kept as the result of the command that asked for it."""

from __future__ import annotations

import json
import sqlite3

from mqtt.schemas import EventBody


def note_event(tx: sqlite3.Connection, box: str, event: EventBody) -> None:
    """Of a command to this very box; anything else is left alone. Before the command is closed by the same event."""
    if event.event != "verify.done" or event.command_id is None:
        return
    found = {"handle": event.handle, "factors": event.data.get("factors", ""), "at": event.at, "reason": event.reason}
    tx.execute(
        "INSERT INTO command_results (command_id, part, parts, media, data)"
        " SELECT command_id, 1, 1, 'application/json', ? FROM commands"
        " WHERE command_id = ? AND box = ? AND command = 'verify' AND status = 'open'"
        " ON CONFLICT (command_id, part) DO NOTHING",
        (json.dumps(found).encode(), event.command_id, box),
    )

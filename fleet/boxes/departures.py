"""Who left, as the boxes say: erased, or with a consent withdrawn. A box that lost its own memory of it is told by this
list whom a backup must not bring back.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from mqtt.schemas import EventBody

EVENTS = ("erase.done", "consent.withdrawn")


def note_event(tx: sqlite3.Connection, box: str, event: EventBody, now: int) -> None:
    """Keeps a departure; anything else is left alone. Said twice, it is known once."""
    handle = event.handle or _handle_of(tx, event.command_id)
    if event.event not in EVENTS or handle is None:
        return
    tx.execute(
        "INSERT INTO departures VALUES (?,?,?,?,?,?) ON CONFLICT (box, handle, event) DO UPDATE SET"
        " reason = excluded.reason, at = excluded.at, heard_at = excluded.heard_at",
        (box, handle, event.event, event.reason or "", event.at, now),
    )


def listing(tx: sqlite3.Connection, box: str | None, event: str | None = None) -> list[dict[str, Any]]:
    """Newest first; of one box, or of all."""
    rows = tx.execute(
        "SELECT d.*, b.name FROM departures d JOIN boxes b ON b.id = d.box WHERE (? IS NULL OR d.box = ?)"
        " AND (? IS NULL OR d.event = ?) ORDER BY d.at DESC, d.handle",
        (box, box, event, event),
    )
    return [dict(row) for row in rows]


def _handle_of(tx: sqlite3.Connection, command_id: str | None) -> str | None:
    """A box that answers a repeated command need not name the person again."""
    row = tx.execute(
        "SELECT json_extract(args, '$.handle') FROM commands WHERE command_id = ?", (command_id or "",)
    ).fetchone()
    return None if row is None else row[0]

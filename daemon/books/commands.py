"""Commands from the fleet that take a person's time: which came in, and how each ended, so that none runs twice."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made


@dataclass(frozen=True, slots=True)
class Outcome:
    """`event` is what was reported (`enrol.done`, ...); None while it is under way."""

    event: str | None
    reason: str | None


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("commands").create(
        {"command_id": str, "command": str, "handle": str, "event": str, "reason": str, "at": int},
        pk="command_id", not_null={"command", "at"}, if_not_exists=True,
    )  # fmt: skip


def outcome(connection: sqlite3.Connection, command_id: str) -> Outcome | None:
    """None for a command this box has not seen."""
    row = connection.execute("SELECT event, reason FROM commands WHERE command_id = ?", (command_id,)).fetchone()
    return Outcome(row["event"], row["reason"]) if row else None


def begin(tx: sqlite3.Connection, command_id: str, command: str, handle: str, now: int) -> None:
    tx.execute("INSERT OR IGNORE INTO commands VALUES (?,?,?,NULL,NULL,?)", (command_id, command, handle, now))


def end(tx: sqlite3.Connection, command_id: str, event: str, reason: str, now: int) -> None:
    tx.execute(
        "UPDATE commands SET event = ?, reason = ?, at = ? WHERE command_id = ?", (event, reason, now, command_id)
    )


def prune(tx: sqlite3.Connection, before: int) -> int:
    """Forgets commands that ended before `before` (unix seconds): none of them is sent again. The number forgotten."""
    return tx.execute("DELETE FROM commands WHERE event IS NOT NULL AND at < ?", (before,)).rowcount


def abandon_open(tx: sqlite3.Connection) -> int:
    """After a start: what was under way was lost with the screen; the fleet sends it again. The number forgotten."""
    return tx.execute("DELETE FROM commands WHERE event IS NULL").rowcount

"""Signed commands to boxes and how they ended. A command keeps its id however often it is sent."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Literal

from fleet.errors import NotFound
from fleet.money.orders import new_id
from mqtt.schemas import CommandBody, EnrolArgs, EventBody

Authority = Literal["fleet", "clerk"]

_END_OF_EVENT = {
    "enrol.done": "done",
    "enrol.cancelled": "cancelled",
    "enrol.failed": "failed",
    "erase.done": "done",
    "erase.failed": "failed",
    "remote.done": "done",
    "remote.failed": "failed",
    "ads.done": "done",
    "verify.done": "done",
    "catalogue.done": "done",
    "catalogue.failed": "failed",
    "cancel.done": "done",
    "cancel.failed": "failed",
    "verify.failed": "failed",
    "command.failed": "failed",
}


def create(
    tx: sqlite3.Connection, box: str, command: str, args: dict[str, Any], expires_at: int, now: int
) -> CommandBody:
    body = CommandBody(command_id=new_id("c", now), command=command, args=args)
    tx.execute(
        "INSERT INTO commands (command_id, box, command, args, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        (body.command_id, box, command, json.dumps(args), now, expires_at),
    )
    return body


def create_enrolment(
    tx: sqlite3.Connection, box: str, handle: str, purposes: list[str], notice_version: str, expires_at: int, now: int,
    *, under_14: bool = False, authority: Authority = "fleet", order_id: str | None = None,
) -> CommandBody:  # fmt: skip
    """Raises pydantic.ValidationError for a handle, purpose or notice version that is no such thing."""
    args = EnrolArgs(
        handle=handle, purposes=purposes, notice_version=notice_version, expires_at=expires_at, under_14=under_14,
        authority=authority, order_id=order_id,
    )  # fmt: skip
    # What is as usual is left out: a box of an earlier release knows no such fields.
    return create(tx, box, "enrol", args.model_dump(mode="json", exclude_defaults=True), expires_at, now)


def named(tx: sqlite3.Connection, box: str, command: str, args: dict[str, Any]) -> str | None:
    """The id of such a command that was given before."""
    row = tx.execute(
        "SELECT command_id FROM commands WHERE box = ? AND command = ? AND args = ?", (box, command, json.dumps(args))
    ).fetchone()
    return str(row[0]) if row is not None else None


def newest(tx: sqlite3.Connection, command: str, box: str | None = None) -> sqlite3.Row | None:
    """The last command of this name, to this box or to any."""
    row: sqlite3.Row | None = tx.execute(
        "SELECT * FROM commands WHERE command = ? AND (? IS NULL OR box = ?) ORDER BY created_at DESC, rowid DESC"
        " LIMIT 1",
        (command, box, box),
    ).fetchone()
    return row


def open_bodies(tx: sqlite3.Connection, box: str, now: int) -> list[tuple[CommandBody, int]]:
    """Commands to this box without an end, each with its expiry."""
    rows = tx.execute(
        "SELECT command_id, command, args, expires_at FROM commands"
        " WHERE box = ? AND status = 'open' AND expires_at > ? ORDER BY created_at",
        (box, now),
    )
    return [
        (
            CommandBody(command_id=row["command_id"], command=row["command"], args=json.loads(row["args"])),
            row["expires_at"],
        )
        for row in rows
    ]


def note_event(tx: sqlite3.Connection, box: str, event: EventBody, now: int) -> None:
    """What the box reports of a command of its own; anything else is left alone."""
    if event.command_id is None:
        return
    end = _END_OF_EVENT.get(event.event)
    tx.execute(
        "UPDATE commands SET on_box_at = coalesce(on_box_at, ?) WHERE command_id = ? AND box = ?",
        (now, event.command_id, box),
    )
    if end is not None:
        tx.execute(
            "UPDATE commands SET status = ?, reason = ?, ended_at = ?"
            " WHERE command_id = ? AND box = ? AND status = 'open'",
            (end, event.reason, now, event.command_id, box),
        )


def view(tx: sqlite3.Connection, command_id: str, now: int) -> dict[str, Any]:
    """`status` is one of sent, on_box, done, cancelled, failed, expired. Raises NotFound."""
    row = tx.execute("SELECT * FROM commands WHERE command_id = ?", (command_id,)).fetchone()
    if row is None:
        raise NotFound(f"command {command_id[:64]}", "never given")
    status = row["status"]
    if status == "open":
        status = "expired" if now > row["expires_at"] else "sent" if row["on_box_at"] is None else "on_box"
    return {
        "command_id": command_id,
        "box": row["box"],
        "command": row["command"],
        "args": json.loads(row["args"]),
        "created_at": row["created_at"],
        "expires_at": row["expires_at"],
        "status": status,
        "final": status in ("done", "cancelled", "failed", "expired"),
        "reason": row["reason"],
    }

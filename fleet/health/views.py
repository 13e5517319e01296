"""Boxes as an operator sees them, read from the fleet's database."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from fleet.boxes import register as boxes
from fleet.health.standing import Filter, Row, by_urgency, row_of
from fleet.rollout import views as rollouts

_QUERY = (
    "SELECT b.id, b.name, b.tenant, b.box_group AS grouped, b.online, b.seen_at, b.state, h.heard_at, h.beat_s, h.body,"
    " i.twin_at FROM boxes b LEFT JOIN box_health h ON h.box = b.id LEFT JOIN box_instances i ON i.box = b.id"
    " WHERE b.revoked_at IS NULL"
)


def rows(tx: sqlite3.Connection, chosen: Filter, now: int) -> list[Row]:
    """Those that fit, the most urgent first."""
    found = [_row(row, now) for row in tx.execute(_QUERY)]
    return sorted((row for row in found if chosen.fits(row)), key=by_urgency)


def one(tx: sqlite3.Connection, wanted: str, now: int) -> dict[str, Any]:
    """All that is known of a box. Raises BoxUnknown."""
    box = boxes.choose(tx, wanted)["id"]
    found = tx.execute(f"{_QUERY} AND b.id = ?", (box,)).fetchone()
    state = json.loads(found["state"]) if found["state"] else {}
    commands = tx.execute(
        "SELECT command_id, command, status, reason, created_at FROM commands WHERE box = ? ORDER BY created_at DESC"
        " LIMIT 10",
        (box,),
    )
    return _row(found, now).to_json() | {
        "online": bool(found["online"]), "seen_at": found["seen_at"], "heard_at": found["heard_at"],
        "versions": state.get("versions", {}), "unsettled": state.get("unsettled", []),
        "layers": rollouts.config_of(tx, box), "commands": [dict(row) for row in commands],
    }  # fmt: skip


def _row(row: sqlite3.Row, now: int) -> Row:
    body = json.loads(row["body"]) if row["body"] else {}
    versions = json.loads(row["state"]).get("versions", {}) if row["state"] else {}
    config = body.get("figures", {}).get("config", versions.get("config", 0))
    box = {
        "id": row["id"], "name": row["name"], "tenant": row["tenant"], "group": row["grouped"],
        "online": bool(row["online"]), "seen_at": row["seen_at"], "twin_at": row["twin_at"],
        "config": config if isinstance(config, int) else 0,
    }  # fmt: skip
    return row_of(box, row["heard_at"], row["beat_s"] or 0, body, now)

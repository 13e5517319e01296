"""Rollouts and configs as an operator sees them: plain values for JSON and tables."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from typing import Any

from fleet.errors import NotFound
from fleet.rollout.layered import effective, layer
from fleet.rollout.layers import SCOPES


def rollouts(tx: sqlite3.Connection, limit: int) -> list[dict[str, Any]]:
    """The newest first, without their boxes."""
    rows = tx.execute("SELECT * FROM rollouts ORDER BY id DESC LIMIT ?", (limit,)).fetchall()
    return [_head(tx, row) for row in rows]


def head(tx: sqlite3.Connection, wanted: int | None) -> dict[str, Any]:
    """One rollout (the newest where none is named) without its boxes. Raises NotFound."""
    row = tx.execute(
        "SELECT * FROM rollouts WHERE ? IS NULL OR id = ? ORDER BY id DESC LIMIT 1", (wanted, wanted)
    ).fetchone()
    if row is None:
        raise NotFound(
            f"rollout {wanted or ''}".strip(), "never begun", "begin one with `kingfisher-fleet config push`"
        )
    return _head(tx, row)


def rollout(tx: sqlite3.Connection, wanted: int | None) -> dict[str, Any]:
    """The same with each of its boxes."""
    found = head(tx, wanted)
    rows = tx.execute(
        "SELECT r.*, b.name AS box_name, b.online FROM rollout_boxes r JOIN boxes b ON b.id = r.box"
        " WHERE r.rollout = ? ORDER BY r.wave, b.name",
        (found["id"],),
    )
    return found | {"members": [_member(member) for member in rows]}


def config_of(tx: sqlite3.Connection, box: str) -> dict[str, Any]:
    """The layers of a box, what they come to, and what the box made of it."""
    names = tx.execute("SELECT tenant, box_group FROM boxes WHERE id = ?", (box,)).fetchone()
    where = {"tenant": names["tenant"], "group": names["box_group"], "box": box}
    row = tx.execute("SELECT * FROM config_desired WHERE box = ?", (box,)).fetchone()
    desired = {
        "version": row["version"], "outcome": row["outcome"], "reason": row["reason"], "running": row["running"],
        "errors": json.loads(row["errors"] or "[]"), "reported_at": row["reported_at"],
    } if row else None  # fmt: skip
    layers = {scope: {"name": where[scope], "settings": layer(tx, scope, where[scope])} for scope in SCOPES}
    return {"box": box, "layers": layers, "effective": effective(tx, box), "desired": desired}


def _head(tx: sqlite3.Connection, row: sqlite3.Row) -> dict[str, Any]:
    outcomes = Counter(
        str(member["outcome"] or ("sent" if member["version"] is not None else "later"))
        for member in tx.execute("SELECT outcome, version FROM rollout_boxes WHERE rollout = ?", (row["id"],))
    )
    return {
        "id": row["id"], "scope": row["scope"], "name": row["name"], "state": row["state"], "why": row["why"],
        "wave": row["wave"] + 1, "waves": json.loads(row["waves"]), "halt_percent": row["halt_percent"],
        "settings": json.loads(row["settings"]), "created_at": row["created_at"], "ended_at": row["ended_at"],
        "boxes": sum(outcomes.values()), "outcomes": dict(sorted(outcomes.items())),
        "final": row["state"] != "running", "taken_back": _taken_back(tx, row),
    }  # fmt: skip


def _taken_back(tx: sqlite3.Connection, row: sqlite3.Row) -> dict[str, int]:
    """Of a rollout that was rolled back: what its boxes made of what they got after it."""
    if row["state"] != "rolled_back":
        return {}
    since = tx.execute(
        "SELECT coalesce(d.outcome, 'sent'), count(*) FROM rollout_boxes r JOIN config_desired d ON d.box = r.box"
        " AND d.version > r.version WHERE r.rollout = ? GROUP BY 1 ORDER BY 1",
        (row["id"],),
    )
    return {str(outcome): int(boxes) for outcome, boxes in since}


def _member(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "box": row["box"], "name": row["box_name"], "online": bool(row["online"]), "wave": row["wave"] + 1,
        "version": row["version"], "outcome": row["outcome"], "reason": row["reason"],
        "errors": json.loads(row["errors"] or "[]"), "sent_at": row["sent_at"], "ended_at": row["ended_at"],
        "watch_s": row["watch_s"],
    }  # fmt: skip

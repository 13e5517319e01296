"""Which rollout an operator means who asks for one to be rolled back without its number."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass

from fleet.errors import NotFound, RequestRefused

SHOWN = 10  # in a refusal
_NONE = "begin one with `kingfisher-fleet config push`"


@dataclass(frozen=True, slots=True)
class Undoable:
    """The rollout of a layer that can be rolled back as it stands. `name` is as an operator types it: of a box, its
    name, or its id where another has the same name. `created_at` in unix seconds."""

    id: int
    scope: str
    name: str
    created_at: int


def choose(tx: sqlite3.Connection, layer: tuple[str, str] | None) -> int:
    """The newest rollout of the layer (scope, name); without one, of the only layer that has any to roll back.

    Raises:
        NotFound: no rollout was ever pushed to the layer, or to any.
        RequestRefused: several layers have one; or the layer's newest is rolled back already, and what stands below it
            goes by its number only: whoever asks twice shall not undo two.
    """
    found = undoable(tx)
    if layer is not None:
        return _newest(tx, *layer, found)
    layers = tx.execute("SELECT scope, name FROM rollouts GROUP BY scope, name").fetchall()
    if not layers:
        raise NotFound("rollout", "never begun", _NONE)
    if not found:
        raise RequestRefused("rolling back", "no rollout can be", "see `kingfisher-fleet config status`")
    if len(found) > 1:
        raise RequestRefused(
            "rolling back a rollout without its number",
            f"{len(found)} layers have one that can be: {_listed(found)}",
            f"type `kingfisher-fleet config rollback {found[0].id}`,"
            f" or name the layer: `kingfisher-fleet config rollback --{found[0].scope} {found[0].name}`",
        )
    stands = tx.execute("SELECT scope, name FROM rollouts WHERE id = ?", (found[0].id,)).fetchone()
    return _newest(tx, stands["scope"], stands["name"], found)


def undoable(tx: sqlite3.Connection) -> list[Undoable]:
    """Of each layer the one rollout that can be rolled back, if any; the newest first. A revoked box's is none."""
    rows = tx.execute(
        "SELECT o.id, o.scope, o.name, o.state, o.created_at, max(o.id) FROM rollouts o"
        " WHERE o.state <> 'rolled_back' AND NOT (o.scope = 'box' AND o.name IN"
        " (SELECT id FROM boxes WHERE revoked_at IS NOT NULL)) GROUP BY o.scope, o.name ORDER BY o.id DESC"
    ).fetchall()
    return [
        Undoable(row["id"], row["scope"], _typed(tx, row["scope"], row["name"]), row["created_at"])
        for row in rows
        if row["state"] != "superseded"
    ]


def _newest(tx: sqlite3.Connection, scope: str, name: str, found: list[Undoable]) -> int:
    row = tx.execute(
        "SELECT id, state FROM rollouts WHERE scope = ? AND name = ? ORDER BY id DESC LIMIT 1", (scope, name)
    ).fetchone()
    typed = _typed(tx, scope, name)
    if row is None:
        raise NotFound(f"rollout to {scope} {typed}", "never begun", _NONE)
    if row["state"] != "rolled_back":
        return int(row["id"])
    below = [one for one in found if (one.scope, one.name) == (scope, typed)]
    hint = f"one before it stands: `kingfisher-fleet config rollback {below[0].id}`" if below else ""
    raise RequestRefused(f"rolling back {scope} {typed}", f"its newest, rollout {row['id']}, is already", hint)


def _listed(found: list[Undoable]) -> str:
    named = [
        f"{one.id} to {one.scope} {one.name} of {time.strftime('%Y-%m-%d %H:%M', time.localtime(one.created_at))}"
        for one in found[:SHOWN]
    ]
    return ", ".join(named) + (f", and {len(found) - SHOWN} more" if len(found) > SHOWN else "")


def _typed(tx: sqlite3.Connection, scope: str, name: str) -> str:
    if scope != "box":
        return name
    named = tx.execute(
        "SELECT b.name FROM boxes b WHERE b.id = ? AND NOT EXISTS (SELECT 1 FROM boxes o WHERE o.name = b.name"
        " AND o.id <> b.id AND o.revoked_at IS NULL)",
        (name,),
    ).fetchone()
    return str(named["name"]) if named is not None else name

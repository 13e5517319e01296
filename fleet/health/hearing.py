"""What boxes say of themselves, in the fleet's database. All in the caller's transaction."""

from __future__ import annotations

import json
import logging
import sqlite3

from mqtt.schemas import HealthBody, StateBody

log = logging.getLogger("fleet.health")

TWICE = "identity.twice"
TOLD_AN_HOUR = 20  # two boxes push each other out again and again, and each telling is written on their cards
HOUR_S = 3600


def note_health(tx: sqlite3.Connection, box: str, body: HealthBody, now: int) -> None:
    """The newest heartbeat counts; one that was overtaken on the way changes nothing. A box that is heard is there:
    a last will that a broker published late does not hide it."""
    tx.execute(
        "INSERT INTO box_health (box, at, heard_at, beat_s, body) VALUES (?, ?, ?, ?, ?) ON CONFLICT (box) DO UPDATE"
        " SET at = excluded.at, heard_at = excluded.heard_at, beat_s = excluded.beat_s, body = excluded.body"
        " WHERE excluded.at >= box_health.at OR excluded.heard_at > box_health.heard_at + 120",
        (box, body.at, now, body.beat_s, json.dumps(body.to_json())),
    )
    tx.execute("UPDATE boxes SET online = 1 WHERE id = ?", (box,))


def note_instance(tx: sqlite3.Connection, box: str, state: StateBody, now: int) -> bool:
    """Whether two boxes speak with one key: a process that another one has followed never speaks again, so one that
    does has a twin. They push each other off the broker, and each says its state whenever it is back."""
    if state.instance is None:
        return False
    row = tx.execute("SELECT instance, before FROM box_instances WHERE box = ?", (box,)).fetchone()
    if row is None:
        tx.execute("INSERT INTO box_instances (box, instance) VALUES (?, ?)", (box, state.instance))
        return False
    if row["instance"] == state.instance:
        return False
    twin = bool(row["before"] == state.instance)
    tx.execute(
        "UPDATE box_instances SET instance = ?, before = ?, twin_at = CASE WHEN ? THEN ? ELSE twin_at END"
        " WHERE box = ?",
        (state.instance, row["instance"], twin, now, box),
    )
    if twin:
        log.error("event=identity_twice box=%s", box)
    return twin


def twins_are_told(tx: sqlite3.Connection, box: str, now: int) -> bool:
    """Whether both have heard of each other often enough for an hour."""
    row = tx.execute(
        "SELECT count(*) FROM commands WHERE box = ? AND command = ? AND created_at > ?", (box, TWICE, now - HOUR_S)
    ).fetchone()
    return int(row[0]) >= TOLD_AN_HOUR

"""Proofs of play at the fleet: each showing once, by its box and number; acknowledged as far as nothing is missing."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mqtt.schemas import PlayBody  # not needed to bring a database up to date, and slow to import

# SQL of the fleet's database; see fleet.migrations.
TABLES = (
    "CREATE TABLE plays (box TEXT NOT NULL REFERENCES boxes (id), seq INTEGER NOT NULL, campaign TEXT NOT NULL,"
    " sha256 TEXT NOT NULL, slot TEXT NOT NULL, at INTEGER NOT NULL, seconds INTEGER NOT NULL,"
    " PRIMARY KEY (box, seq)) STRICT",
    "CREATE INDEX plays_by_campaign ON plays (campaign, at)",
    "CREATE TABLE plays_through (box TEXT PRIMARY KEY REFERENCES boxes (id), seq INTEGER NOT NULL,"
    " lost INTEGER NOT NULL) STRICT",
)


def note(tx: sqlite3.Connection, box: str, body: PlayBody) -> int:
    """Keeps what is new. Up to which number this box need not say any more again."""
    for play in body.plays:
        tx.execute(
            "INSERT INTO plays VALUES (?,?,?,?,?,?,?) ON CONFLICT (box, seq) DO NOTHING",
            (box, play.seq, play.campaign, play.sha256, play.slot, play.at, play.seconds),
        )
    row = tx.execute("SELECT seq, lost FROM plays_through WHERE box = ?", (box,)).fetchone()
    through, lost = (row["seq"], row["lost"]) if row is not None else (0, 0)
    if body.first > through + 1:  # what the box dropped is gone: waiting for it would hold up all the rest
        have = _count(tx, box, through + 1, body.first - 1)
        lost += body.first - 1 - through - have
        through = body.first - 1
    while _count(tx, box, through + 1, through + 1):
        through += 1
    tx.execute(
        "INSERT INTO plays_through VALUES (?,?,?) ON CONFLICT (box) DO UPDATE SET seq = excluded.seq,"
        " lost = excluded.lost",
        (box, through, lost),
    )
    return through


def totals(tx: sqlite3.Connection, campaign: str | None = None) -> list[dict[str, Any]]:
    """How often and how long each campaign was shown, and on how many boxes."""
    rows = tx.execute(
        "SELECT campaign, slot, count(*) AS plays, sum(seconds) AS seconds, count(DISTINCT box) AS boxes,"
        " min(at) AS first_at, max(at) AS last_at FROM plays WHERE ? IS NULL OR campaign = ?"
        " GROUP BY campaign, slot ORDER BY campaign, slot",
        (campaign, campaign),
    )
    return [dict(row) for row in rows]


def lost(tx: sqlite3.Connection) -> dict[str, int]:
    """Showings that boxes dropped for want of room, by box."""
    return {row["box"]: row["lost"] for row in tx.execute("SELECT box, lost FROM plays_through WHERE lost > 0")}


def _count(tx: sqlite3.Connection, box: str, first: int, last: int) -> int:
    row = tx.execute("SELECT count(*) FROM plays WHERE box = ? AND seq BETWEEN ? AND ?", (box, first, last)).fetchone()
    return int(row[0])

"""Proofs of play at the fleet: each showing once, by its box and number; acknowledged as far as nothing is missing.

The newest of each box are kept one by one. What is older is kept as sums, lest a few hundred displays fill the disk of
the books of account.
"""

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
SUMS = (
    "CREATE TABLE play_sums (box TEXT NOT NULL REFERENCES boxes (id), campaign TEXT NOT NULL, slot TEXT NOT NULL,"
    " plays INTEGER NOT NULL, seconds INTEGER NOT NULL, first_at INTEGER NOT NULL, last_at INTEGER NOT NULL,"
    " PRIMARY KEY (box, campaign, slot)) STRICT",
)
KEPT = 10_000  # of a box, one by one: more than a day of ten-second showings
AT_ONCE = 20  # of a box, each time: more than it shows meanwhile


def note(tx: sqlite3.Connection, box: str, body: PlayBody) -> int:
    """Keeps what is new. Up to which number this box need not say any more again."""
    row = tx.execute("SELECT seq, lost FROM plays_through WHERE box = ?", (box,)).fetchone()
    through, lost = (row["seq"], row["lost"]) if row is not None else (0, 0)
    for play in body.plays:
        if play.seq <= through:  # known, and perhaps among the sums by now
            continue
        tx.execute(
            "INSERT INTO plays VALUES (?,?,?,?,?,?,?) ON CONFLICT (box, seq) DO NOTHING",
            (box, play.seq, play.campaign, play.sha256, play.slot, play.at, play.seconds),
        )
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
        "SELECT campaign, slot, sum(plays) AS plays, sum(seconds) AS seconds, count(DISTINCT box) AS boxes,"
        " min(first_at) AS first_at, max(last_at) AS last_at FROM"
        " (SELECT box, campaign, slot, 1 AS plays, seconds, at AS first_at, at AS last_at FROM plays"
        " UNION ALL SELECT box, campaign, slot, plays, seconds, first_at, last_at FROM play_sums)"
        " WHERE ? IS NULL OR campaign = ? GROUP BY campaign, slot ORDER BY campaign, slot",
        (campaign, campaign),
    )
    return [dict(row) for row in rows]


def fold(tx: sqlite3.Connection) -> int:
    """Now and then: some of what is old and acknowledged becomes part of its sum. How many showings did."""
    folded = 0
    for box, through in tx.execute("SELECT box, seq FROM plays_through WHERE seq > ?", (KEPT,)).fetchall():
        oldest = tx.execute(
            "SELECT seq FROM plays WHERE box = ? AND seq <= ? ORDER BY seq LIMIT ?", (box, through - KEPT, AT_ONCE)
        ).fetchall()
        if not oldest:
            continue
        those = (box, oldest[-1]["seq"])
        tx.execute(
            "INSERT INTO play_sums SELECT box, campaign, slot, count(*), sum(seconds), min(at), max(at) FROM plays"
            " WHERE box = ? AND seq <= ? GROUP BY campaign, slot ON CONFLICT (box, campaign, slot) DO UPDATE"
            " SET plays = plays + excluded.plays, seconds = seconds + excluded.seconds,"
            " first_at = min(first_at, excluded.first_at), last_at = max(last_at, excluded.last_at)",
            those,
        )
        tx.execute("DELETE FROM plays WHERE box = ? AND seq <= ?", those)
        folded += len(oldest)
    return folded


def lost(tx: sqlite3.Connection) -> dict[str, int]:
    """Showings that boxes dropped for want of room, by box."""
    return {row["box"]: row["lost"] for row in tx.execute("SELECT box, lost FROM plays_through WHERE lost > 0")}


def _count(tx: sqlite3.Connection, box: str, first: int, last: int) -> int:
    row = tx.execute("SELECT count(*) FROM plays WHERE box = ? AND seq BETWEEN ? AND ?", (box, first, last)).fetchone()
    return int(row[0])

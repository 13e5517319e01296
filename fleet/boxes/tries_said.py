"""Which box said how many wrong tries of a payer: what rests on a box's word can be taken back when the box was stolen.

What was counted before this was kept stands under no box's name.
"""

from __future__ import annotations

import sqlite3

MOST = 1_000_000
Key = tuple[str, str, str]  # tenant, handle, factor


def add(tx: sqlite3.Connection, key: Key, box: str, tries: int, now: int) -> None:
    tx.execute(
        "INSERT INTO factor_tries_said (tenant, handle, factor, box, wrong, changed_at) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, handle, factor, box) DO UPDATE SET wrong = min(wrong + excluded.wrong, ?),"
        " changed_at = excluded.changed_at",
        (*key, box, tries, now, MOST),
    )


def left(tx: sqlite3.Connection, key: Key) -> tuple[int, int]:
    """How many all boxes say together, and when the last of them was told (0: none was)."""
    row = tx.execute(
        "SELECT coalesce(sum(wrong), 0), coalesce(max(changed_at), 0) FROM factor_tries_said"
        " WHERE tenant = ? AND handle = ? AND factor = ?",
        key,
    ).fetchone()
    return min(row[0], MOST), row[1]


def end(tx: sqlite3.Connection, key: Key) -> None:
    tx.execute("DELETE FROM factor_tries_said WHERE tenant = ? AND handle = ? AND factor = ?", key)


def end_proven(tx: sqlite3.Connection, key: Key, box: str, here_until: int, elsewhere_until: int) -> bool:
    """What `box` had told by the one time, and the others by the other; whether there was any."""
    ended = tx.execute(
        "DELETE FROM factor_tries_said WHERE tenant = ? AND handle = ? AND factor = ?"
        " AND changed_at <= CASE box WHEN ? THEN ? ELSE ? END",
        (*key, box, here_until, elsewhere_until),
    )
    return ended.rowcount > 0


def end_word_of(tx: sqlite3.Connection, box: str, most: int) -> list[Key]:
    """Forgets what this box said, of so many payers' factors at once; whose they are."""
    rows = tx.execute(
        "SELECT tenant, handle, factor FROM factor_tries_said WHERE box = ? LIMIT ?", (box, most)
    ).fetchall()
    keys = [(row[0], row[1], row[2]) for row in rows]
    tx.executemany(
        "DELETE FROM factor_tries_said WHERE tenant = ? AND handle = ? AND factor = ? AND box = ?",
        [(*key, box) for key in keys],
    )
    return keys


def revoked(tx: sqlite3.Connection) -> list[str]:
    """Boxes whose key is not believed any more, and whose word on somebody's tries still counts."""
    rows = tx.execute(
        "SELECT id FROM boxes WHERE revoked_at IS NOT NULL AND id IN (SELECT DISTINCT box FROM factor_tries_said)"
    )
    return [row[0] for row in rows]

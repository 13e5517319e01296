"""Wrong PINs, counted durably *before* each check, so that a pulled plug never gives a free try.

Three tries, then a lock that doubles with every further wrong one; it survives a restart. Wall time is used because the
lock must; a clock that was set back makes the lock longer, never shorter.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import sqlite_utils

MAX_TRIES = 3
LOCK_S = 15 * 60
LONGEST_LOCK_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Try:
    """`allowed` says whether the PIN may be compared now; `left` counts the tries after this one."""

    allowed: bool
    left: int
    locked_until: int


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("pin_tries").create(
        {"payer": str, "wrong": int, "locked_until": int},
        pk="payer",
        not_null={"wrong", "locked_until"},
        if_not_exists=True,
    )


def count(tx: sqlite3.Connection, payer: str, now: int) -> Try:
    """Counts one try as wrong, in the caller's transaction; `clear` takes it back once the PIN proved right."""
    row = tx.execute("SELECT wrong, locked_until FROM pin_tries WHERE payer = ?", (payer,)).fetchone()
    wrong, locked_until = (row["wrong"], row["locked_until"]) if row else (0, 0)
    if now < locked_until:
        return Try(False, 0, locked_until)
    wrong += 1
    if wrong >= MAX_TRIES:
        locked_until = now + min(LOCK_S * 2 ** (wrong - MAX_TRIES), LONGEST_LOCK_S)
    tx.execute(
        "INSERT INTO pin_tries VALUES (?,?,?) ON CONFLICT (payer) DO UPDATE SET wrong = excluded.wrong,"
        " locked_until = excluded.locked_until",
        (payer, wrong, locked_until),
    )
    return Try(True, max(0, MAX_TRIES - wrong), locked_until)


def clear(tx: sqlite3.Connection, payer: str) -> None:
    tx.execute("DELETE FROM pin_tries WHERE payer = ?", (payer,))


def spare(tx: sqlite3.Connection, payer: str) -> None:
    """Takes the last try back, and a lock with it: it was counted for a look-alike who proved to be somebody else.

    Only that one: whoever looks like a payer must not clear the payer's count by paying.
    """
    row = tx.execute("SELECT wrong FROM pin_tries WHERE payer = ?", (payer,)).fetchone()
    if row is not None and row["wrong"] <= MAX_TRIES:
        tx.execute("UPDATE pin_tries SET wrong = max(0, wrong - 1), locked_until = 0 WHERE payer = ?", (payer,))

"""Wrong PINs, counted durably *before* each check, so that a pulled plug never gives a free try.

Three tries, then a lock that doubles with every further wrong one; it survives a restart. `now` is a time that has
certainly come (`TrustedClock.certain`), so that a clock which was put on ends no lock early. A lock that was set before
the fleet had said the time (not `sure`) begins anew once it does: nobody knows how long ago it was.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made


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
    database.table("unsure_locks").create({"payer": str}, pk="payer", if_not_exists=True)


def count(tx: sqlite3.Connection, payer: str, now: int, *, sure: bool = True) -> Try:
    """Counts one try as wrong, in the caller's transaction; `clear` takes it back once the PIN proved right."""
    row = tx.execute("SELECT wrong, locked_until FROM pin_tries WHERE payer = ?", (payer,)).fetchone()
    wrong, locked_until = (row["wrong"], row["locked_until"]) if row else (0, 0)
    if now < locked_until:
        return Try(False, 0, locked_until)
    wrong += 1
    if wrong >= MAX_TRIES:
        locked_until = now + lock_s(wrong)
        tx.execute("DELETE FROM unsure_locks WHERE payer = ?", (payer,))
        if not sure:
            tx.execute("INSERT INTO unsure_locks VALUES (?)", (payer,))
    tx.execute(
        "INSERT INTO pin_tries VALUES (?,?,?) ON CONFLICT (payer) DO UPDATE SET wrong = excluded.wrong,"
        " locked_until = excluded.locked_until",
        (payer, wrong, locked_until),
    )
    return Try(True, max(0, MAX_TRIES - wrong), locked_until)


def lock_s(wrong: int) -> int:
    """How long so many wrong ones lock, in seconds."""
    return min(LOCK_S << min(max(0, wrong - MAX_TRIES), 20), LONGEST_LOCK_S)


def raise_to(tx: sqlite3.Connection, payer: str, wrong: int, locked_until: int) -> None:
    """At least so many were wrong, and nothing is compared before then."""
    tx.execute(
        "INSERT INTO pin_tries VALUES (?,?,?) ON CONFLICT (payer) DO UPDATE SET wrong = max(wrong, excluded.wrong),"
        " locked_until = max(locked_until, excluded.locked_until)",
        (payer, wrong, locked_until),
    )


def begin_anew(tx: sqlite3.Connection, before: int, now: int) -> None:
    """The fleet has said the time, `now`, which was taken for `before` until then: each lock of that uncertain time
    that still ran has its whole length before it."""
    for row in tx.execute(
        "DELETE FROM unsure_locks RETURNING payer,"
        " (SELECT wrong FROM pin_tries t WHERE t.payer = unsure_locks.payer AND t.locked_until > ?) AS wrong",
        (before,),
    ).fetchall():
        if row["wrong"] is not None:
            until = now + lock_s(row["wrong"])
            tx.execute("UPDATE pin_tries SET locked_until = ? WHERE payer = ?", (until, row["payer"]))


def clear(tx: sqlite3.Connection, payer: str) -> None:
    tx.execute("DELETE FROM pin_tries WHERE payer = ?", (payer,))


def spare(tx: sqlite3.Connection, payer: str) -> None:
    """Takes the last try back, and a lock with it: it was counted for a look-alike who proved to be somebody else.

    Only that one: whoever looks like a payer must not clear the payer's count by paying.
    """
    row = tx.execute("SELECT wrong FROM pin_tries WHERE payer = ?", (payer,)).fetchone()
    if row is not None and row["wrong"] <= MAX_TRIES:
        tx.execute("UPDATE pin_tries SET wrong = max(0, wrong - 1), locked_until = 0 WHERE payer = ?", (payer,))

"""How many payers a box may tell wrong tries of that have no account here: a box that was taken over can make up names,
and each would be a row that nobody's payment ever ends.

A payer with an account is not of these, however many there are. One without may still be real, paying through a
provider: so the count of one is forgotten only where there is no room for another, and only long after its lock.
"""

from __future__ import annotations

import logging
import sqlite3

from fleet.money import accounts

log = logging.getLogger("fleet.boxes.tries")

MOST = 500  # of one box, all factors together
_KNOWN = "EXISTS (SELECT 1 FROM accounts a WHERE a.name = 'payer:' || s.handle)"


def has_room(tx: sqlite3.Connection, key: tuple[str, str, str], box: str, over_at: int) -> bool:
    """Whether what `box` tells of this payer (tenant, handle, factor) can be kept. Makes room where it can: the oldest
    count that rests on this box's word alone and has not changed since `over_at` (unix seconds) goes."""
    told = "SELECT 1 FROM factor_tries_said WHERE tenant = ? AND handle = ? AND factor = ? AND box = ?"
    if tx.execute(told, (*key, box)).fetchone() is not None:
        return True
    if accounts.exists(tx, accounts.payer_account(key[1])):
        return True
    kept = tx.execute(
        f"SELECT count(*) FROM (SELECT 1 FROM factor_tries_said s WHERE box = ? AND NOT {_KNOWN} LIMIT ?)", (box, MOST)
    ).fetchone()[0]
    if kept < MOST:
        return True
    if (oldest := _oldest(tx, box, over_at)) is None:
        log.warning("event=tries_not_kept box=%s payers=%d", box, MOST)
        return False
    for table in ("factor_tries_said", "factor_tries"):
        tx.execute(f"DELETE FROM {table} WHERE tenant = ? AND handle = ? AND factor = ?", oldest)
    return True


def _oldest(tx: sqlite3.Connection, box: str, over_at: int) -> tuple[str, str, str] | None:
    row = tx.execute(
        "SELECT tenant, handle, factor FROM factor_tries_said s JOIN factor_tries t USING (tenant, handle, factor)"
        f" WHERE s.box = ? AND t.changed_at < ? AND NOT {_KNOWN} AND NOT EXISTS (SELECT 1 FROM factor_tries_said o"
        " WHERE o.tenant = s.tenant AND o.handle = s.handle AND o.factor = s.factor AND o.box <> s.box)"
        " ORDER BY t.changed_at LIMIT 1",
        (box, over_at),
    ).fetchone()
    return None if row is None else (row[0], row[1], row[2])

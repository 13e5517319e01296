"""Wrong tries between this box and the others: what the fleet was not told yet, and what it said of others' tries.

A try that is to be told is counted in the transaction that counts the try itself; so a plug that is pulled before the
answer leaves it to be told after the start. What the fleet says only ever adds to the box's own count; a lock of the
fleet is ended by the fleet, or by its time.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from daemon.books import pin_tries
from daemon.books.pin_tries import Try
from mqtt.schemas import EventBody, PayerTries

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made

MOST_AT_ONCE = 100


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("tries_to_tell").create({"payer": str, "tries": int}, pk="payer", if_not_exists=True)
    database.table("fleet_tries").create({"payer": str, "version": int}, pk="payer", if_not_exists=True)


def count(tx: sqlite3.Connection, name: str, now: int, *, sure: bool = True) -> Try:
    """As `pin_tries.count`; the fleet is to hear of it, unless it turns out right."""
    tried = pin_tries.count(tx, name, now, sure=sure)
    if tried.allowed:
        tx.execute(
            "INSERT INTO tries_to_tell VALUES (?, 1) ON CONFLICT (payer) DO UPDATE SET tries = tries + 1", (name,)
        )
    return tried


def not_wrong(tx: sqlite3.Connection, name: str) -> None:
    """The last try of this name was no guess: there is nothing to tell of it."""
    tx.execute("UPDATE tries_to_tell SET tries = tries - 1 WHERE payer = ?", (name,))
    tx.execute("DELETE FROM tries_to_tell WHERE payer = ? AND tries < 1", (name,))


def to_tell(tx: sqlite3.Connection, wall: int) -> list[EventBody]:
    """What the fleet is to be told now; it counts as told with the caller's transaction."""
    rows = tx.execute("DELETE FROM tries_to_tell RETURNING payer, tries").fetchall()
    return [_event(row["payer"], min(row["tries"], MOST_AT_ONCE), wall) for row in rows]


def adopt(tx: sqlite3.Connection, said: PayerTries) -> bool:
    """Takes the fleet's count of one payer's factor; False for an older word than was heard before."""
    name = said.handle if said.factor == "pin" else f"{said.handle}#{said.factor}"
    known = tx.execute("SELECT version FROM fleet_tries WHERE payer = ?", (name,)).fetchone()
    if known is not None and said.version <= known["version"]:
        return False
    tx.execute("INSERT OR REPLACE INTO fleet_tries VALUES (?, ?)", (name, said.version))
    if said.wrong:
        pin_tries.raise_to(tx, name, said.wrong, said.locked_until)
        return True
    pin_tries.clear(tx, name)
    untold = tx.execute("SELECT tries FROM tries_to_tell WHERE payer = ?", (name,)).fetchone()
    if untold is not None:  # wrong since, and the fleet does not know it yet
        pin_tries.raise_to(tx, name, untold["tries"], 0)
    return True


def forget(tx: sqlite3.Connection, handle: str) -> None:
    """Whoever is erased leaves no count of any factor."""
    for table in ("pin_tries", "unsure_locks", "tries_to_tell", "fleet_tries"):
        tx.execute(f"DELETE FROM {table} WHERE payer = ? OR substr(payer, 1, ?) = ?", _names(handle))


def _names(handle: str) -> tuple[str, int, str]:
    return handle, len(handle) + 1, f"{handle}#"


def _event(name: str, tries: int, wall: int) -> EventBody:
    handle, _, factor = name.partition("#")
    return EventBody(event="factor.wrong", at=wall, handle=handle, data={"factor": factor or "pin", "tries": tries})

"""The journal: append-only, hash-chained, no personal data.

Each entry's hash covers the one before it, so an edit, a deletion or a reordering shows at its place. That the tail was
not cut off is shown by checkpoints: the head, signed by the box, which goes to the fleet.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.errors import JournalBroken

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `at` is Unix seconds, `hash` is SHA-256 over the canonical form of everything else and `prev_hash`."""

    seq: int
    at: int
    name: str
    facts: Mapping[str, str | int]
    prev_hash: str
    hash: str


PRUNED = "journal_pruned"


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last entry that was forgotten: its number, its hash, and the checkpoint in which the box signed them."""

    seq: int
    head: str
    at: int
    token: str


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("journal").create(
        {"seq": int, "at": int, "name": str, "facts": str, "prev_hash": str, "hash": str},
        pk="seq", not_null={"at", "name", "facts", "prev_hash", "hash"}, if_not_exists=True,
    )  # fmt: skip
    database.table("journal_anchor").create(
        {"seq": int, "head": str, "at": int, "token": str}, pk="seq", not_null={"head", "at", "token"},
        if_not_exists=True,
    )  # fmt: skip


def anchor(connection: sqlite3.Connection) -> Anchor | None:
    """Where the journal begins since it was pruned last; None: with its first entry."""
    try:
        row = connection.execute("SELECT * FROM journal_anchor ORDER BY seq DESC LIMIT 1").fetchone()
    except sqlite3.OperationalError:  # a file of a release that pruned nothing
        return None
    return Anchor(**dict(row)) if row is not None else None


def append(tx: sqlite3.Connection, name: str, facts: Mapping[str, str | int], at: int) -> Entry:
    """Adds an entry in the caller's transaction."""
    row = tx.execute("SELECT seq, hash FROM journal ORDER BY seq DESC LIMIT 1").fetchone()
    seq, prev_hash = (row["seq"] + 1, row["hash"]) if row else (1, GENESIS)
    text = _canonical(facts)
    entry = Entry(seq, at, name, facts, prev_hash, _hash(seq, at, name, text, prev_hash))
    tx.execute("INSERT INTO journal VALUES (?,?,?,?,?,?)", (seq, at, name, text, prev_hash, entry.hash))
    return entry


def entries(connection: sqlite3.Connection, last: int | None = None) -> Iterator[Entry]:
    """All entries in order, or the `last` so many."""
    start = 0
    if last is not None:
        start = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0] - last
    for row in connection.execute("SELECT * FROM journal WHERE seq > ? ORDER BY seq", (start,)):
        yield Entry(row["seq"], row["at"], row["name"], json.loads(row["facts"]), row["prev_hash"], row["hash"])


def verify(connection: sqlite3.Connection) -> tuple[int, str]:
    """Walks the whole chain, from its anchor on where it was pruned; the last entry's number and hash.

    Raises:
        JournalBroken: at the first entry that does not hold.
    """
    begin = anchor(connection)
    count, prev_hash = (0, GENESIS) if begin is None else (begin.seq, begin.head)
    told = begin is None
    for row in connection.execute("SELECT * FROM journal ORDER BY seq"):
        if row["seq"] != count + 1:
            raise JournalBroken(count + 1, f"is missing; the next one found is {row['seq']}")
        if row["prev_hash"] != prev_hash:
            raise JournalBroken(row["seq"], "does not follow the one before it")
        if _hash(row["seq"], row["at"], row["name"], row["facts"], row["prev_hash"]) != row["hash"]:
            raise JournalBroken(row["seq"], "was changed after it was written")
        count, prev_hash = row["seq"], row["hash"]
        told = told or (begin is not None and row["name"] == PRUNED and json.loads(row["facts"]) == pruned(begin))
    if begin is not None and not told:
        raise JournalBroken(begin.seq + 1, "is the first, and no entry says that those before it were pruned")
    return count, prev_hash


def hash_of(entry: Entry) -> str:
    """What the entry's hash must be, from everything else in it."""
    return _hash(entry.seq, entry.at, entry.name, _canonical(entry.facts), entry.prev_hash)


def pruned(begin: Anchor) -> dict[str, str | int]:
    """What the journal says of its own pruning."""
    return {"through": begin.seq, "head": begin.head}


def _canonical(facts: Mapping[str, str | int]) -> str:
    return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _hash(seq: int, at: int, name: str, facts: str, prev_hash: str) -> str:
    line = json.dumps([seq, at, name, facts, prev_hash], separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(line.encode()).hexdigest()

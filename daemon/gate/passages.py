"""The passages on disk: each is written with its charge before the gate opens, and marked once it has opened."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.books import journal
from daemon.counter.gate import Passage
from daemon.payment.status import Status

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made

RESUMED_S = 600  # so long a passage whose gate never opened is opened again, without another charge
KEPT_S = 90 * 24 * 3600
_UNPAID = (Status.WRITTEN_OFF.value, Status.DECLINED.value)


@dataclass(frozen=True, slots=True)
class NewPassage:
    """`order_id` is the charge's; None where nothing is charged."""

    passage_id: str
    payer: str
    at: int
    charged_minor: int
    currency: str
    order_id: str | None


def create_schema(database: sqlite_utils.Database) -> None:
    table = database.table("passages")
    table.create(
        {
            "passage_id": str, "payer": str, "at": int, "charged_minor": int, "currency": str, "order_id": str,
            "opened_at": int,
        },
        pk="passage_id", not_null={"payer", "at", "charged_minor", "currency"}, if_not_exists=True,
    )  # fmt: skip
    table.create_index(["payer", "at"], if_not_exists=True)


def write(tx: sqlite3.Connection, passage: NewPassage, rule: str) -> None:
    """In the transaction of its charge."""
    tx.execute(
        "INSERT INTO passages (passage_id, payer, at, charged_minor, currency, order_id) VALUES (?, ?, ?, ?, ?, ?)",
        (
            passage.passage_id, passage.payer, passage.at, passage.charged_minor, passage.currency, passage.order_id,
        ),
    )  # fmt: skip
    facts: dict[str, str | int] = {"id": passage.passage_id, "minor": passage.charged_minor, "rule": rule}
    if passage.order_id is not None:
        facts["order_id"] = passage.order_id
    journal.append(tx, "passage", facts, passage.at)
    tx.execute("DELETE FROM passages WHERE at < ?", (passage.at - KEPT_S,))


def is_written(reader: sqlite3.Connection, passage_id: str) -> bool:
    return reader.execute("SELECT 1 FROM passages WHERE passage_id = ?", (passage_id,)).fetchone() is not None


def mark_opened(tx: sqlite3.Connection, passage_id: str, now: int) -> None:
    tx.execute("UPDATE passages SET opened_at = ? WHERE passage_id = ? AND opened_at IS NULL", (now, passage_id))


def today(reader: sqlite3.Connection, payer: str, now: int) -> tuple[Passage, ...]:
    """This payer's passages of the box's own day, and those that nobody could be made to pay in the last 90."""
    rows = reader.execute(
        "SELECT p.at, p.charged_minor, coalesce(o.status IN (?, ?), 0) AS unpaid FROM passages p"
        " LEFT JOIN orders o USING (order_id) WHERE p.payer = ? AND (p.at >= ? OR unpaid)",
        (*_UNPAID, payer, midnight(now)),
    )
    return tuple(Passage(int(row["at"]), int(row["charged_minor"]), bool(row["unpaid"])) for row in rows)


def unopened(reader: sqlite3.Connection, payer: str, now: int) -> str | None:
    """A passage of this payer that is paid for, or will be, and whose gate is not known to have opened."""
    row = reader.execute(
        "SELECT passage_id FROM passages WHERE payer = ? AND opened_at IS NULL AND at > ? ORDER BY at DESC LIMIT 1",
        (payer, now - RESUMED_S),
    ).fetchone()
    return None if row is None else str(row["passage_id"])


def name_unopened(tx: sqlite3.Connection, now: int) -> list[str]:
    """At a start: a line of the journal for each passage that a power cut left without a word on its gate."""
    rows = tx.execute(
        "SELECT passage_id, order_id FROM passages WHERE opened_at IS NULL AND passage_id NOT IN"
        " (SELECT json_extract(facts, '$.id') FROM journal WHERE name = 'gate_uncertain')"
    ).fetchall()
    for row in rows:
        facts: dict[str, str | int] = {"id": row["passage_id"], "order_id": row["order_id"] or ""}
        journal.append(tx, "gate_uncertain", facts, now)
    return [str(row["passage_id"]) for row in rows]


def midnight(now: int) -> int:
    """When the box's own day began, unix seconds."""
    local = time.localtime(now)
    return int(time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1)))

"""Where evidence is kept: `box.db`, in the transaction of the step it speaks of."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made


def create_schema(database: sqlite_utils.Database) -> None:
    database.table("evidence").create(
        {"order_id": str, "attempt": int, "decision": str, "evidence": str},
        pk=("order_id", "attempt"), not_null={"decision"}, if_not_exists=True,
    )  # fmt: skip


def keep_decision(tx: sqlite3.Connection, order_id: str, attempt: int, token: str) -> str:
    """Keeps the signed decision; its SHA-256, for the journal."""
    tx.execute("INSERT INTO evidence (order_id, attempt, decision) VALUES (?,?,?)", (order_id, attempt, token))
    return digest(token)


def decision_of(tx: sqlite3.Connection, order_id: str, attempt: int) -> str | None:
    row = tx.execute("SELECT decision FROM evidence WHERE order_id = ? AND attempt = ?", (order_id, attempt)).fetchone()
    return row["decision"] if row else None


def keep_evidence(tx: sqlite3.Connection, order_id: str, attempt: int, token: str) -> str:
    """Keeps the signed end, in place of an earlier one (an approval that was refunded later); its SHA-256."""
    tx.execute("UPDATE evidence SET evidence = ? WHERE order_id = ? AND attempt = ?", (token, order_id, attempt))
    return digest(token)


def all_evidence(connection: sqlite3.Connection, order_id: str | None = None) -> Iterator[str]:
    """Of every attempt that has ended, or of one order's."""
    rows = connection.execute(
        "SELECT evidence FROM evidence WHERE evidence IS NOT NULL AND (? IS NULL OR order_id = ?) ORDER BY rowid",
        (order_id, order_id),
    )
    for row in rows:
        yield row["evidence"]


def digest(token: str) -> str:
    """SHA-256 of the compact JWS, hexadecimal."""
    return hashlib.sha256(token.encode("ascii")).hexdigest()

"""Campaigns that the fleet has switched off, on disk: a restart must not bring one back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made


def create_schema(database: sqlite_utils.Database) -> None:
    database.execute("CREATE TABLE IF NOT EXISTS ads_killed (one INTEGER PRIMARY KEY CHECK (one = 1), ids TEXT) STRICT")


def keep(tx: sqlite3.Connection, campaigns: Collection[str]) -> None:
    """These and no others."""
    tx.execute(
        "INSERT INTO ads_killed VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET ids = excluded.ids",
        (json.dumps(sorted(campaigns)),),
    )


def load(connection: sqlite3.Connection) -> frozenset[str]:
    row = connection.execute("SELECT ids FROM ads_killed").fetchone()
    return frozenset(json.loads(row["ids"])) if row else frozenset()

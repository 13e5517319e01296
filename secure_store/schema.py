"""The tables of `store.db`, version by version. A release reads every earlier version and refuses every later one."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

from secure_store.access import error_of
from secure_store.database import Database, open_database
from secure_store.errors import NotAStore, SchemaTooNew, StoreDamaged, StoreUnwritable

APPLICATION_ID = 0x4B465353  # "KFSS"
# A sealed 512-d template has 2,113 bytes, the four of an enrolment 8,400: in pages of 4 KiB half would stay empty, and
# of 32 KiB three such sets leave a quarter.
PAGE_BYTES = 65536

_VERSION_1 = """
CREATE TABLE keyring (
  name TEXT NOT NULL, generation INTEGER NOT NULL, holder TEXT NOT NULL, wrapped BLOB NOT NULL,
  PRIMARY KEY (name, generation, holder)
);
CREATE TABLE models (id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE);
CREATE TABLE people (
  id INTEGER PRIMARY KEY, subject TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, counter INTEGER NOT NULL,
  generation INTEGER NOT NULL, wrapped_key BLOB NOT NULL, profile BLOB NOT NULL
);
CREATE TABLE template_sets (
  id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
  model INTEGER NOT NULL REFERENCES models (id), sealed BLOB NOT NULL, UNIQUE (person, model)
);
CREATE TABLE census (id INTEGER PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL);
"""

# Finding a person by phone or card, by a keyed hash; and who was erased, so that no backup brings them back.
_VERSION_2 = """
CREATE TABLE lookups (
  id INTEGER PRIMARY KEY, person INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
  kind TEXT NOT NULL, hash BLOB NOT NULL
);
CREATE INDEX lookups_by_hash ON lookups (kind, hash);
CREATE INDEX lookups_by_person ON lookups (person);
CREATE TABLE tombstones (handle BLOB PRIMARY KEY, counter INTEGER NOT NULL);
CREATE INDEX people_by_generation ON people (generation);
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2)
NEWEST = len(MIGRATIONS)


def connect(path: Path, page_bytes: int = PAGE_BYTES) -> Database:
    """Opens or creates the file and brings it to the newest schema.

    Raises StoreUnwritable, StoreFull, NotAStore, SchemaTooNew, StoreDamaged.
    """
    try:
        # SQLite gives its log the mode of the file, so the file is made first, for its owner alone.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        database = open_database(path)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnwritable(str(path), f"it cannot be opened ({error})") from None
    try:
        database.text_factory = partial(str, encoding="utf-8", errors="replace")  # a damaged handle still has a name
        _set_up(database, path, page_bytes)
    except sqlite3.DatabaseError as error:
        database.close()
        raise error_of(path, error) from None
    except UnicodeDecodeError as error:  # SQLite quotes damaged bytes in its own messages
        database.close()
        raise StoreDamaged(str(path), f"SQLite cannot read it ({error})") from None
    except BaseException:
        database.close()
        raise
    return database


def _set_up(database: Database, path: Path, page_bytes: int) -> None:
    pragma = _pragmas(database)
    version, application = pragma("user_version"), pragma("application_id")
    # A first start that was cut off leaves a file with a header and no tables.
    empty = pragma("page_count") == 0 or database.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is None
    if not empty and application != APPLICATION_ID:
        raise NotAStore(str(path), "it is an SQLite file of something else")
    if version > NEWEST:
        raise SchemaTooNew(str(path), f"its schema has version {version}, this release knows up to {NEWEST}")
    if empty:
        pragma(f"page_size={page_bytes}")
    for setting in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "secure_delete=ON",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "trusted_schema=OFF",
    ):
        pragma(setting)
    migrate(database, version)


def migrate(database: Database, version: int) -> None:
    """Each step in one transaction together with its version number: cut off anywhere, it is whole or not begun."""
    if version == NEWEST:
        return
    import sqlite_utils  # slow to import, and most starts find the newest schema

    tables = sqlite_utils.Database(database, execute_plugins=False)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        with tables.atomic():
            for statement in script.split(";"):
                if statement.strip():
                    tables.execute(statement)
            tables.execute(f"PRAGMA application_id={APPLICATION_ID}")
            tables.execute(f"PRAGMA user_version={number}")


def _pragmas(database: Database) -> Callable[[str], int]:
    def pragma(text: str) -> int:
        row = database.execute(f"PRAGMA {text}").fetchone()
        return row[0] if row is not None and isinstance(row[0], int) else 0

    return pragma

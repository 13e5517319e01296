"""The fleet's one SQLite file. Invariants that must hold whatever the code does are written into the schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from fleet.migrations import FROM_VERSION_1, MIGRATIONS, Migration
from mqtt.inbox import Inbox
from mqtt.outbox import Outbox

# Version 2, to which every change since is a step of `fleet.migrations`: never change these tables.
_TABLES = """
CREATE TABLE IF NOT EXISTS boxes (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, public_pem BLOB NOT NULL, merchant TEXT NOT NULL, added_at INTEGER NOT NULL,
  revoked_at INTEGER, online INTEGER NOT NULL DEFAULT 0, seen_at INTEGER, state_iat INTEGER NOT NULL DEFAULT 0,
  session TEXT, state TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS accounts (
  name TEXT PRIMARY KEY, kind TEXT NOT NULL CHECK (kind IN ('payer', 'merchant', 'equity')), opened_at INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL CHECK (kind IN ('opening', 'capture', 'reversal')),
  order_id TEXT, attempt INTEGER, at INTEGER NOT NULL
) STRICT;
-- one capture per order, ever; one reversal per capture
CREATE UNIQUE INDEX IF NOT EXISTS one_of_each_per_order ON entries (order_id, kind) WHERE order_id IS NOT NULL;

CREATE TABLE IF NOT EXISTS postings (
  entry INTEGER NOT NULL REFERENCES entries (id), account TEXT NOT NULL REFERENCES accounts (name),
  currency TEXT NOT NULL, amount_minor INTEGER NOT NULL CHECK (amount_minor <> 0), PRIMARY KEY (entry, account)
) STRICT;
CREATE INDEX IF NOT EXISTS postings_by_account ON postings (account, currency, amount_minor);
-- the past is not edited
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS postings_stay BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS postings_remain BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'append-only'); END;

CREATE TABLE IF NOT EXISTS orders (
  order_id TEXT PRIMARY KEY, box TEXT NOT NULL REFERENCES boxes (id), merchant TEXT NOT NULL REFERENCES accounts (name),
  amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL, title TEXT,
  created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'reversed', 'cancelled')),
  closed_reason TEXT, outbox_id INTEGER, sent_at INTEGER, on_box_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS orders_open ON orders (box, expires_at) WHERE status = 'open';
CREATE INDEX IF NOT EXISTS orders_by_message ON orders (outbox_id);

CREATE TABLE IF NOT EXISTS attempts (
  order_id TEXT NOT NULL REFERENCES orders (order_id), attempt INTEGER NOT NULL CHECK (attempt > 0),
  payer TEXT, factors TEXT, channel TEXT, flow TEXT, received_at INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('submitted', 'approved', 'declined', 'reversed')),
  reason TEXT NOT NULL, reference TEXT, settled_at INTEGER,
  decided_at INTEGER, confirmed_at INTEGER CHECK (confirmed_at IS NULL OR status = 'approved'),
  PRIMARY KEY (order_id, attempt)
) STRICT;
-- one live attempt per order
CREATE UNIQUE INDEX IF NOT EXISTS one_live_attempt ON attempts (order_id) WHERE status IN ('submitted', 'approved');
CREATE INDEX IF NOT EXISTS attempts_unconfirmed ON attempts (settled_at)
  WHERE status = 'approved' AND confirmed_at IS NULL;
-- what the box has taken as approved stays so: the goods have gone
CREATE TRIGGER IF NOT EXISTS confirmed_stays BEFORE UPDATE ON attempts WHEN OLD.confirmed_at IS NOT NULL
  AND (NEW.status <> OLD.status OR NEW.confirmed_at IS NOT OLD.confirmed_at)
BEGIN SELECT RAISE(ABORT, 'confirmed by the box'); END;

CREATE TABLE IF NOT EXISTS commands (
  command_id TEXT PRIMARY KEY, box TEXT NOT NULL REFERENCES boxes (id), command TEXT NOT NULL, args TEXT NOT NULL,
  created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  status TEXT NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'cancelled', 'failed')),
  reason TEXT, on_box_at INTEGER, ended_at INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS commands_open ON commands (box) WHERE status = 'open';

CREATE TABLE IF NOT EXISTS tickets (
  id TEXT PRIMARY KEY, secret TEXT NOT NULL, box_name TEXT NOT NULL, merchant TEXT NOT NULL, for_box TEXT,
  created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL,
  used_by TEXT, used_at INTEGER, answer TEXT, CHECK ((used_by IS NULL) = (answer IS NULL))
) STRICT;
"""

TABLES_VERSION = 2
SCHEMA_VERSION = MIGRATIONS[-1].version

STATEMENTS = 512  # more than the program has, so that none is parsed twice

OUTBOX = Outbox()
INBOX = Inbox()


def open_database(path: Path) -> sqlite3.Connection:
    """WAL and FULL: what is committed survives a power cut. May be used from another thread, by one at a time."""
    connection = sqlite3.connect(path, timeout=10, check_same_thread=False, cached_statements=STATEMENTS)
    path.chmod(0o600)
    # secure_delete: an order that has gone out may name a member's phone, a pay request who was forced
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.isolation_level = None  # transactions begin where the code says so
    connection.row_factory = sqlite3.Row
    if _version(connection) > SCHEMA_VERSION:
        raise sqlite3.DatabaseError(f"{path} was made by a newer version of this program")
    if _version(connection) < SCHEMA_VERSION:
        _bring_up_to_date(connection)
    return connection


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    """All or nothing, and once, however many processes open it at a time."""
    from sqlite_utils import Database  # slow to import, and needed for a new file only

    connection.execute("PRAGMA foreign_keys=OFF")  # for tables that are made anew; outside a transaction only
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = _version(connection)
        if found == 1:
            _take(connection, FROM_VERSION_1)
        if found < TABLES_VERSION:
            for statement in _statements(_TABLES):
                connection.execute(statement)
            db = Database(connection)
            OUTBOX.create_tables(db)
            INBOX.create_tables(db)
        for migration in MIGRATIONS:
            if migration.version > found:
                _take(connection, migration)
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise sqlite3.IntegrityError("a change of the tables lost rows that others refer to")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    finally:
        if not connection.in_transaction:
            connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("COMMIT")
    connection.execute("PRAGMA foreign_keys=ON")


def _take(connection: sqlite3.Connection, migration: Migration) -> None:
    for statement in migration.statements:
        connection.execute(statement)


def _statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""

"""How the fleet's database got from each version to the next, in order. Append; never change what has been released.

Every file goes through the same steps: a new one starts with the tables of `fleet.database`, which are version 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from fleet.content.plays import SUMS as PLAY_SUMS
from fleet.content.plays import TABLES as PLAY_TABLES
from fleet.migrations_money import (
    CHANNELS_AND_REFUNDS,
    EARLY_ENDS,
    FACTOR_TRIES,
    MEMBERS_AND_VOUCHERS,
    POINTS_AND_PACKETS,
    RUNNING_BALANCES,
    SIGN_UPS,
    SMILES,
    TOP_UPS,
    TRIES_SAID,
)


@dataclass(frozen=True, slots=True)
class Migration:
    """Brings a file to `version`. Each statement is one SQL statement; all run in one transaction."""

    version: int
    what: str
    statements: tuple[str, ...]


# Before the tables of version 2 are made: version 1 called a capture final at once; what it called so, stays so.
FROM_VERSION_1 = Migration(
    2, "an attempt is final once its box confirmed it",
    (
        "ALTER TABLE attempts ADD COLUMN decided_at INTEGER",
        "ALTER TABLE attempts ADD COLUMN confirmed_at INTEGER CHECK (confirmed_at IS NULL OR status = 'approved')",
        "UPDATE attempts SET confirmed_at = settled_at WHERE status = 'approved'",
    ),
)  # fmt: skip

MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        3, "a box has a tenant and a group",
        (
            "ALTER TABLE boxes ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default'",
            "ALTER TABLE boxes ADD COLUMN box_group TEXT NOT NULL DEFAULT 'main'",
        ),
    ),
    Migration(
        4, "a box makes orders of its own, within limits",
        (
            "CREATE TABLE box_order_limits (box TEXT NOT NULL REFERENCES boxes (id), currency TEXT NOT NULL,"
            " up_to_minor INTEGER NOT NULL CHECK (up_to_minor >= 0), PRIMARY KEY (box, currency)) STRICT",
            "CREATE TABLE box_orders (order_id TEXT PRIMARY KEY REFERENCES orders (order_id), source TEXT NOT NULL,"
            " reference TEXT, made_at INTEGER NOT NULL, taken_at INTEGER NOT NULL) STRICT",
        ),
    ),
    Migration(
        5, "what boxes sign for the record",
        (
            "CREATE TABLE checkpoints (box TEXT NOT NULL REFERENCES boxes (id), seq INTEGER NOT NULL,"
            " head TEXT NOT NULL, at INTEGER NOT NULL, taken_at INTEGER NOT NULL, token TEXT NOT NULL,"
            " PRIMARY KEY (box, seq)) STRICT",
            "CREATE TABLE evidence (box TEXT NOT NULL REFERENCES boxes (id), order_id TEXT NOT NULL,"
            " attempt INTEGER NOT NULL, status TEXT NOT NULL, taken_at INTEGER NOT NULL, token TEXT NOT NULL,"
            " PRIMARY KEY (box, order_id, attempt)) STRICT",
            "CREATE TABLE audit_faults (id INTEGER PRIMARY KEY AUTOINCREMENT, box TEXT NOT NULL REFERENCES boxes (id),"
            " kind TEXT NOT NULL, detail TEXT NOT NULL, at INTEGER NOT NULL) STRICT",
        ),
    ),
    Migration(
        6, "configs in layers, and how they are rolled out",
        (
            "CREATE TABLE config_layers (scope TEXT NOT NULL CHECK (scope IN ('tenant', 'group', 'box')),"
            " name TEXT NOT NULL, settings TEXT NOT NULL, changed_at INTEGER NOT NULL,"
            " PRIMARY KEY (scope, name)) STRICT",
            "CREATE TABLE rollouts (id INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, name TEXT NOT NULL,"
            " settings TEXT NOT NULL, before TEXT, waves TEXT NOT NULL, halt_percent REAL NOT NULL,"
            " answer_within_s INTEGER NOT NULL, wave INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN"
            " ('running', 'halted', 'done', 'rolled_back', 'superseded')), why TEXT NOT NULL DEFAULT '',"
            " created_at INTEGER NOT NULL, ended_at INTEGER) STRICT",
            "CREATE UNIQUE INDEX one_rollout_at_a_time ON rollouts (scope, name) WHERE state IN ('running', 'halted')",
            "CREATE TABLE rollout_boxes (rollout INTEGER NOT NULL REFERENCES rollouts (id),"
            " box TEXT NOT NULL REFERENCES boxes (id), wave INTEGER NOT NULL, version INTEGER, sent_at INTEGER,"
            " outcome TEXT, reason TEXT, errors TEXT, ended_at INTEGER, PRIMARY KEY (rollout, box)) STRICT",
            "CREATE INDEX rollout_boxes_by_box ON rollout_boxes (box)",
            "CREATE TABLE config_desired (box TEXT PRIMARY KEY REFERENCES boxes (id), version INTEGER NOT NULL,"
            " settings TEXT NOT NULL, asked_at INTEGER NOT NULL, outcome TEXT, reason TEXT, errors TEXT,"
            " running INTEGER, reported_at INTEGER) STRICT",
        ),
    ),
    Migration(
        7, "how each box is, and what remote commands brought to light",
        (
            "CREATE TABLE box_health (box TEXT PRIMARY KEY REFERENCES boxes (id), at INTEGER NOT NULL,"
            " heard_at INTEGER NOT NULL, beat_s INTEGER NOT NULL, body TEXT NOT NULL) STRICT",
            "CREATE TABLE box_instances (box TEXT PRIMARY KEY REFERENCES boxes (id), instance TEXT NOT NULL,"
            " before TEXT, twin_at INTEGER) STRICT",
            "CREATE TABLE command_results (command_id TEXT NOT NULL REFERENCES commands (command_id),"
            " part INTEGER NOT NULL, parts INTEGER NOT NULL, media TEXT NOT NULL, data BLOB NOT NULL,"
            " PRIMARY KEY (command_id, part)) STRICT",
        ),
    ),
    Migration(8, "money goes through channels, comes back in parts, and late", CHANNELS_AND_REFUNDS),
    Migration(
        9, "who left which box, and how far each box's store had come",
        (
            "CREATE TABLE departures (box TEXT NOT NULL REFERENCES boxes (id), handle TEXT NOT NULL,"
            " event TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL, heard_at INTEGER NOT NULL,"
            " PRIMARY KEY (box, handle, event)) STRICT",
            "CREATE TABLE store_counters (box TEXT PRIMARY KEY REFERENCES boxes (id), counter INTEGER NOT NULL,"
            " heard_at INTEGER NOT NULL, public_key TEXT) STRICT",
        ),
    ),
    Migration(10, "proofs of play", PLAY_TABLES),
    Migration(11, "members with coupons and points; payments accepted offline", MEMBERS_AND_VOUCHERS),
    Migration(12, "an order may say how its payer is to be known", ("ALTER TABLE orders ADD COLUMN flow TEXT",)),
    Migration(13, "points are spent; red packets", POINTS_AND_PACKETS),
    Migration(14, "an attempt may end before its order is known; since when an order is cancelled", EARLY_ENDS),
    Migration(15, "who signed up after a payment", SIGN_UPS),
    Migration(16, "top-ups at a box", TOP_UPS),
    Migration(17, "a coupon for a smile", SMILES),
    Migration(18, "wrong tries of a payer at all boxes together", FACTOR_TRIES),
    Migration(19, "balances are kept beside their postings", RUNNING_BALANCES),
    Migration(
        20, "a box that joins later gets its catalogue too",
        (
            "CREATE TABLE catalogue_scopes (scope TEXT NOT NULL CHECK (scope IN ('tenant', 'group', 'box')),"
            " name TEXT NOT NULL, document TEXT NOT NULL, version INTEGER NOT NULL, pushed_at INTEGER NOT NULL,"
            " PRIMARY KEY (scope, name)) STRICT",
            "CREATE TABLE catalogue_offers (box TEXT PRIMARY KEY REFERENCES boxes (id), document TEXT NOT NULL) STRICT",
        ),
    ),
    Migration(
        21, "how long a box watches a config before it keeps it",
        ("ALTER TABLE rollout_boxes ADD COLUMN watch_s INTEGER",),
    ),
    Migration(
        22, "the newest command of a name is found without reading all",
        ("CREATE INDEX commands_by_name ON commands (command, created_at)",),
    ),
    Migration(23, "old proofs of play are kept as sums", PLAY_SUMS),
    Migration(
        24, "a config reaches many boxes in several transactions; a box's old rollouts are not read any more",
        (
            "CREATE TABLE config_due (seq INTEGER PRIMARY KEY AUTOINCREMENT, box TEXT NOT NULL UNIQUE"
            " REFERENCES boxes (id)) STRICT",
            "CREATE INDEX rollout_boxes_by_version ON rollout_boxes (box, version)",
            "DROP INDEX rollout_boxes_by_box",
        ),
    ),
    Migration(25, "which box said how many wrong tries of a payer", TRIES_SAID),
)  # fmt: skip

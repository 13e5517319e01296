"""A day's attempts of this box as a signed list, to be held against the fleet's ledger (docs/protocol/reconcile.md)."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.payment.reconcile import AttemptLine, Head, write
from daemon.payment.status import Status
from mqtt.identity import box_id_from_key


def lines(connection: sqlite3.Connection, begins: int, ends: int) -> list[AttemptLine]:
    """What was decided from `begins` to before `ends` (unix seconds): the journal says when, the row how it stands."""
    rows = connection.execute(
        "SELECT a.order_id, a.attempt, a.amount_minor, a.currency, a.channel, a.status, a.reference, min(j.at)"
        " FROM journal j JOIN attempts a ON a.order_id = json_extract(j.facts, '$.order_id')"
        " AND a.attempt = json_extract(j.facts, '$.attempt') WHERE j.name = 'attempt'"
        " AND json_extract(j.facts, '$.status') = ? AND j.at >= ? AND j.at < ? GROUP BY a.order_id, a.attempt",
        (Status.CONFIRMED.value, begins, ends),
    )
    return [
        AttemptLine(
            order_id, attempt, minor, currency, channel or "", status,
            minor if status == Status.REFUNDED else 0,  # a box gives back the whole, or nothing
            reference, decided_at,
        )
        for order_id, attempt, minor, currency, channel, status, reference, decided_at in rows
    ]  # fmt: skip


def export(connection: sqlite3.Connection, key: Ed25519PrivateKey, day: str, utc_offset_min: int) -> tuple[bytes, int]:
    """The list and how many attempts it has. Raises ValueError for a day that is none."""
    begins = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) - timedelta(minutes=utc_offset_min)
    ends = begins + timedelta(days=1)
    box = box_id_from_key(key.public_key())
    found = lines(connection, int(begins.timestamp()), int(ends.timestamp()))
    return write(Head(box, box, day, utc_offset_min), found, key.sign), len(found)

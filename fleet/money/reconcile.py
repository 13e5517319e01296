"""The ledger's side of reconciliation: a box's day against the box's own list, a channel's day against the provider's.

The first reads the books alone; the second is part of the running gateway, which speaks to the providers. What a
provider took for an attempt that is over here is looked at at once: it is a late success, and goes back.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.payment.reconcile import AttemptLine, Difference, ExportRefused, Head, Verify, compare, read
from fleet.channels.adapter import Trade
from fleet.errors import RequestRefused
from fleet.money import attempts
from mqtt.identity import parse_public_pem

Lines = dict[tuple[str, int], AttemptLine]


def lines(tx: sqlite3.Connection, box: str, day: str, utc_offset_min: int) -> Lines:
    """The box's attempts of that day, as the ledger has them. Raises RequestRefused for a day that is none."""
    begins, ends = span(day, utc_offset_min)
    rows = tx.execute(
        "SELECT a.*, o.amount_minor AS order_minor, o.currency, (SELECT coalesce(sum(r.amount_minor), 0) FROM refunds r"
        " WHERE r.order_id = a.order_id AND r.attempt = a.attempt AND r.late = 0 AND r.status = 'refunded') AS back"
        " FROM attempts a JOIN orders o USING (order_id) WHERE o.box = ?"
        " AND coalesce(a.decided_at, a.received_at) >= ? AND coalesce(a.decided_at, a.received_at) < ?",
        (box, begins, ends),
    ).fetchall()
    found = (
        AttemptLine(
            row["order_id"], row["attempt"], row["amount_minor"] or row["order_minor"], row["currency"],
            row["channel"] or "", _status(row), row["back"], row["reference"],
            row["decided_at"] if row["decided_at"] is not None else row["received_at"],
        )
        for row in rows
    )  # fmt: skip
    return {(line.order_id, line.attempt): line for line in found}


def against_box(tx: sqlite3.Connection, data: bytes, box: str, day: str) -> tuple[Head, int, list[Difference]]:
    """The box's own list against the ledger: its head, how many attempts it has, and what they disagree about.
    Raises RequestRefused for a list of another box or day, or one that is not whole and signed by that box."""
    what = f"the list of {box} for {day}"
    try:
        head, theirs = read(data, lambda by: _verifier(tx, by))
    except ExportRefused as refused:
        raise RequestRefused(what, str(refused), "export it from the box again") from refused
    if (head.by, head.box, head.day) != (box, box, day):
        raise RequestRefused(what, f"this is {head.by}'s list of {head.box} for {head.day}", "take the right file")
    return head, len(theirs), compare(lines(tx, box, day, head.utc_offset_min), theirs)


def against_provider(
    tx: sqlite3.Connection, channel: str, day: str, utc_offset_min: int, theirs: Sequence[Trade]
) -> list[dict[str, Any]]:
    """The provider's own list of a day against the entries of that day, by our key: what either has more of.
    `money`: what stayed with the provider in the end is not what stayed here. `looked_at`: the attempt is over here,
    and its provider is asked again now."""
    begins, ends = span(day, utc_offset_min)
    here: Counter[tuple[str, str, str]] = Counter()
    for row in tx.execute(
        "SELECT a.provider_key, e.kind, p.amount_minor, p.currency FROM entries e JOIN postings p ON p.entry = e.id"
        " AND p.amount_minor > 0 JOIN attempts a USING (order_id, attempt) WHERE a.channel = ?"
        " AND a.provider_key IS NOT NULL AND e.at >= ? AND e.at < ?"
        " AND e.kind IN ('capture', 'late_capture', 'reversal', 'refund')",
        (channel, begins, ends),
    ):
        kind = "capture" if row["kind"] in ("capture", "late_capture") else "refund"
        here[row["provider_key"], kind, row["currency"]] += row["amount_minor"]
    there: Counter[tuple[str, str, str]] = Counter()
    for trade in theirs:
        there[trade.key, trade.kind, trade.currency] += trade.amount_minor
    kept: Counter[tuple[str, str]] = Counter()  # more there than here, by key and currency
    for key, kind, currency in here.keys() | there.keys():
        more = there[key, kind, currency] - here[key, kind, currency]
        kept[key, currency] += more if kind == "capture" else -more
    return [
        _provider_difference(tx, item, here[item], there[item], money=kept[item[0], item[2]] != 0)
        for item in sorted(here.keys() | there.keys())
        if here[item] != there[item]
    ]


def look_again(tx: sqlite3.Connection, differences: Sequence[dict[str, Any]], now: int) -> list[attempts.Key]:
    """Attempts that are over here and were paid there: asked about again at once."""
    keys = [(d["order_id"], d["attempt"]) for d in differences if d["looked_at"]]
    for key in keys:
        attempts.look_again(tx, *key, now)
    return keys


def as_json(difference: Difference) -> dict[str, Any]:
    return asdict(difference)


def span(day: str, utc_offset_min: int) -> tuple[int, int]:
    """The day's first second and that of the next, in unix time. Raises RequestRefused."""
    try:
        begins = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) - timedelta(minutes=utc_offset_min)
    except ValueError as error:
        raise RequestRefused(f"day {day[:20]!r}", "not a day", "YYYY-MM-DD, like 2026-11-21") from error
    return int(begins.timestamp()), int((begins + timedelta(days=1)).timestamp())


def _provider_difference(
    tx: sqlite3.Connection, item: tuple[str, str, str], here_minor: int, there_minor: int, *, money: bool
) -> dict[str, Any]:
    key, kind, currency = item
    row = tx.execute("SELECT order_id, attempt, status FROM attempts WHERE provider_key = ?", (key,)).fetchone()
    over = row is not None and row["status"] in ("reversed", "declined")
    late = money and kind == "capture" and not here_minor and over
    return {
        "provider_key": key, "kind": kind, "currency": currency, "here_minor": here_minor, "there_minor": there_minor,
        "order_id": row["order_id"] if row else None, "attempt": row["attempt"] if row else None,
        "status": row["status"] if row else None, "money": money, "looked_at": late,
    }  # fmt: skip


def _status(row: sqlite3.Row) -> str:
    if row["status"] == "approved" and row["back"]:
        return "refunded" if row["back"] >= (row["amount_minor"] or row["order_minor"]) else "approved"
    return str(row["status"])


def _verifier(tx: sqlite3.Connection, by: str) -> Verify | None:
    row = tx.execute("SELECT public_pem FROM boxes WHERE id = ? AND revoked_at IS NULL", (by,)).fetchone()
    if row is None:
        return None
    key: Ed25519PublicKey = parse_public_pem(row[0], f"box {by}")

    def verify(text: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, text)
        except InvalidSignature:
            return False
        return True

    return verify

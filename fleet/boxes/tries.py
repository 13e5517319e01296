"""Wrong PINs, phone and card numbers of a payer, counted over all boxes of a tenant: N boxes give no 3 N guesses.

A box counts for itself before it compares, and tells each try that was wrong (`factor.wrong`). The third one in a row
locks at all of them, each further one twice as long. A payment with the factor that was approved proves it and ends the
count; a request alone proves nothing, as a box that was taken over can make one up. A lock ends by its time, or by an
operator's word.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import Any

from fleet.errors import NotFound
from mqtt.schemas import Body, EventBody, PayerTries, TriesBody

MAX_TRIES = 3
LOCK_S = 15 * 60
LONGEST_LOCK_S = 24 * 3600
MOST_AT_ONCE = 100  # tries that one message of a box tells, payers that one to it names
KINDS = {
    "pin": "pin", "pin_duress": "pin", "phone4": "phone", "phone11": "phone", "phone": "phone", "id_card": "id_card",
}  # fmt: skip


def note(tx: sqlite3.Connection, box: str, body: Body, now: int) -> PayerTries | None:
    """Counts what a box tells; what all boxes of its tenant must hear of it, if anything."""
    match body:
        case EventBody(event="factor.wrong", handle=str(handle), data=data):
            factor, tries = KINDS.get(str(data.get("factor"))), data.get("tries")
            if factor is None or type(tries) is not int or not 1 <= tries <= MOST_AT_ONCE:
                return None
            return _wrong(tx, _tenant(tx, box), handle, factor, tries, now)
        case _:
            return None


def proven(tx: sqlite3.Connection, order_id: str, attempt: int, now: int) -> tuple[str, list[PayerTries]]:
    """This attempt was approved just now, with the factors that its request named: the order's box, and the locks
    that all boxes of its tenant must hear the end of. What was counted since the request came stays, and so does what
    a lock counted that ran when it came: its box had not heard of the lock, or lies."""
    paid = tx.execute(
        "SELECT o.box, a.payer, a.factors, a.received_at FROM attempts a JOIN orders o USING (order_id)"
        " WHERE a.order_id = ? AND a.attempt = ?",
        (order_id, attempt),
    ).fetchone()
    box, handle, asked_at = str(paid["box"]), paid["payer"], paid["received_at"]
    if tx.execute("SELECT 1 FROM factor_tries WHERE handle = ? AND wrong > 0", (handle,)).fetchone() is None:
        return box, []  # as nearly always
    tenant, ended = _tenant(tx, box), []
    for factor in sorted({KINDS[name] for name in json.loads(paid["factors"]) if name in KINDS}):
        row = _row(tx, tenant, handle, factor)
        if row is None or row["wrong"] == 0 or asked_at < row["locked_until"] or asked_at < row["changed_at"]:
            continue
        boxes_know = row["wrong"] >= MAX_TRIES
        entry = _keep(tx, tenant, handle, factor, 0, 0, now, told=boxes_know)
        ended += [entry] if boxes_know else []
    return box, ended


def standing(tx: sqlite3.Connection, box: str, now: int) -> Iterator[TriesBody]:
    """For a box that is back: every lock of its tenant, and how each of the last day ended."""
    rows = tx.execute(
        "SELECT * FROM factor_tries WHERE tenant = ? AND told_at > ? ORDER BY version",
        (_tenant(tx, box), now - LONGEST_LOCK_S),
    )
    entries = map(_entry, rows)
    while some := list(islice(entries, MOST_AT_ONCE)):
        yield TriesBody(payers=some)


def boxes_of(tx: sqlite3.Connection, box: str) -> list[str]:
    """All boxes of this one's tenant, itself included."""
    rows = tx.execute("SELECT id FROM boxes WHERE tenant = ? AND revoked_at IS NULL", (_tenant(tx, box),))
    return [row["id"] for row in rows]


def listing(tx: sqlite3.Connection, now: int) -> list[dict[str, Any]]:
    """Whoever was wrong since the last time they were right."""
    rows = tx.execute(
        "SELECT tenant, handle, factor, wrong, locked_until FROM factor_tries WHERE wrong > 0"
        " ORDER BY locked_until DESC, tenant, handle, factor"
    )
    return [dict(row) | {"locked": row["locked_until"] > now} for row in rows]


def unlock(tx: sqlite3.Connection, handle: str, now: int) -> list[tuple[str, PayerTries]]:
    """An operator's word: each lock of the payer with a box of its tenant. Raises NotFound."""
    rows = tx.execute("SELECT * FROM factor_tries WHERE handle = ? AND wrong > 0", (handle,)).fetchall()
    if not rows:
        raise NotFound(f"payer {handle}", "no wrong try is counted", "see `kingfisher-fleet tries`")
    ended = []
    for row in rows:
        entry = _keep(tx, row["tenant"], handle, row["factor"], 0, 0, now, told=True)
        box = tx.execute("SELECT id FROM boxes WHERE tenant = ? LIMIT 1", (row["tenant"],)).fetchone()
        ended += [(box["id"], entry)] if box is not None else []
    return ended


def forget(tx: sqlite3.Connection, now: int) -> None:
    """A count that ended need not be remembered once every lock of its time has ended too."""
    tx.execute("DELETE FROM factor_tries WHERE wrong = 0 AND changed_at < ?", (now - 2 * LONGEST_LOCK_S,))


def _wrong(tx: sqlite3.Connection, tenant: str, handle: str, factor: str, tries: int, now: int) -> PayerTries | None:
    known = _row(tx, tenant, handle, factor)
    wrong, locked_until = (known["wrong"] + tries, known["locked_until"]) if known is not None else (tries, 0)
    wrong = min(wrong, 1_000_000)
    if wrong >= MAX_TRIES:
        lock_s = min(LOCK_S << min(wrong - MAX_TRIES, 20), LONGEST_LOCK_S)
        locked_until = max(locked_until, now + lock_s)
    before = 0 if known is None else known["locked_until"]
    locks = wrong >= MAX_TRIES and (before <= now or locked_until - before >= LOCK_S)  # each goes to every box
    entry = _keep(tx, tenant, handle, factor, wrong, locked_until, now, told=wrong >= MAX_TRIES)
    return entry if locks else None


def _row(tx: sqlite3.Connection, tenant: str, handle: str, factor: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = tx.execute(
        "SELECT * FROM factor_tries WHERE tenant = ? AND handle = ? AND factor = ?", (tenant, handle, factor)
    ).fetchone()
    return row


def _keep(
    tx: sqlite3.Connection,
    tenant: str,
    handle: str,
    factor: str,
    wrong: int,
    locked_until: int,
    now: int,
    *,
    told: bool,
) -> PayerTries:
    """Versions follow the time: a count that was forgotten and began anew is newer than what boxes remember."""
    row = tx.execute(
        "INSERT INTO factor_tries (tenant, handle, factor, wrong, locked_until, version, changed_at, told_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7) ON CONFLICT (tenant, handle, factor) DO UPDATE SET"
        " wrong = excluded.wrong, locked_until = excluded.locked_until, version = max(version + 1, excluded.version),"
        " changed_at = excluded.changed_at, told_at = excluded.told_at RETURNING *",
        (tenant, handle, factor, wrong, locked_until, now, now if told else 0),
    ).fetchone()
    return _entry(row)


def _entry(row: sqlite3.Row) -> PayerTries:
    return PayerTries.model_validate(
        {name: row[name] for name in ("handle", "factor", "wrong", "locked_until", "version")}
    )


def _tenant(tx: sqlite3.Connection, box: str) -> str:
    return str(tx.execute("SELECT tenant FROM boxes WHERE id = ?", (box,)).fetchone()["tenant"])

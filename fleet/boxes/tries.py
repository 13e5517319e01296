"""Wrong PINs, phone and card numbers of a payer, counted over all boxes of a tenant: N boxes give no 3 N guesses.

A box counts for itself before it compares, and tells each try that was wrong (`factor.wrong`). The third one in a row
locks at all of them, each further one twice as long. A payment with the factor that was approved proves it and ends the
count; a request alone proves nothing, as a box that was taken over can make one up. A lock ends by its time, by an
operator's word, or when the box on whose word it rests is not believed any more.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from fleet.boxes import register, tries_said, tries_unknown
from fleet.errors import NotFound
from mqtt.schemas import Body, EventBody, PayerTries, TriesBody

MAX_TRIES = 3
LOCK_S = 15 * 60
LONGEST_LOCK_S = 24 * 3600
MOST_AT_ONCE = 100  # tries that one message of a box tells, payers that one to it names
KINDS = {
    "pin": "pin", "pin_duress": "pin", "phone4": "phone", "phone11": "phone", "phone": "phone", "id_card": "id_card",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TakenBack:
    """How a count stands without one box's word, and what the tenant's boxes must be told, in this order."""

    tenant: str
    handle: str
    factor: str
    wrong: int
    locked_until: int
    told: tuple[PayerTries, ...]


def note(tx: sqlite3.Connection, box: str, body: Body, now: int) -> PayerTries | None:
    """Counts what a box tells; what all boxes of its tenant must hear of it, if anything."""
    match body:
        case EventBody(event="factor.wrong", handle=str(handle), data=data):
            factor, tries = KINDS.get(str(data.get("factor"))), data.get("tries")
            if factor is None or type(tries) is not int or not 1 <= tries <= MOST_AT_ONCE:
                return None
            return _wrong(tx, box, (_tenant(tx, box), handle, factor), tries, now)
        case _:
            return None


def proven(tx: sqlite3.Connection, order_id: str, attempt: int, now: int) -> tuple[str, list[PayerTries]]:
    """This attempt was approved just now, with the factors that its request named: the order's box, and what all boxes
    of its tenant must hear. What was counted since the request came stays (elsewhere: since its box accepted the
    payment), and so does what a lock counted that ran when it came: its box had not heard of the lock, or lies."""
    paid = tx.execute(
        "SELECT o.box, a.payer, a.factors, a.received_at, coalesce(a.accepted_at, a.received_at) AS accepted_at"
        " FROM attempts a JOIN orders o USING (order_id) WHERE a.order_id = ? AND a.attempt = ?",
        (order_id, attempt),
    ).fetchone()
    box, handle, asked_at = str(paid["box"]), paid["payer"], paid["received_at"]
    if tx.execute("SELECT 1 FROM factor_tries WHERE handle = ? AND wrong > 0", (handle,)).fetchone() is None:
        return box, []  # as nearly always
    tenant = _tenant(tx, box)
    told: list[PayerTries] = []
    for factor in sorted({KINDS[name] for name in json.loads(paid["factors"]) if name in KINDS}):
        row = _row(tx, (tenant, handle, factor))
        if row is None or row["wrong"] == 0 or asked_at < row["locked_until"]:
            continue
        if tries_said.end_proven(tx, (tenant, handle, factor), box, asked_at, paid["accepted_at"]):
            told += _lower(tx, row, now).told
    return box, told


def take_back(tx: sqlite3.Connection, box: str, most: int, now: int) -> list[TakenBack]:
    """What this box said of some payers, at most so many, counts no more; what others said of them does, and locks for
    as long as if it had never spoken. Empty when nothing rests on its word."""
    found = []
    for key in tries_said.end_word_of(tx, box, most):
        row = _row(tx, key)
        if row is not None and row["wrong"] > 0:
            found.append(_lower(tx, row, now))
    return found


def standing(tx: sqlite3.Connection, box: str, now: int) -> Iterator[TriesBody]:
    """For a box that is back: every lock of its tenant, and how each of the last day ended or became shorter."""
    rows = tx.execute(
        "SELECT * FROM factor_tries WHERE tenant = ? AND told_at > ? ORDER BY version",
        (_tenant(tx, box), now - LONGEST_LOCK_S),
    )
    entries = chain.from_iterable(map(_words, rows))
    while some := list(islice(entries, MOST_AT_ONCE)):
        yield TriesBody(payers=some)


def boxes_of(tx: sqlite3.Connection, box: str) -> list[str]:
    """All boxes of this one's tenant, itself included."""
    return boxes_in(tx, _tenant(tx, box))


def boxes_in(tx: sqlite3.Connection, tenant: str) -> list[str]:
    rows = tx.execute("SELECT id FROM boxes WHERE tenant = ? AND revoked_at IS NULL", (tenant,))
    return [row["id"] for row in rows]


def any_box(tx: sqlite3.Connection, wanted: str) -> str:
    """Its id, by id also of a revoked one, or by name. Raises BoxUnknown."""
    known = tx.execute("SELECT id FROM boxes WHERE id = ?", (wanted,)).fetchone()
    return str((known if known is not None else register.choose(tx, wanted))["id"])


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
        key = (row["tenant"], handle, row["factor"])
        tries_said.end(tx, key)
        entry = _keep(tx, key, 0, 0, now, told=True)
        box = tx.execute("SELECT id FROM boxes WHERE tenant = ? LIMIT 1", (row["tenant"],)).fetchone()
        ended += [(box["id"], entry)] if box is not None else []
    return ended


def forget(tx: sqlite3.Connection, now: int) -> None:
    """A count that ended need not be remembered once every lock of its time has ended too."""
    tx.execute("DELETE FROM factor_tries WHERE wrong = 0 AND changed_at < ?", (now - 2 * LONGEST_LOCK_S,))


def _wrong(tx: sqlite3.Connection, box: str, key: tries_said.Key, tries: int, now: int) -> PayerTries | None:
    if not tries_unknown.has_room(tx, key, box, now - 2 * LONGEST_LOCK_S):
        return None
    known = _row(tx, key)
    wrong, locked_until = (known["wrong"] + tries, known["locked_until"]) if known is not None else (tries, 0)
    wrong = min(wrong, tries_said.MOST)
    tries_said.add(tx, key, box, tries, now)
    if wrong >= MAX_TRIES:
        locked_until = max(locked_until, now + _lock_s(wrong))
    before = 0 if known is None else known["locked_until"]
    locks = wrong >= MAX_TRIES and (before <= now or locked_until - before >= LOCK_S)  # each goes to every box
    entry = _keep(tx, key, wrong, locked_until, now, told=wrong >= MAX_TRIES)
    return entry if locks else None


def _lock_s(wrong: int) -> int:
    return min(LOCK_S << min(wrong - MAX_TRIES, 20), LONGEST_LOCK_S)


def _lower(tx: sqlite3.Connection, row: sqlite3.Row, now: int) -> TakenBack:
    """Some of what was said of this payer counts no more. Boxes that know of a lock hear of its end first, as they
    believe the higher of two counts."""
    key = (row["tenant"], row["handle"], row["factor"])
    wrong, last_at = tries_said.left(tx, key)
    boxes_know = row["wrong"] >= MAX_TRIES
    if wrong < MAX_TRIES:
        kept = _keep(tx, key, wrong, 0, now, told=boxes_know)
        return TakenBack(*key, wrong, 0, (_end(kept),) if boxes_know else ())
    locked_until = min(row["locked_until"], last_at + _lock_s(wrong))
    ended = _keep(tx, key, 0, 0, now, told=True)
    kept = _keep(tx, key, wrong, locked_until, now, told=True, lowered=True)
    return TakenBack(*key, wrong, locked_until, (ended, kept))


def _words(row: sqlite3.Row) -> tuple[PayerTries, ...]:
    """What a box that heard nothing of it for a day must hear."""
    entry = _entry(row)
    if entry.wrong < MAX_TRIES:
        return (_end(entry),)
    return (_end(entry, entry.version - 1), entry) if row["lowered"] else (entry,)


def _end(entry: PayerTries, version: int | None = None) -> PayerTries:
    """A count that does not lock is the gateway's own to keep."""
    return entry.model_copy(update={"wrong": 0, "locked_until": 0, "version": version or entry.version})


def _row(tx: sqlite3.Connection, key: tries_said.Key) -> sqlite3.Row | None:
    row: sqlite3.Row | None = tx.execute(
        "SELECT * FROM factor_tries WHERE tenant = ? AND handle = ? AND factor = ?", key
    ).fetchone()
    return row


def _keep(
    tx: sqlite3.Connection,
    key: tries_said.Key,
    wrong: int,
    locked_until: int,
    now: int,
    *,
    told: bool,
    lowered: bool = False,
) -> PayerTries:
    """Versions follow the time: a count that was forgotten and began anew is newer than what boxes remember."""
    row = tx.execute(
        "INSERT INTO factor_tries"
        " (tenant, handle, factor, wrong, locked_until, version, changed_at, told_at, lowered)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8) ON CONFLICT (tenant, handle, factor) DO UPDATE SET"
        " wrong = excluded.wrong, locked_until = excluded.locked_until, version = max(version + 1, excluded.version),"
        " changed_at = excluded.changed_at, told_at = excluded.told_at, lowered = excluded.lowered RETURNING *",
        (*key, wrong, locked_until, now, now if told else 0, lowered),
    ).fetchone()
    return _entry(row)


def _entry(row: sqlite3.Row) -> PayerTries:
    return PayerTries.model_validate(
        {name: row[name] for name in ("handle", "factor", "wrong", "locked_until", "version")}
    )


def _tenant(tx: sqlite3.Connection, box: str) -> str:
    return str(tx.execute("SELECT tenant FROM boxes WHERE id = ?", (box,)).fetchone()["tenant"])

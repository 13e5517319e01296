"""What boxes sign for the record: checkpoints of their journals, and the evidence of each attempt.

Kept as it came, signature and all, so that a box can be held to it later. What contradicts an earlier word, or the
ledger, is a fault with a name; a fault changes nothing about money: a person looks at it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from mqtt.envelope import TrustedKey, Verifier
from mqtt.errors import EnvelopeRefused
from mqtt.schemas import AnswerReason, CheckpointBody, DecisionBody, EvidenceBody

NO_MONEY = (None, "submitted", "declined", "reversed")


class Fault(StrEnum):
    JOURNAL_FORKED = "journal_forked"  # two heads for one entry: the journal was written anew
    JOURNAL_WENT_BACK = "journal_went_back"  # fewer entries than were signed before: an older copy, or a cut tail
    DECISION_FORGED = "decision_forged"  # the decision inside is not this box's, or of another attempt
    APPROVED_WITHOUT_CAPTURE = "approved_without_capture"
    AMOUNT_DIFFERS = "amount_differs"
    STORE_WENT_BACK = "store_went_back"  # the box's templates are an older copy: who left may be in it


def note_checkpoint(tx: sqlite3.Connection, box: str, body: CheckpointBody, token: str, now: int) -> Fault | None:
    """Keeps it; the fault it proves, if any."""
    known = tx.execute("SELECT head FROM checkpoints WHERE box = ? AND seq = ?", (box, body.seq)).fetchone()
    if known is not None:
        return _fault(tx, box, Fault.JOURNAL_FORKED, f"entry {body.seq}", now) if known["head"] != body.head else None
    newest = _newest(tx, box)
    tx.execute("INSERT INTO checkpoints VALUES (?,?,?,?,?,?)", (box, body.seq, body.head, body.at, now, token))
    if newest is not None and body.seq < newest["seq"] and body.at > newest["at"]:
        return _fault(tx, box, Fault.JOURNAL_WENT_BACK, f"from {newest['seq']} to {body.seq} entries", now)
    return None


def note_evidence(
    tx: sqlite3.Connection, box: str, body: EvidenceBody, token: str, trusted: TrustedKey, fleet: str, now: int
) -> Fault | None:
    """Keeps it; the fault it proves, if any. `trusted` is the box's own key."""
    tx.execute(
        "INSERT INTO evidence VALUES (?,?,?,?,?,?) ON CONFLICT (box, order_id, attempt) DO UPDATE SET"
        " status = excluded.status, taken_at = excluded.taken_at, token = excluded.token",
        (box, body.order_id, body.attempt, body.status, now, token),
    )
    place = f"{body.order_id}/{body.attempt}"
    decision = _decision(body, trusted, fleet)
    if decision is None:
        return _fault(tx, box, Fault.DECISION_FORGED, place, now)
    row = tx.execute(
        "SELECT coalesce(a.amount_minor, o.amount_minor) AS amount_minor, o.currency, a.status, a.reason"
        " FROM orders o LEFT JOIN attempts a"
        " ON a.order_id = o.order_id AND a.attempt = ? WHERE o.order_id = ? AND o.box = ?",
        (body.attempt, body.order_id, box),
    ).fetchone()
    captured = row is not None and row["status"] not in NO_MONEY
    if body.status == "approved" and not captured:
        return _fault(tx, box, Fault.APPROVED_WITHOUT_CAPTURE, place, now)
    if row is None or row["reason"] == AnswerReason.QUOTE_REFUSED:  # refused for its price, which is kept nowhere
        return None
    if (decision.amount_minor, decision.currency) != (row["amount_minor"], row["currency"]):
        return _fault(tx, box, Fault.AMOUNT_DIFFERS, place, now)
    return None


def note_store(tx: sqlite3.Connection, box: str, versions: Mapping[str, int | str], now: int) -> Fault | None:
    """How far the box's store has come, by its own word; the fault it proves, once for each such counter."""
    counter, key = versions.get("store"), versions.get("store_key")
    if not isinstance(counter, int):
        return None
    reached = store_reached(tx, box)
    tx.execute(
        "INSERT INTO store_counters VALUES (?,?,?,?) ON CONFLICT (box) DO UPDATE SET"
        " counter = max(counter, excluded.counter), heard_at = excluded.heard_at,"
        " public_key = coalesce(excluded.public_key, public_key)",
        (box, counter, now, key if isinstance(key, str) else None),
    )
    if reached is None or counter >= reached:
        return None
    detail = f"from {reached} to {counter}"
    known = tx.execute(
        "SELECT 1 FROM audit_faults WHERE box = ? AND kind = ? AND detail = ?", (box, Fault.STORE_WENT_BACK, detail)
    ).fetchone()
    return None if known else _fault(tx, box, Fault.STORE_WENT_BACK, detail, now)


def store_reached(tx: sqlite3.Connection, box: str) -> int | None:
    """The highest counter the box ever reported."""
    row = tx.execute("SELECT counter FROM store_counters WHERE box = ?", (box,)).fetchone()
    return None if row is None else int(row["counter"])


def overview(tx: sqlite3.Connection, box: str | None = None) -> list[dict[str, Any]]:
    """Each box's newest checkpoint, how much evidence is kept, and what was found wrong."""
    boxes = tx.execute("SELECT id, name FROM boxes WHERE ? IS NULL OR id = ? ORDER BY name, id", (box, box)).fetchall()
    return [
        {
            "box": row["id"], "name": row["name"], "checkpoint": _told(_newest(tx, row["id"])),
            "evidence": tx.execute("SELECT count(*) FROM evidence WHERE box = ?", (row["id"],)).fetchone()[0],
            "faults": [
                dict(fault)
                for fault in tx.execute(
                    "SELECT kind, detail, at FROM audit_faults WHERE box = ? ORDER BY id", (row["id"],)
                )
            ],
        }
        for row in boxes
    ]  # fmt: skip


def evidence_of(tx: sqlite3.Connection, box: str, order_id: str | None) -> Iterator[str]:
    """The tokens as the box signed them, oldest first."""
    rows = tx.execute(
        "SELECT token FROM evidence WHERE box = ? AND (? IS NULL OR order_id = ?) ORDER BY taken_at, order_id, attempt",
        (box, order_id, order_id),
    )
    for row in rows:
        yield row["token"]


def _decision(body: EvidenceBody, trusted: TrustedKey, fleet: str) -> DecisionBody | None:
    """The decision inside, where it is this box's and of this attempt."""
    verifier = Verifier({trusted.issuer: trusted}.get, fleet)
    try:
        claims = verifier.verify_carried(body.decision.encode("ascii"), "decision", timed=False)
        decision = DecisionBody.model_validate(claims.body)
    except (EnvelopeRefused, ValidationError):
        return None
    same = (decision.order_id, decision.attempt) == (body.order_id, body.attempt)
    return decision if same else None


def _newest(tx: sqlite3.Connection, box: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = tx.execute(
        "SELECT seq, head, at FROM checkpoints WHERE box = ? ORDER BY seq DESC LIMIT 1", (box,)
    ).fetchone()
    return row


def _told(row: sqlite3.Row | None) -> dict[str, Any] | None:
    return dict(row) if row is not None else None


def _fault(tx: sqlite3.Connection, box: str, kind: Fault, detail: str, now: int) -> Fault:
    tx.execute("INSERT INTO audit_faults (box, kind, detail, at) VALUES (?,?,?,?)", (box, kind, detail, now))
    return kind

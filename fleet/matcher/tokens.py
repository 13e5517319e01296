"""One-use face tokens: the matcher's word that this person stood before this box for this order, a moment ago.

A token is kept as its hash. It pays once: with the attempt that it was first shown with, and no other.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from daemon.payment.flows import FLOWS, needs_camera
from fleet.matcher.book import FaceBook
from mqtt.schemas import AnswerReason, PayRequestBody

LIFE_S = 120  # from the look to the pay request: a payer types a PIN meanwhile
KEPT_S = 24 * 3600  # so that one that is shown again is called used, and not unknown
CHECKED = {"pin": ("pin",), "pin_duress": ("pin",), "phone4": ("phone4", "phone11"), "phone11": ("phone11",)}


@dataclass(frozen=True, slots=True)
class Redeemed:
    """`refusal`, or the person whom the token stands for."""

    payer: str | None
    refusal: AnswerReason | None = None


def issue(
    tx: sqlite3.Connection, *, box: str, order_id: str, alias: str, handle: str, unsure: bool, proven: str, now: int
) -> str:  # fmt: skip
    """`unsure`: a look-alike is there too; it pays once a PIN has proven which of them it is. `proven`: the factor
    that was given before the look, if any."""
    token = secrets.token_urlsafe(24)
    tx.execute(
        "INSERT INTO tokens (hash, box, order_id, alias, handle, unsure, proven, made_at, expires_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (_hash(token), box, order_id, alias, handle, int(unsure), proven, now, now + LIFE_S),
    )
    tx.execute("DELETE FROM tokens WHERE expires_at < ?", (now - KEPT_S,))
    return token


def note_proven(tx: sqlite3.Connection, box: str, order_id: str, alias: str, factor: str) -> None:
    """A factor that was checked here may be claimed with this person's tokens of this order."""
    tx.execute(
        "UPDATE tokens SET proven = trim(proven || ' ' || ?) WHERE box = ? AND order_id = ? AND alias = ?",
        (factor, box, order_id, alias),
    )


def redeem(book: FaceBook, box: str, wanted: PayRequestBody, now: int) -> Redeemed | None:
    """None: this box does not pay by token. Shown again with the same attempt, a token says the same again."""
    flow = FLOWS.get(wanted.flow)
    by_face = flow is None or needs_camera(flow)
    if book.place_of(box) is None or not by_face:
        return None
    if wanted.face_token is None:
        return Redeemed(None, AnswerReason.FACE_UNNAMED)
    with book.writing() as tx:
        row = tx.execute("SELECT * FROM tokens WHERE hash = ?", (_hash(wanted.face_token),)).fetchone()
        refusal = _refusal(row, box, wanted, now)
        if refusal is not None:
            return Redeemed(None, refusal)
        tx.execute(
            "UPDATE tokens SET used_attempt = ?, used_at = coalesce(used_at, ?) WHERE hash = ?",
            (wanted.attempt, now, row["hash"]),
        )
    return Redeemed(str(row["handle"]))


def identified(book: FaceBook, box: str, command_id: str, alias: str, factors: Iterable[str]) -> Redeemed:
    """Who was verified for this command, where no money moves: somebody whom a look for it has named here, with factors
    that were checked here."""
    with book.reading() as tx:
        rows = tx.execute(
            "SELECT * FROM tokens WHERE box = ? AND order_id = ? AND alias = ? ORDER BY made_at DESC",
            (box, command_id, alias),
        ).fetchall()
    if not rows:
        return Redeemed(None, AnswerReason.FACE_UNKNOWN)
    claimed = tuple(factors)
    row = next((row for row in rows if _proves(row, claimed)), None)
    return Redeemed(None, AnswerReason.FACTOR_UNPROVEN) if row is None else Redeemed(str(row["handle"]))


def _refusal(row: sqlite3.Row | None, box: str, wanted: PayRequestBody, now: int) -> AnswerReason | None:
    if row is None or row["box"] != box:  # of another box it says no more than of one that never was
        return AnswerReason.FACE_UNKNOWN
    if row["order_id"] != wanted.order_id or row["alias"] != wanted.payer:
        return AnswerReason.FACE_OF_ANOTHER
    if row["used_attempt"] is not None:
        return None if row["used_attempt"] == wanted.attempt else AnswerReason.FACE_USED
    if now >= row["expires_at"]:
        return AnswerReason.FACE_EXPIRED
    return None if _proves(row, wanted.factors) else AnswerReason.FACTOR_UNPROVEN


def _proves(row: sqlite3.Row, factors: Iterable[str]) -> bool:
    """Whether each factor that a box claims was checked here; a look-alike needs the PIN."""
    proven = set(row["proven"].split())
    claimed = [CHECKED[name] for name in factors if name in CHECKED]
    return all(proven & set(names) for names in claimed) and (not row["unsure"] or "pin" in proven)


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

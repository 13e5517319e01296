"""The boxes the fleet trusts, and what each last said of itself."""

from __future__ import annotations

import json
import re
import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fleet.errors import BoxUnknown, RequestRefused
from fleet.money import accounts
from mqtt.identity import box_id_from_key, parse_public_pem, public_pem

GROUP = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from mqtt.envelope import TrustedKey
    from mqtt.schemas import StateBody


def add(tx: sqlite3.Connection, public: Ed25519PublicKey, name: str, merchant: str, now: int) -> str:
    """Trust this key; the box's id. Added again, name and merchant are replaced.
    Raises RequestRefused for a revoked one."""
    box = box_id_from_key(public)
    known = tx.execute("SELECT revoked_at FROM boxes WHERE id = ?", (box,)).fetchone()
    if known is not None and known[0] is not None:
        raise RequestRefused(f"adding box {box}", "its key was revoked", "a box that comes back makes a new key")
    accounts.open_account(tx, accounts.merchant_account(merchant), now)
    tx.execute(
        "INSERT INTO boxes (id, name, public_pem, merchant, added_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, merchant = excluded.merchant",
        (box, name, public_pem(public), merchant, now),
    )
    return box


def put_into_group(tx: sqlite3.Connection, box: str, group: str, tenant: str | None) -> None:
    """Where its config's layers come from. Raises RequestRefused."""
    if any(GROUP.fullmatch(name) is None for name in (group, tenant) if name is not None):
        raise RequestRefused("a group or tenant", "its name is a-z, 0-9 and -, up to 32 characters")
    tx.execute("UPDATE boxes SET box_group = ?, tenant = coalesce(?, tenant) WHERE id = ?", (group, tenant, box))


def revoke(tx: sqlite3.Connection, box: str, now: int) -> None:
    """Never believe this key again. Raises BoxUnknown."""
    if tx.execute("UPDATE boxes SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (now, box)).rowcount == 0:
        raise BoxUnknown(f"box {box}", "not in the registry", "see `kingfisher-fleet box list`")


def trusted_key(tx: sqlite3.Connection, kid: str) -> TrustedKey | None:
    """A box's key id is its id."""
    row = tx.execute("SELECT public_pem FROM boxes WHERE id = ? AND revoked_at IS NULL", (kid,)).fetchone()
    return _key(kid, row[0]) if row is not None else None


@lru_cache(maxsize=4096)
def _key(kid: str, pem: bytes) -> TrustedKey:
    """Whether it is trusted still is asked with each message; only its parsing is remembered."""
    from mqtt.envelope import TrustedKey  # not needed to list boxes, and slow to import

    return TrustedKey(kid, parse_public_pem(pem, f"box {kid}"))


def public_pem_of(tx: sqlite3.Connection, box: str) -> str:
    """Raises BoxUnknown."""
    row = tx.execute("SELECT public_pem FROM boxes WHERE id = ?", (box,)).fetchone()
    if row is None:
        raise BoxUnknown(f"box {box}", "not in the registry", "see `kingfisher-fleet box list`")
    return bytes(row[0]).decode("ascii")


def choose(tx: sqlite3.Connection, wanted: str | None) -> sqlite3.Row:
    """The box by id or name; the only one where none is named. Raises BoxUnknown."""
    columns = "SELECT id, name, merchant FROM boxes WHERE revoked_at IS NULL"
    rows = tx.execute(f"{columns} AND id = ?", (wanted,)).fetchall()
    if not rows:  # its id is what a till gives with each order: the others are looked through for a name alone
        rows = tx.execute(f"{columns} AND (? IS NULL OR name = ?)", (wanted, wanted)).fetchall()
    if len(rows) == 1:
        row: sqlite3.Row = rows[0]
        return row
    if not rows:
        raise BoxUnknown(f"box {wanted or ''}".strip(), "not in the registry", "see `kingfisher-fleet box list`")
    raise BoxUnknown("choosing a box", f"{len(rows)} fit", "give its id")


def note_state(tx: sqlite3.Connection, box: str, state: StateBody, iat: int, now: int) -> bool:
    """Remember what the box says. False: something newer is known already. A last will (`online: false`) counts for
    the connection it was signed for only, so a late one does not hide a box that is back."""
    if state.online:
        cursor = tx.execute(
            "UPDATE boxes SET online = 1, seen_at = ?, state_iat = ?, session = ?, state = ?"
            " WHERE id = ? AND state_iat <= ?",
            (now, iat, state.session, json.dumps(state.to_json()), box, iat),
        )
    else:
        cursor = tx.execute(
            "UPDATE boxes SET online = 0 WHERE id = ? AND (session IS NULL OR session IS ?)", (box, state.session)
        )
    return cursor.rowcount == 1


def note_seen(tx: sqlite3.Connection, box: str, now: int) -> None:
    tx.execute("UPDATE boxes SET seen_at = ? WHERE id = ?", (now, box))


def listing(tx: sqlite3.Connection) -> list[dict[str, Any]]:
    rows = tx.execute("SELECT * FROM boxes ORDER BY added_at, id")
    return [
        {
            "id": row["id"], "name": row["name"], "merchant": row["merchant"], "tenant": row["tenant"],
            "group": row["box_group"], "added_at": row["added_at"],
            "revoked_at": row["revoked_at"], "online": bool(row["online"]), "seen_at": row["seen_at"],
            "state": json.loads(row["state"]) if row["state"] else None,
        }
        for row in rows
    ]  # fmt: skip

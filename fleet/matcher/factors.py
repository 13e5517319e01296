"""What a payer knows, kept as keyed hashes under the matcher's key, and how often it was typed wrong."""

from __future__ import annotations

import base64
import hmac
import os
import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from secure_store.sealed import keyed_hash

LAST_DIGITS = 4
MAX_TRIES = 3
LOCK_S = 15 * 60
LONGEST_LOCK_S = 24 * 3600
RECOMMENDED = {"m": 64 * 1024, "t": 3, "p": 4}  # argon2id: RFC 9106, second recommended option; m in KiB


def phone_hash(key: bytes, number: str) -> str:
    """The same for the same number: a person can be found by it."""
    return keyed_hash(key, b"whole\0" + digits(number).encode()).hex()


def last_digits_hash(key: bytes, handle: str, number: str) -> str:
    """Bound to the person: 10,000 values would otherwise be one table for all."""
    return keyed_hash(key, f"last4 of {handle}\0{digits(number)[-LAST_DIGITS:]}".encode()).hex()


def digits(number: str) -> str:
    return re.sub(r"[\s()+-]", "", number)


def pin_hashes(
    pepper: bytes, handle: str, pin: str, duress_pin: str | None, cost: Mapping[str, int] = RECOMMENDED
) -> dict[str, Any]:
    """argon2id of both PINs; without a duress PIN random bytes stand there, so that nothing shows who has one."""
    salt = os.urandom(16)
    forced = os.urandom(32) if duress_pin is None else _derive(pepper, handle, salt, duress_pin, cost)
    return {
        **cost, "salt": _text(salt), "pin": _text(_derive(pepper, handle, salt, pin, cost)), "duress": _text(forced),
    }  # fmt: skip


def check_pin(pepper: bytes, handle: str, kept: Mapping[str, Any] | None, typed: str) -> str:
    """`proven`, `duress`, `wrong` or `none_set`; each takes as long as the other."""
    if kept is None:
        return "none_set"
    cost = {name: int(kept[name]) for name in RECOMMENDED}
    derived = _derive(pepper, handle, base64.b64decode(kept["salt"]), typed, cost)
    right = hmac.compare_digest(derived, base64.b64decode(kept["pin"]))
    forced = hmac.compare_digest(derived, base64.b64decode(kept["duress"]))
    return "proven" if right else "duress" if forced else "wrong"


def check_phone(key: bytes, handle: str, whole: str | None, last: str | None, typed: str) -> str:
    """Four digits are held against the last four, anything longer against the whole number."""
    if whole is None or last is None:
        return "none_set"
    if len(typed) == LAST_DIGITS:
        fits = hmac.compare_digest(last, last_digits_hash(key, handle, typed))
    else:
        fits = hmac.compare_digest(whole, phone_hash(key, typed))
    return "proven" if fits else "wrong"


def count_try(tx: sqlite3.Connection, handle: str, kind: str, now: int) -> int | None:
    """Counts one try as wrong before anything is compared; how many are left, or None while locked. Three, then a lock
    that doubles with each further one: for this person at all boxes together."""
    row = tx.execute("SELECT wrong, locked_until FROM tries WHERE handle = ? AND kind = ?", (handle, kind)).fetchone()
    wrong, locked_until = (row["wrong"], row["locked_until"]) if row else (0, 0)
    if now < locked_until:
        return None
    wrong += 1
    if wrong >= MAX_TRIES:
        locked_until = now + min(LOCK_S * 2 ** (wrong - MAX_TRIES), LONGEST_LOCK_S)
    tx.execute(
        "INSERT INTO tries (handle, kind, wrong, locked_until) VALUES (?, ?, ?, ?) ON CONFLICT (handle, kind)"
        " DO UPDATE SET wrong = excluded.wrong, locked_until = excluded.locked_until",
        (handle, kind, wrong, locked_until),
    )
    return max(0, MAX_TRIES - wrong)


def clear_tries(tx: sqlite3.Connection, handle: str, kind: str) -> None:
    """The right factor was given."""
    tx.execute("DELETE FROM tries WHERE handle = ? AND kind = ?", (handle, kind))


def spare_try(tx: sqlite3.Connection, handle: str, kind: str) -> None:
    """The try was counted for this look-alike too, and was the other one's: this one try is taken back."""
    tx.execute(
        "UPDATE tries SET wrong = max(0, wrong - 1), locked_until = 0 WHERE handle = ? AND kind = ? AND wrong <= ?",
        (handle, kind, MAX_TRIES),
    )


def _derive(pepper: bytes, handle: str, salt: bytes, pin: str, cost: Mapping[str, int]) -> bytes:
    kdf = Argon2id(
        salt=salt, length=32, iterations=cost["t"], lanes=cost["p"], memory_cost=cost["m"], ad=handle.encode(),
        secret=pepper,
    )  # fmt: skip
    return kdf.derive(pin.encode())


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")

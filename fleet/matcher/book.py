"""The people whom open-loop boxes may ask for: templates sealed under the matcher's key, tied to places.

The key lies beside the file: whoever takes the fleet's folder whole has both. What a copy of the file alone tells is
handles, places, dates and keyed hashes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fleet.errors import NotFound, RequestRefused
from fleet.matcher import factors
from pipeline.match import BruteForceMatcher, is_unit
from secure_store import sealed

PLACE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
VERSION = 1
_TABLES = (
    "CREATE TABLE people (handle TEXT PRIMARY KEY, model_hash TEXT NOT NULL, sealed BLOB NOT NULL, phone TEXT,"
    " last_digits TEXT, command_id TEXT UNIQUE, enrolled_at INTEGER NOT NULL, expires_at INTEGER) STRICT",
    "CREATE INDEX people_by_phone ON people (phone) WHERE phone IS NOT NULL",
    "CREATE TABLE person_places (handle TEXT NOT NULL REFERENCES people (handle) ON DELETE CASCADE,"
    " place TEXT NOT NULL, PRIMARY KEY (place, handle)) STRICT, WITHOUT ROWID",
    "CREATE TABLE box_places (box TEXT PRIMARY KEY, place TEXT NOT NULL) STRICT",
    "CREATE TABLE aliases (box TEXT NOT NULL, alias TEXT NOT NULL, handle TEXT NOT NULL REFERENCES people (handle)"
    " ON DELETE CASCADE, PRIMARY KEY (box, alias)) STRICT, WITHOUT ROWID",
    "CREATE TABLE claims (box TEXT NOT NULL, order_id TEXT NOT NULL, handle TEXT NOT NULL REFERENCES people (handle)"
    " ON DELETE CASCADE, factor TEXT NOT NULL, at INTEGER NOT NULL,"
    " PRIMARY KEY (box, order_id, handle)) STRICT, WITHOUT ROWID",
    "CREATE TABLE nonces (box TEXT NOT NULL, nonce TEXT NOT NULL, order_id TEXT NOT NULL, at INTEGER NOT NULL,"
    " PRIMARY KEY (box, nonce)) STRICT, WITHOUT ROWID",
    "CREATE TABLE tries (handle TEXT NOT NULL, kind TEXT NOT NULL, wrong INTEGER NOT NULL,"
    " locked_until INTEGER NOT NULL, PRIMARY KEY (handle, kind)) STRICT, WITHOUT ROWID",
    "CREATE TABLE tokens (hash TEXT PRIMARY KEY, box TEXT NOT NULL, order_id TEXT NOT NULL, alias TEXT NOT NULL,"
    " handle TEXT NOT NULL, unsure INTEGER NOT NULL, proven TEXT NOT NULL DEFAULT '', made_at INTEGER NOT NULL,"
    " expires_at INTEGER NOT NULL, used_attempt INTEGER, used_at INTEGER) STRICT, WITHOUT ROWID",
    "CREATE INDEX tokens_by_order ON tokens (box, order_id)",
    "CREATE TABLE changes (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), count INTEGER NOT NULL) STRICT",
    "INSERT INTO changes VALUES (1, 0)",
)


@dataclass(frozen=True, slots=True)
class Keys:
    """Purpose keys, derived from the matcher's own."""

    private: bytes = field(repr=False)

    def of(self, purpose: str) -> bytes:
        return sealed.derive(self.private, f"matcher-{purpose}")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody to be enrolled. `templates`: base64 of little-endian float32 of length 1; `consent` is kept as given."""

    handle: str
    model_hash: str
    templates: Sequence[str] = field(repr=False)
    consent: dict[str, Any]
    pin: str | None = field(default=None, repr=False)
    duress_pin: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    command_id: str | None = None


class FaceBook:
    """Any thread, one at a time. Every method that changes something is durable when it returns."""

    def __init__(self, path: Path, keys: Keys, cost: Mapping[str, int] = factors.RECOMMENDED) -> None:
        """`cost`: of argon2id, for PINs; a test may take less, a fleet should not."""
        self.keys, self._cost = keys, cost
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        path.chmod(0o600)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._galleries: dict[str, BruteForceMatcher] = {}
        self._seen_change = -1
        with self.writing() as tx:
            if int(tx.execute("PRAGMA user_version").fetchone()[0]) == 0:
                for statement in _TABLES:
                    tx.execute(statement)
                tx.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            self._galleries = {}
            self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._connection

    # ---- people -----------------------------------------------------------------------------------------------------

    def enrol(self, person: Person, places: Sequence[str], now: int) -> bool:
        """False: this very command has enrolled this person before. Raises RequestRefused, never with a value in it."""
        rows = [checked_vector(text) for text in person.templates]
        if len({row.size for row in rows}) != 1:
            raise RequestRefused(f"face of {person.handle}", "its templates are of different lengths")
        kept: dict[str, Any] = {"templates": list(person.templates), "consent": person.consent}
        if person.pin is not None:
            pepper = self.keys.of("pepper")
            kept["pin"] = factors.pin_hashes(pepper, person.handle, person.pin, person.duress_pin, self._cost)
        blob = sealed.seal(self.keys.of("people"), json.dumps(kept).encode(), _label(person.handle, person.model_hash))
        with self.writing() as tx:
            known = tx.execute("SELECT command_id FROM people WHERE handle = ?", (person.handle,)).fetchone()
            if known is not None:
                if person.command_id is not None and known["command_id"] == person.command_id:
                    return False
                raise RequestRefused(f"face of {person.handle}", "is enrolled already", "erase it first")
            tx.execute(
                "INSERT INTO people (handle, model_hash, sealed, command_id, enrolled_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (person.handle, person.model_hash, blob, person.command_id, now, person.consent.get("expires_at")),
            )
            if person.phone is not None:
                self._set_phone(tx, person.handle, person.phone)
            for place in places:
                tie(tx, person.handle, place)
            _changed(tx)
        return True

    def set_phone(self, handle: str, number: str) -> None:
        """Raises NotFound, RequestRefused."""
        with self.writing() as tx:
            self._set_phone(tx, handle, number)

    def erase(self, handle: str) -> None:
        """With everything that hangs on it; freed pages are overwritten. Raises NotFound."""
        with self.writing() as tx:
            if tx.execute("DELETE FROM people WHERE handle = ?", (handle,)).rowcount == 0:
                raise NotFound(f"face of {handle}", "nobody of this handle is enrolled here")
            tx.execute("DELETE FROM tries WHERE handle = ?", (handle,))
            tx.execute("UPDATE tokens SET expires_at = 0 WHERE handle = ?", (handle,))
            _changed(tx)
        with self._lock:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def undo(self, command_id: str) -> None:
        """The box says that this enrolment failed, so it did."""
        with self.reading() as tx:
            row = tx.execute("SELECT handle FROM people WHERE command_id = ?", (command_id,)).fetchone()
        if row is not None:
            self.erase(row["handle"])

    def tied(self, handle: str, place: str, tied: bool) -> None:
        """Raises NotFound, RequestRefused."""
        with self.writing() as tx:
            if tx.execute("SELECT 1 FROM people WHERE handle = ?", (handle,)).fetchone() is None:
                raise NotFound(f"face of {handle}", "nobody of this handle is enrolled here")
            if tied:
                tie(tx, handle, place)
            else:
                tx.execute("DELETE FROM person_places WHERE handle = ? AND place = ?", (handle, place))
            _changed(tx)

    def people(self) -> list[dict[str, Any]]:
        with self.reading() as tx:
            rows = tx.execute(
                "SELECT p.handle, p.model_hash, p.enrolled_at, p.expires_at, p.phone IS NOT NULL AS phone,"
                " (SELECT group_concat(place, ' ') FROM person_places t WHERE t.handle = p.handle) AS places"
                " FROM people p ORDER BY p.handle"
            ).fetchall()
        return [
            {**dict(row), "phone": bool(row["phone"]), "places": sorted((row["places"] or "").split())} for row in rows
        ]

    def pin_of(self, handle: str) -> dict[str, Any] | None:
        """The stored form of a PIN, None where there is none. Raises NotFound."""
        found = self._opened(handle).get("pin")
        return found if isinstance(found, dict) else None

    # ---- galleries --------------------------------------------------------------------------------------------------

    def gallery(self, place: str, model_hash: str, now: int, handles: Sequence[str] | None = None) -> BruteForceMatcher:
        """Whoever is tied to `place`, made by this model and not past the consent's end; of `handles` alone where
        they are given, wherever they are tied."""
        with self.reading() as tx:
            change = int(tx.execute("SELECT count FROM changes").fetchone()[0])
            if change != self._seen_change:
                self._galleries, self._seen_change = {}, change
            if handles is not None:
                return self._made(tuple(handles), model_hash)
            found = [
                row["handle"]
                for row in tx.execute(
                    "SELECT handle FROM person_places JOIN people USING (handle) WHERE place = ? AND model_hash = ?"
                    " AND (expires_at IS NULL OR expires_at > ?) ORDER BY handle", (place, model_hash, now),
                )
            ]  # fmt: skip
            name = f"{place}/{model_hash}/{len(found)}"
            if name not in self._galleries:
                self._galleries[name] = self._made(found, model_hash)
            return self._galleries[name]

    def by_phone(self, number: str, place: str, now: int) -> list[str]:
        """Whose number it is. Of the last four digits: of whom at `place`; of a whole number: of anybody."""
        key = self.keys.of("phones")
        with self.reading() as tx:
            if len(number) > factors.LAST_DIGITS:
                rows = tx.execute(
                    "SELECT handle FROM people WHERE phone = ? AND (expires_at IS NULL OR expires_at > ?)",
                    (factors.phone_hash(key, number), now),
                )
                return [row["handle"] for row in rows]
            rows = tx.execute(
                "SELECT handle, last_digits FROM people JOIN person_places USING (handle) WHERE place = ?"
                " AND last_digits IS NOT NULL AND (expires_at IS NULL OR expires_at > ?)", (place, now),
            )  # fmt: skip
            return [r["handle"] for r in rows if r["last_digits"] == factors.last_digits_hash(key, r["handle"], number)]

    def phone_of(self, handle: str) -> tuple[str | None, str | None]:
        with self.reading() as tx:
            row = tx.execute("SELECT phone, last_digits FROM people WHERE handle = ?", (handle,)).fetchone()
        return (None, None) if row is None else (row["phone"], row["last_digits"])

    # ---- places and names -------------------------------------------------------------------------------------------

    def put_box(self, box: str, place: str | None) -> None:
        """From here on the box is open-loop, or not any more. Raises RequestRefused."""
        with self.writing() as tx:
            if place is None:
                tx.execute("DELETE FROM box_places WHERE box = ?", (box,))
            else:
                tx.execute(
                    "INSERT INTO box_places VALUES (?, ?) ON CONFLICT (box) DO UPDATE SET place = excluded.place",
                    (box, checked_place(place)),
                )

    def place_of(self, box: str) -> str | None:
        with self.reading() as tx:
            row = tx.execute("SELECT place FROM box_places WHERE box = ?", (box,)).fetchone()
        return None if row is None else str(row["place"])

    def alias(self, tx: sqlite3.Connection, box: str, handle: str) -> str:
        """This person's name at this box alone: two boxes can't tell that they saw the same one."""
        mac = sealed.keyed_hash(self.keys.of("aliases"), f"{box}\0{handle}".encode())
        name = "p-" + base64.b32encode(mac)[:24].decode("ascii").lower()
        tx.execute("INSERT INTO aliases VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (box, name, handle))
        return name

    def whose(self, box: str, alias: str) -> str | None:
        with self.reading() as tx:
            row = tx.execute("SELECT handle FROM aliases WHERE box = ? AND alias = ?", (box, alias)).fetchone()
        return None if row is None else str(row["handle"])

    def _set_phone(self, tx: sqlite3.Connection, handle: str, number: str) -> None:
        tidy, key = factors.digits(number), self.keys.of("phones")
        if re.fullmatch(r"[0-9]{7,15}", tidy) is None:
            raise RequestRefused(f"phone of {handle}", "a phone number has 7 to 15 digits")
        changed = tx.execute(
            "UPDATE people SET phone = ?, last_digits = ? WHERE handle = ?",
            (factors.phone_hash(key, tidy), factors.last_digits_hash(key, handle, tidy), handle),
        ).rowcount
        if changed == 0:
            raise NotFound(f"face of {handle}", "nobody of this handle is enrolled here")

    def _opened(self, handle: str) -> dict[str, Any]:
        with self.reading() as tx:
            row = tx.execute("SELECT model_hash, sealed FROM people WHERE handle = ?", (handle,)).fetchone()
        if row is None:
            raise NotFound(f"face of {handle}", "nobody of this handle is enrolled here")
        raw = sealed.open_sealed(self.keys.of("people"), row["sealed"], _label(handle, row["model_hash"]))
        return dict(json.loads(raw))

    def _made(self, handles: Sequence[str], model_hash: str) -> BruteForceMatcher:
        owners: list[str] = []
        rows: list[NDArray[np.float32]] = []
        for handle in handles:
            for text in self._opened(handle)["templates"]:
                owners.append(handle)
                rows.append(checked_vector(text))
        matrix = np.stack(rows) if rows else np.empty((0, 512), np.float32)
        return BruteForceMatcher(tuple(owners), np.ascontiguousarray(matrix), model_hash)


def checked_vector(text: str) -> NDArray[np.float32]:
    """(D,) float32 of length 1. Raises RequestRefused."""
    try:
        vector = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    except (ValueError, binascii.Error):
        raise RequestRefused("an embedding", "it is no row of float32") from None
    if not is_unit(vector):
        raise RequestRefused("an embedding", "it is no unit vector")
    return vector


def checked_place(place: str) -> str:
    """Raises RequestRefused."""
    if PLACE.fullmatch(place) is None:
        raise RequestRefused(f"place {place[:40]!r}", "a place is a-z, 0-9 and -, up to 32 characters")
    return place


def tie(tx: sqlite3.Connection, handle: str, place: str) -> None:
    tx.execute("INSERT INTO person_places VALUES (?, ?) ON CONFLICT DO NOTHING", (handle, checked_place(place)))


def _label(handle: str, model_hash: str) -> sealed.Label:
    """Put beside another handle or another model, it does not open."""
    return sealed.Label("fleet", "face", handle, model_hash)


def _changed(tx: sqlite3.Connection) -> None:
    """Other processes see it before their next search."""
    tx.execute("UPDATE changes SET count = count + 1")

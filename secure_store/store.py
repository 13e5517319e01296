"""The encrypted store of one box: nothing in it is readable without the box's key, and what was erased is gone."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from sqlite_utils import Database

from secure_store import factors, keyring, record, schema, transform
from secure_store.census import Census
from secure_store.errors import (
    ConsentMissing,
    PersonExists,
    PersonRefused,
    PersonUnknown,
    ProfileRefused,
    StoreBusy,
    StoreClosed,
    StoreDamaged,
    StoreFull,
    StoreRolledBack,
    StoreUnwritable,
)
from secure_store.gallery import Gallery
from secure_store.keys import KeyProvider
from secure_store.loading import load_gallery
from secure_store.person import NewPerson, PinResult
from secure_store.sealed import Label, derive, new_key, open_sealed, seal

Profile = Literal["closed-loop", "open-loop"]
HANDLE_SHAPE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def _unix_now() -> int:
    return int(time.time())


@dataclass(frozen=True)
class StoreOptions:
    """`now` gives unix seconds; it is asked when a consent may have expired."""

    argon2: factors.Argon2Cost = factors.RECOMMENDED
    now: Callable[[], int] = _unix_now


@dataclass(frozen=True)
class StoreStatus:
    profile: Profile
    people: int
    templates: dict[str, int]  # sets per model hash
    counter: int  # grows with every write; an older copy of the store has a smaller one
    generation: int  # of the box KEK
    key_provider: str
    key_warning: str | None
    schema: int
    file_bytes: int
    census_checked: bool  # every record was held against the sealed count since open
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    id: int
    subject: str
    version: int
    counter: int
    key: bytes = field(repr=False)
    profile: bytes = field(repr=False)


class SecureStore:
    """One process, any thread. Every method raises StoreClosed after `close()`."""

    @classmethod
    def open(
        cls, folder: Path, provider: KeyProvider, *, tenant: str, profile: Profile, options: StoreOptions | None = None
    ) -> SecureStore:
        """Opens the store in `folder`, or makes an empty one there.

        Raises StoreBusy, KeyMissing, WrongKey, NotAStore, SchemaTooNew, StoreDamaged, StoreRolledBack,
        ProfileRefused (open-loop, but
        templates lie there), StoreUnwritable.
        """
        return cls(folder, provider, tenant, profile, options or StoreOptions())

    def __init__(
        self, folder: Path, provider: KeyProvider, tenant: str, profile: Profile, options: StoreOptions
    ) -> None:
        self._tenant, self._profile, self._provider, self._options = tenant, profile, provider, options
        self._path = folder / "store.db"
        self._mutex = threading.RLock()
        self._closed = False
        self._census_checked = False
        self._damaged: frozenset[str] = frozenset()
        with contextlib.ExitStack() as undo:
            self._lock_file = _hold(folder)
            undo.callback(os.close, self._lock_file)
            provider_key = provider.load()
            self._db: Database = schema.connect(self._path)
            undo.callback(self._db.close)
            self._open_keys(provider_key)
            if profile == "open-loop" and self._census.people:
                raise ProfileRefused(
                    str(folder), f"the box is open-loop, yet {self._census.people} people are enrolled here"
                )
            undo.pop_all()

    def __repr__(self) -> str:
        return f"SecureStore({str(self._path.parent)!r}, {self._profile})"

    def __enter__(self) -> SecureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def enrol(self, person: NewPerson, *, replace: bool = False) -> None:
        """Durable when it returns. Raises PersonRefused, PersonExists, ProfileRefused, StoreFull."""
        self._refuse_open_loop()
        _check_handle(person.handle)
        consent = record.checked_consent(person.consent)
        groups = record.grouped_by_model(person.templates)
        vectors = {model: np.stack([record.checked_vector(t) for t in group]) for model, group in groups.items()}
        known = factors.make_factors(
            self._tenant_keys.factors,
            self._options.argon2,
            person.handle,
            pin=person.pin,
            duress_pin=person.duress_pin,
            phone=person.phone,
            id_card=person.id_card,
        )
        now = self._options.now()
        sets = {
            model: record.TemplateSet(
                transform.apply(self._rotation(matrix.shape[1]), matrix),
                tuple(float(t.quality) for t in groups[model]),
                (now,) * len(matrix),
                consent.purposes,
                consent.expires_at,
                0,
            )
            for model, matrix in vectors.items()
        }
        profile: dict[str, object] = {
            "consent": [record.consent_to_json(consent)],
            "factors": known,
            "links": dict(person.links),
        }
        with self._write():
            if self._db.execute("SELECT 1 FROM people WHERE subject=?", [person.handle]).fetchone():
                if not replace:
                    raise PersonExists(person.handle, "this handle is enrolled already")
                self._delete(person.handle)
            self._insert(person.handle, profile, sets)

    def gallery(self, model_hash: str, purpose: str) -> Gallery:
        """All templates of this model whose people consented to `purpose`.

        Raises StoreRolledBack when records are older or missing.
        """
        self._refuse_open_loop()
        with self._reading():
            loaded = load_gallery(
                self._db.conn,
                model_hash=model_hash,
                purpose=purpose,
                now=self._options.now(),
                tenant=self._tenant,
                wrapping={generation: keys.records for generation, keys in self._keks.items()},
            )
            self._note_census(loaded.damaged, loaded.people, loaded.total)
            expected = self._census.sets.get(model_hash, 0)
            if not loaded.damaged and loaded.sets != expected:
                raise StoreRolledBack(
                    str(self._path), f"{loaded.sets} template sets of this model are there, {expected} were written"
                )
            rotation = self._rotation(loaded.dimension).copy() if loaded.dimension else np.zeros((0, 0))
            return Gallery(
                loaded.memory, loaded.handles, loaded.dimension, model_hash, rotation, loaded.excluded, loaded.damaged
            )

    def check_pin(self, handle: str, pin: str, purpose: str) -> PinResult:
        """Counts nothing: the caller has counted the try durably before. Raises PersonUnknown, ConsentMissing."""
        with self._reading():
            known = self._profile_for(handle, purpose)
        return factors.check_pin(self._tenant_keys.factors, handle, _factors(known), pin)

    def check_phone(self, handle: str, digits: str, purpose: str) -> bool:
        """Four digits are held against the last four, more against the whole number.

        Raises PersonUnknown, ConsentMissing.
        """
        with self._reading():
            known = self._profile_for(handle, purpose)
        return factors.check_phone(self._tenant_keys.factors, handle, _factors(known), digits)

    def factors(self, handle: str, purpose: str) -> frozenset[str]:
        """Which of pin, phone, phone_last4, id_card this person can be asked for.

        Raises PersonUnknown, ConsentMissing.
        """
        with self._reading():
            return frozenset(_factors(self._profile_for(handle, purpose)))

    def erase(self, handle: str) -> None:
        """The record key and all it opens are overwritten, and the write-ahead log is emptied. Raises PersonUnknown."""
        with self._write():
            self._delete(handle)
        with self._mutex, _named(self._path):
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def people(self) -> tuple[str, ...]:
        with self._reading():
            return tuple(row[0] for row in self._db.execute("SELECT subject FROM people ORDER BY subject"))

    def status(self) -> StoreStatus:
        with self._reading():
            return StoreStatus(
                self._profile,
                self._census.people,
                dict(self._census.sets),
                self._census.counter,
                self._newest.generation,
                self._provider.name,
                self._provider.warning,
                schema.NEWEST,
                self._path.stat().st_size,
                self._census_checked,
                tuple(f"record_damaged:{handle}" for handle in sorted(self._damaged)),
            )

    def close(self) -> None:
        """May be called twice."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            self._rotations.clear()
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._db.close()
            os.close(self._lock_file)

    # -- keys and the census

    def _open_keys(self, provider_key: bytes) -> None:
        fresh = self._db.execute("SELECT 1 FROM keyring").fetchone() is None
        if fresh:
            with self._db.atomic():
                keyring.create_ring(self._db, provider_key, self._tenant)
                kek = keyring.open_keks(self._db, provider_key, self._tenant)[1]
                self._db.table("census").insert({"id": 1, "sealed": Census().seal(kek.census, self._tenant)})
        self._keks = keyring.open_keks(self._db, provider_key, self._tenant)
        self._newest = self._keks[max(self._keks)]
        self._tenant_keys = keyring.TenantKeys.of(keyring.open_tenant_key(self._db, self._newest, self._tenant))
        self._rotations: dict[int, np.ndarray] = {}
        self._census = self._read_census()
        found = self._db.execute("SELECT COUNT(*) FROM people").fetchone()[0]
        if found != self._census.people:
            raise StoreRolledBack(str(self._path), f"{found} people are there, {self._census.people} were written")

    def _read_census(self) -> Census:
        row = self._db.execute("SELECT sealed FROM census").fetchone()
        if row is None:
            raise StoreDamaged(str(self._path), "the sealed census is missing")
        return Census.open(self._newest.census, self._tenant, row[0])

    def _rotation(self, dimension: int) -> np.ndarray:
        if dimension not in self._rotations:
            self._rotations[dimension] = transform.orthogonal(
                derive(self._tenant_keys.transform, "epoch", f"0/{dimension}"), dimension
            )
        return self._rotations[dimension]

    def _note_census(self, damaged: tuple[str, ...], people: int, total: int) -> None:
        self._damaged = frozenset(damaged)
        if damaged:
            return
        if (people, total) != (self._census.people, self._census.total):
            raise StoreRolledBack(
                str(self._path), "a record is older than the one written last, or was added or taken from outside"
            )
        self._census_checked = True

    # -- one person's record

    def _row(self, handle: str) -> _Row:
        found = self._db.execute(
            "SELECT id, subject, version, counter, generation, wrapped_key, profile FROM people WHERE subject=?",
            [handle],
        ).fetchone()
        if found is None:
            raise PersonUnknown(handle, "nobody of this handle is enrolled here")
        identity, subject, version, counter, generation, wrapped, profile = found
        if generation not in self._keks:
            raise StoreDamaged(handle, f"its key belongs to generation {generation}, which this box does not have")
        key = open_sealed(
            self._keks[generation].records, wrapped, Label(self._tenant, "key", subject, "", version, counter)
        )
        return _Row(identity, subject, version, counter, key, profile)

    def _profile_for(self, handle: str, purpose: str) -> dict[str, object]:
        row = self._row(handle)
        profile = record.unpack_profile(
            open_sealed(row.key, row.profile, Label(self._tenant, "profile", handle, "", row.version, row.counter))
        )
        receipts = profile["consent"]
        assert isinstance(receipts, list)
        consent = record.consent_from_json(receipts[-1])
        if purpose not in consent.purposes or (
            consent.expires_at is not None and consent.expires_at <= self._options.now()
        ):
            raise ConsentMissing(handle, f"no valid consent to the purpose {purpose!r}")
        return profile

    def _insert(self, handle: str, profile: dict[str, object], sets: dict[str, record.TemplateSet]) -> None:
        key, counter, version = new_key(), self._census.counter + 1, record.RECORD_VERSION

        def label(part: str, model: str = "") -> Label:
            return Label(self._tenant, part, handle, model, version, counter)

        person = self._db.execute(
            "INSERT INTO people (subject, version, counter, generation, wrapped_key, profile) VALUES (?,?,?,?,?,?)",
            [
                handle,
                version,
                counter,
                self._newest.generation,
                seal(self._newest.records, key, label("key")),
                seal(key, record.pack_profile(profile), label("profile")),
            ],
        ).lastrowid
        for model, templates in sets.items():
            self._db.execute("INSERT INTO models (hash) VALUES (?) ON CONFLICT DO NOTHING", [model])
            self._db.execute(
                "INSERT INTO template_sets (person, model, sealed) SELECT ?, id, ? FROM models WHERE hash=?",
                [person, seal(key, record.pack_set(templates), label("templates", model)), model],
            )
        self._census = self._census.added(key, sets)

    def _delete(self, handle: str) -> None:
        row = self._row(handle)
        models = [
            found[0]
            for found in self._db.execute(
                "SELECT hash FROM template_sets JOIN models ON models.id=model WHERE person=?", [row.id]
            ).fetchall()
        ]
        self._db.execute("DELETE FROM template_sets WHERE person=?", [row.id])
        self._db.execute("DELETE FROM people WHERE id=?", [row.id])
        self._census = self._census.removed(row.key, models)

    # -- transactions

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self._mutex:
            if self._closed:
                raise StoreClosed(str(self._path.parent), "the store was closed")
            with _named(self._path):
                yield

    @contextlib.contextmanager
    def _write(self) -> Iterator[None]:
        """One transaction, the sealed census in it; when it fails, nothing changed on disk or in memory."""
        with self._reading():
            before = self._census
            try:
                with self._db.atomic():
                    yield
                    self._census = self._census.advanced()
                    self._db.execute(
                        "UPDATE census SET sealed=?", [self._census.seal(self._newest.census, self._tenant)]
                    )
            except BaseException:
                self._census = before
                raise

    def _refuse_open_loop(self) -> None:
        if self._profile == "open-loop":
            raise ProfileRefused("the store", "the box's profile is open-loop")


def _factors(profile: dict[str, object]) -> dict[str, object]:
    kept = profile["factors"]
    assert isinstance(kept, dict)
    return kept


def _check_handle(handle: str) -> None:
    if HANDLE_SHAPE.fullmatch(handle) is None:
        raise PersonRefused("handle", "a handle is 1 to 128 of the characters A-Z a-z 0-9 . _ : -")


def _hold(folder: Path) -> int:
    """The lock that makes this process the only one. Raises StoreBusy, StoreUnwritable."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(folder / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnwritable(str(folder), f"the lock cannot be made ({error.strerror})") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise StoreBusy(str(folder), "another process has it open") from None
    return descriptor


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            raise StoreFull(str(path), "the disk is full") from None
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise StoreDamaged(str(path), f"SQLite cannot read it ({error})") from None
        raise StoreUnwritable(str(path), f"SQLite refused ({error})") from None

"""The records of all people under the box's keys: one lock, one transaction at a time, one census over everything.

This is the inside of the store. What a caller may do with it stands in `store.py` and `open_loop.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from secure_store import keyring, layout, page_sums, schema, transform
from secure_store.access import FILE_NAME, hold, named
from secure_store.census import Census
from secure_store.database import Database
from secure_store.errors import (
    PersonUnknown,
    ProfileRefused,
    StoreClosed,
    StoreDamaged,
    StoreRolledBack,
    WrongKey,
)
from secure_store.keys import KeyProvider, RenewableKeyProvider
from secure_store.options import Profile, StoreOptions
from secure_store.sealed import Label, derive, keyed_hash, new_key, open_sealed, seal
from secure_store.witness import floor_of


@dataclass(frozen=True)
class Row:
    """One person's row with its record key opened."""

    id: int
    subject: str
    version: int
    counter: int
    key: bytes = field(repr=False)
    sealed_profile: bytes = field(repr=False)


class Records:
    """Every method but `close` is called inside `reading()` or `writing()`."""

    def __init__(
        self, folder: Path, provider: KeyProvider, tenant: str, profile: Profile, options: StoreOptions
    ) -> None:
        self.folder, self.path = folder, folder / FILE_NAME
        self.tenant, self.profile, self.provider, self.options = tenant, profile, provider, options
        self.census_checked = False
        self.census_why: str | None = None  # why the census cannot be held against the records
        self.damaged: frozenset[str] = frozenset()
        self.conditions: list[str] = []
        self.census = Census()
        self._mutex = threading.RLock()
        self._closed = False
        self._wrote = False
        self._rotations: dict[tuple[int, int], NDArray[np.float64]] = {}
        with contextlib.ExitStack() as undo:
            self._lock_file = hold(folder)
            undo.callback(os.close, self._lock_file)
            provider_key = provider.load()
            self.db: Database = schema.connect(self.path, options.page_bytes)
            undo.callback(self.db.close)
            with named(self.path):
                self._finish_what_was_cut_off()
                self._open_keys(provider_key)
                self._open_census()
            if profile == "open-loop" and self._count() > 0:
                raise ProfileRefused(str(folder), f"the box is open-loop, yet {self._count()} people are enrolled here")
            undo.pop_all()

    def _finish_what_was_cut_off(self) -> None:
        """An erasure that was committed leaves nothing in the log either; a restore that was cut off leaves no copy."""
        shutil.rmtree(self.folder / "restore", ignore_errors=True)
        self.empty_log()

    # -- taking turns

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        with self._mutex:
            if self._closed:
                raise StoreClosed(str(self.folder), "the store was closed")
            with named(self.path):
                yield

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction, the sealed census in it; when it fails, nothing changed on disk or in memory."""
        with self.reading():
            if self.census_why is not None:
                raise StoreDamaged(
                    str(self.path), f"nothing is written while the census is in doubt ({self.census_why})"
                )
            before = self.census
            self.will_write()
            try:
                with self.db.atomic():
                    yield
                    self.census = self.census.advanced()
                    self.save_census()
            except BaseException:
                self.census = before
                raise
            self._tell_witness()

    def will_write(self) -> None:
        """Before the first change of the file: the page checksums of the last close count no more."""
        if not self._wrote:
            self._wrote = True
            page_sums.forget_sums(self.path)

    def close(self) -> None:
        """May be called twice."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            for rotation in self._rotations.values():
                rotation.fill(0.0)
            self._rotations.clear()
            with contextlib.suppress(sqlite3.Error, OSError):
                self.empty_log()
                if page_sums.missing(self.path):
                    page_sums.write_sums(self.path, self.db.execute("PRAGMA page_size").fetchone()[0])
            self.db.close()
            os.close(self._lock_file)

    def empty_log(self) -> None:
        """Moves everything from the write-ahead log into the file and cuts the log to nothing."""
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # -- one person

    def row(self, handle: str) -> Row:
        """Raises PersonUnknown, StoreDamaged."""
        columns = "SELECT id, subject, version, counter, generation, wrapped_key, profile FROM people"
        found = self.db.execute(f"{columns} WHERE subject=?", [handle]).fetchone()
        if found is None:  # a damaged index must not hide a person
            found = self.db.execute(f"{columns} NOT INDEXED WHERE subject=?", [handle]).fetchone()
        if found is None:
            raise PersonUnknown(handle, "nobody of this handle is enrolled here")
        identity, subject, version, counter, generation, wrapped, profile = found
        keys = self.keks.get(generation)
        if keys is None:
            raise StoreDamaged(
                f"record of {handle}", f"its key is of generation {generation!r}, which this box has not"
            )
        key = open_sealed(keys.records, wrapped, Label(self.tenant, "key", subject, "", version, counter))
        return Row(identity, subject, version, counter, key, profile)

    def read_profile(self, row: Row) -> dict[str, object]:
        label = Label(self.tenant, "profile", row.subject, "", row.version, row.counter)
        return layout.unpack_profile(open_sealed(row.key, row.sealed_profile, label))

    def read_sets(self, row: Row) -> dict[str, layout.TemplateSet]:
        """By model hash."""
        found = self.db.execute(
            "SELECT hash, sealed FROM template_sets JOIN models ON models.id=model WHERE person=?", [row.id]
        ).fetchall()
        return dict(self._open_set(row, model, sealed) for model, sealed in found)

    def _open_set(self, row: Row, model: str, sealed: bytes) -> tuple[str, layout.TemplateSet]:
        # Should the table of model names be damaged, the census knows them too; only the right one opens the set.
        for name in (model, *self.census.sets):
            label = Label(self.tenant, "templates", row.subject, name, row.version, row.counter)
            with contextlib.suppress(StoreDamaged):
                return name, layout.unpack_set(open_sealed(row.key, sealed, label))
        raise StoreDamaged(f"templates of {row.subject}", "they do not open with their key and label")

    def known(self, handle: str) -> bool:
        return self.db.execute("SELECT 1 FROM people WHERE subject=?", [handle]).fetchone() is not None

    def insert(self, handle: str, profile: dict[str, object], sets: Mapping[str, layout.TemplateSet]) -> None:
        """A new row under a new record key. An open-loop store refuses, whoever asks."""
        if self.profile == "open-loop":
            raise ProfileRefused("the store", "the box's profile is open-loop")
        key, counter, version = new_key(), self.census.counter + 1, layout.RECORD_VERSION

        def label(part: str, model: str = "") -> Label:
            return Label(self.tenant, part, handle, model, version, counter)

        person = self.db.execute(
            "INSERT INTO people (subject, version, counter, generation, wrapped_key, profile) VALUES (?,?,?,?,?,?)",
            [
                handle,
                version,
                counter,
                self.newest.generation,
                seal(self.newest.records, key, label("key")),
                seal(key, layout.pack_profile(profile), label("profile")),
            ],
        ).lastrowid
        for model, templates in sets.items():
            self.db.execute("INSERT INTO models (hash) VALUES (?) ON CONFLICT DO NOTHING", [model])
            self.db.execute(
                "INSERT INTO template_sets (person, model, sealed) SELECT ?, id, ? FROM models WHERE hash=?",
                [person, seal(key, layout.pack_set(templates), label("templates", model)), model],
            )
        for kind, kept in layout.lookups(profile):
            self.db.execute("INSERT INTO lookups (person, kind, hash) VALUES (?,?,?)", [person, kind, kept])
        self.census = self.census.added(key, sets)

    def delete(self, handle: str) -> None:
        """The row and all that hangs on it.

        A record that does not open any more is taken out of the census by a recount.
        """
        try:
            row = self.row(handle)
        except StoreDamaged:
            self._delete_rows(self.db.execute("SELECT id FROM people WHERE subject=?", [handle]).fetchone()[0])
            self.census = self.recounted()
            return
        models = self.db.execute(
            "SELECT hash FROM template_sets JOIN models ON models.id=model WHERE person=?", [row.id]
        ).fetchall()
        self._delete_rows(row.id)
        self.census = self.census.removed(row.key, [model for (model,) in models])

    def bury(self, handle: str) -> None:
        """Remembers, by a keyed hash, that this handle was erased, so that no backup or import brings it back."""
        mark = self.tombstone(handle)
        counter = self.census.counter + 1
        self.db.execute("INSERT OR REPLACE INTO tombstones (handle, counter) VALUES (?,?)", [mark, counter])

    def buried(self, handle: str) -> bool:
        mark = self.tombstone(handle)
        return self.db.execute("SELECT 1 FROM tombstones WHERE handle=?", [mark]).fetchone() is not None

    def tombstone(self, handle: str) -> bytes:
        return keyed_hash(self.tenant_keys.tombstones, handle.encode())

    def _delete_rows(self, person: int) -> None:
        for table in ("template_sets", "lookups"):
            self.db.execute(f"DELETE FROM {table} WHERE person=?", [person])
        self.db.execute("DELETE FROM people WHERE id=?", [person])

    # -- keys

    def rotation(self, dimension: int, epoch: int) -> NDArray[np.float64]:
        """The tenant's orthogonal transform (D, D) of one epoch."""
        if (dimension, epoch) not in self._rotations:
            key = derive(self.tenant_keys.transform, "epoch", f"{epoch}/{dimension}")
            self._rotations[dimension, epoch] = transform.orthogonal(key, dimension)
        return self._rotations[dimension, epoch]

    def use_keks(self, provider_key: bytes) -> None:
        """Opens the ring with this key. Raises WrongKey, StoreDamaged."""
        self.keks = keyring.open_keks(self.db, provider_key, self.tenant)
        self.newest = self.keks[max(self.keks)]
        self.provider_key = provider_key
        if keyring.has_copy(self.folder):
            keyring.check(self.db, self.newest, self.tenant)
        self.use_tenant_key(keyring.open_held(self.db, self.newest, self.tenant, keyring.TENANT_KEY))

    def use_tenant_key(self, tenant_key: bytes) -> None:
        self._rotations.clear()
        self.tenant_keys = keyring.TenantKeys.of(tenant_key)

    def _open_keys(self, provider_key: bytes) -> None:
        fresh = not self._anything("keyring") and not self._anything("people") and not keyring.has_copy(self.folder)
        if fresh:
            counter = floor_of(self.options.witness) or 0
            with self.db.atomic():
                keyring.create_ring(self.db, provider_key, self.tenant)
                self.use_keks(provider_key)
                self.census = Census(counter=counter)
                self.save_census()
        try:
            self.use_keks(provider_key)
        except (WrongKey, StoreDamaged):
            self._open_keys_otherwise(provider_key)
        with self.db.atomic():
            keyring.complete(self.db, self.newest, self.tenant)
        if keyring.keep_copy(self.db, self.folder) and not fresh:
            self.conditions.append("key_ring_copy_repaired")

    def _open_keys_otherwise(self, provider_key: bytes) -> None:
        """A renewal that was cut off left the next key in force; a damaged key ring is taken from its copy."""
        candidates = [provider_key]
        if isinstance(self.provider, RenewableKeyProvider):
            following = self.provider.load_next()
            if following is not None:
                candidates.insert(0, following)
        for key in candidates:
            with contextlib.suppress(WrongKey, StoreDamaged):
                self.use_keks(key)
                if isinstance(self.provider, RenewableKeyProvider) and key is not provider_key:
                    self.provider.finish_renewal()
                return
        for key in candidates:
            with contextlib.suppress(WrongKey, StoreDamaged), self.db.atomic():
                self.will_write()
                keyring.take_copy(self.db, self.folder)
                self.use_keks(key)
                self.conditions.append("key_ring_repaired")
                return
        self.use_keks(provider_key)

    # -- the census

    def save_census(self) -> None:
        sealed = self.census.seal(self.newest.census, self.tenant)
        self.db.execute("INSERT OR REPLACE INTO census (id, sealed) VALUES (1, ?)", [sealed])

    def recounted(self) -> Census:
        """The census of the records that open now."""
        fresh = Census(counter=self.census.counter, epoch=self.census.epoch)
        for (handle,) in self.db.execute("SELECT subject FROM people").fetchall():
            with contextlib.suppress(StoreDamaged, PersonUnknown):
                row = self.row(handle)
                models = self.db.execute(
                    "SELECT hash FROM template_sets JOIN models ON models.id=model WHERE person=?", [row.id]
                ).fetchall()
                fresh = fresh.added(row.key, [model for (model,) in models])
        return fresh

    def note_census(self, damaged: tuple[str, ...], people: int, total: int) -> None:
        """Holds what a pass over all records found against the census. Raises StoreRolledBack."""
        self.damaged = frozenset(damaged)
        if damaged or self.census_why is not None:
            return
        if (people, total) != (self.census.people, self.census.total):
            raise StoreRolledBack(
                str(self.path), "a record is older than it was left, or was added or taken from outside"
            )
        self.census_checked = True

    def ensure_census(self) -> None:
        """Once per opening, before a single person is read: every record key is opened and counted."""
        if self.census_checked or self.damaged or self.census_why is not None:
            return
        found = self.recounted()
        damaged = [] if found.people == self._count() else self.unreadable()
        self.note_census(tuple(damaged), found.people, found.total)

    def unreadable(self) -> list[str]:
        """Handles whose record key does not open."""
        bad: list[str] = []
        for (handle,) in self.db.execute("SELECT subject FROM people").fetchall():
            try:
                self.row(handle)
            except (StoreDamaged, PersonUnknown):
                bad.append(str(handle))
        return bad

    def _open_census(self) -> None:
        try:
            row = self.db.execute("SELECT sealed FROM census WHERE id=1").fetchone()
            if row is None:
                raise StoreDamaged(str(self.path), "the sealed census is missing")
            self.census = Census.open(self.newest.census, self.tenant, row[0])
        except StoreDamaged as error:
            self.census, self.census_why = Census(), error.why
        if self.options.accept_present_state:
            self._accept()
        if self.census_why is not None:
            self.conditions.append("census_damaged")
            return
        floor = floor_of(self.options.witness)
        if floor is not None and self.census.counter < floor:
            raise StoreRolledBack(str(self.path), f"its counter is {self.census.counter}, the box had reached {floor}")
        if self._count() != self.census.people:
            raise StoreRolledBack(
                str(self.path), f"{self._count()} people are there, {self.census.people} were written"
            )
        self._tell_witness()
        self._start_where_the_witness_does(floor)

    def _start_where_the_witness_does(self, before: int | None) -> None:
        """A counter that a TPM makes anew begins above every one it ever had: the store's goes on from there."""
        try:
            stands = self.options.witness.read()
        except OSError:
            self._miss_witness()
            return
        if stands is not None and stands > max(self.census.counter, before or 0):
            self.will_write()
            with self.db.atomic():
                self.census = self.census.at_least(stands)
                self.save_census()

    def _accept(self) -> None:
        reached = max(self.census.counter, floor_of(self.options.witness) or 0)
        highest = self.db.execute(
            "SELECT COALESCE(MAX(counter), 0) FROM people WHERE typeof(counter)='integer'"
        ).fetchone()[0]
        recounted = self.recounted()
        self.census_why = None
        self.census = Census(
            max(reached, highest) + 1, recounted.people, recounted.total, recounted.sets, recounted.epoch
        )
        self.will_write()
        with self.db.atomic():
            for handle in self.unreadable():
                self._delete_rows(self.db.execute("SELECT id FROM people WHERE subject=?", [handle]).fetchone()[0])
            self.save_census()

    def _tell_witness(self) -> None:
        try:
            self.options.witness.advance(self.census.counter)
        except OSError:
            self._miss_witness()

    def _miss_witness(self) -> None:
        if "witness_unreachable" not in self.conditions:
            self.conditions.append("witness_unreachable")

    def _count(self) -> int:
        found: int = self.db.execute("SELECT COUNT(*) FROM people").fetchone()[0]
        return found

    def _anything(self, table: str) -> bool:
        return self.db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None

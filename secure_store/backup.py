"""A copy of the store that only this box can read, putting it back, and saving what is left of a store that broke.

Whoever was erased after the backup stays erased: the store remembers them by a keyed hash.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from secure_store import erasure, keyring, layout, page_sums, schema
from secure_store.access import FILE_NAME, hold, named
from secure_store.durable import fsync_folder
from secure_store.errors import (
    BackupRefused,
    PersonUnknown,
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFull,
    StoreUnwritable,
    WitnessUnreachable,
    WrongKey,
)
from secure_store.keys import KeyProvider
from secure_store.options import Profile, StoreOptions
from secure_store.presence import is_absent
from secure_store.records import Records
from secure_store.salvage import FoundPerson, find_people
from secure_store.verify import model_names, open_copy, verify
from secure_store.witness import NoWitness, floor_of

Progress = Callable[[int, int, str], None]
PAGES_A_STEP = 64


@dataclass(frozen=True)
class Restored:
    people: int
    erased_again: int  # had been erased after the backup was made
    erasures_known: bool  # False: the store that was there could not be asked whom it had erased


def backup(records: Records, path: Path, progress: Progress) -> None:
    """Writes a copy to `path`, whole or not at all; it holds no key. Raises StoreUnwritable, StoreFull."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    try:
        os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with records.reading(), contextlib.closing(sqlite3.connect(aside)) as copy:
            records.db.backup(
                copy, pages=PAGES_A_STEP, progress=lambda _, left, total: progress(total - left, total, "pages")
            )
            copy.execute("PRAGMA journal_mode=DELETE")
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise (StoreFull if error.errno == errno.ENOSPC else StoreUnwritable)(
            str(path), f"no backup ({error.strerror})"
        ) from None
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def restore(
    source: Path,
    folder: Path,
    provider: KeyProvider,
    *,
    tenant: str,
    profile: Profile,
    options: StoreOptions | None = None,
    erased: Iterable[str] = (),
    progress: Progress = lambda done, total, label: None,
) -> Restored:
    """Puts a backup in the place of the store in `folder`, after every record in it was opened once.

    `erased`: handles known elsewhere to have been erased since. Cut off anywhere, either the old or the new store is
    there.
    Raises BackupRefused (damaged, or not ours), WrongKey, StoreBusy, StoreFull, StoreUnwritable, ProfileRefused,
    WitnessUnreachable.
    """
    chosen = options or StoreOptions()
    tombstones, reached, known = _asked(folder, provider, tenant, profile, chosen)
    scratch, lock = folder / "restore", hold(folder)
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        shutil.copyfile(source, scratch / FILE_NAME)
        accepting = replace(chosen, accept_present_state=False, witness=NoWitness())
        people, again = _prepared(scratch, provider, tenant, profile, accepting, tombstones, erased, reached, progress)
        _swap(scratch, folder)
    except FileNotFoundError:
        raise BackupRefused(str(source), "there is no such file") from None
    except OSError as error:
        kind = StoreFull if error.errno == errno.ENOSPC else StoreUnwritable
        raise kind(str(folder), f"the backup cannot be put there ({error.strerror})") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)
    return Restored(people, again, known)


def salvage(
    folder: Path,
    into: Path,
    provider: KeyProvider,
    *,
    tenant: str,
    profile: Profile,
    options: StoreOptions | None = None,
) -> tuple[str, ...]:
    """Makes a new store in the empty folder `into` of every record that still opens in the raw bytes of a broken one.

    Raises WrongKey when no key ring can be found, StoreBusy, StoreFull, BackupRefused (`into` is not empty).
    """
    with named(into):
        used = not is_absent(into) and any(into.iterdir())
    if used:
        raise BackupRefused(str(into), "this folder is not empty")
    keks = open_copy(folder, provider, tenant)
    if keks is None:
        raise WrongKey("key ring", "neither the ring nor its copy opens with this key")
    raw = (folder / FILE_NAME).read_bytes()
    people = find_people(raw, keks, tenant, model_names(raw))
    into.mkdir(parents=True, exist_ok=True, mode=0o700)
    with named(into / FILE_NAME):
        _written_anew(into, folder, people, provider, tenant, profile, options or StoreOptions())
    return tuple(person.subject for person in people)


def _written_anew(
    into: Path,
    folder: Path,
    people: list[FoundPerson],
    provider: KeyProvider,
    tenant: str,
    profile: Profile,
    options: StoreOptions,
) -> None:
    database = schema.connect(into / FILE_NAME)
    with contextlib.closing(database), database.atomic():
        keyring.take_copy(database, folder)
        for person in people:
            row = (person.subject, person.version, person.counter, person.generation)
            sealed = (person.wrapped_key, person.sealed_profile)
            columns = "subject, version, counter, generation, wrapped_key, profile"
            added = database.execute(f"INSERT INTO people ({columns}) VALUES (?,?,?,?,?,?)", [*row, *sealed])
            for model, blob in person.sets.items():
                database.execute("INSERT INTO models (hash) VALUES (?) ON CONFLICT DO NOTHING", [model])
                database.execute(
                    "INSERT INTO template_sets (person, model, sealed) SELECT ?, id, ? FROM models WHERE hash=?",
                    [added.lastrowid, blob, model],
                )
    records = Records(into, provider, tenant, profile, replace(options, accept_present_state=True))
    with contextlib.closing(records), records.writing():
        epochs = [0]
        for person in people:
            row_now = records.row(person.subject)
            for kind, kept in layout.lookups(records.read_profile(row_now)):
                records.db.execute("INSERT INTO lookups (person, kind, hash) VALUES (?,?,?)", [row_now.id, kind, kept])
            epochs += [one.epoch for one in records.read_sets(row_now).values()]
        records.census = records.census.in_epoch(max(epochs))


def _asked(
    folder: Path, provider: KeyProvider, tenant: str, profile: Profile, options: StoreOptions
) -> tuple[dict[bytes, int], int, bool]:
    """Whom the present store erased, and how far it had come; nothing of it when there is none or it does not open."""
    floor = floor_of(options.witness) or 0
    with named(folder / FILE_NAME):
        nothing = is_absent(folder / FILE_NAME)
    if nothing:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return {}, floor, True
    try:
        present = Records(folder, provider, tenant, profile, replace(options, accept_present_state=False))
    except (
        StoreBusy,
        StoreFull,
        StoreUnwritable,
        WitnessUnreachable,
    ):  # no fault of the store: asked again later, it knows whom it erased
        raise
    except StoreError:
        return {}, floor, False
    with contextlib.closing(present), present.reading():
        rows = present.db.execute("SELECT handle, counter FROM tombstones WHERE typeof(counter)='integer'").fetchall()
        return dict(rows), max(floor, present.census.counter), present.census_why is None


def _prepared(
    scratch: Path,
    provider: KeyProvider,
    tenant: str,
    profile: Profile,
    options: StoreOptions,
    tombstones: dict[bytes, int],
    erased: Iterable[str],
    reached: int,
    progress: Progress,
) -> tuple[int, int]:
    try:
        records = Records(scratch, provider, tenant, profile, options)
    except (StoreDamaged, PersonUnknown) as error:
        raise BackupRefused(error.what, error.why) from None
    with contextlib.closing(records):
        verified = verify(records, progress)
        if not verified.sound:
            first = verified.findings[0]
            raise BackupRefused(first.what, f"{first.why} ({len(verified.findings)} findings in all)")
        gone = set(erased)
        with records.reading():
            for handle, counter in records.db.execute("SELECT subject, counter FROM people").fetchall():
                if tombstones.get(records.tombstone(handle), -1) > counter:
                    gone.add(handle)
        for handle in sorted(gone):
            with contextlib.suppress(PersonUnknown):
                erasure.erase(records, handle)
        with records.writing():
            for mark, counter in tombstones.items():
                records.db.execute("INSERT OR REPLACE INTO tombstones (handle, counter) VALUES (?,?)", [mark, counter])
            records.census = records.census.at_least(reached)
        return records.census.people, len(gone)


def _swap(scratch: Path, folder: Path) -> None:
    """The new file takes the old one's place. A log of the old one must not be replayed into it, so that goes first."""
    for suffix in ("-wal", "-shm"):
        (folder / (FILE_NAME + suffix)).unlink(missing_ok=True)
    page_sums.forget_sums(folder / FILE_NAME)
    fsync_folder(folder)
    with (scratch / FILE_NAME).open("rb") as file:
        os.fsync(file.fileno())
    (scratch / FILE_NAME).replace(folder / FILE_NAME)
    fsync_folder(folder)

"""New keys while the box serves: the KEK (and the provider's own key), and the tenant's transform.

Cut off anywhere, a second call resumes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secure_store import keyring, layout
from secure_store.access import named
from secure_store.errors import StoreDamaged
from secure_store.keys import KeyProvider, RenewableKeyProvider
from secure_store.records import Records
from secure_store.sealed import Label, new_key, open_sealed, seal

Progress = Callable[[int, int, str], None]
BATCH = 256


@dataclass(frozen=True)
class Rotated:
    generation: int
    people: int  # whose record key was wrapped anew in this call
    resumed: bool


def rotate(records: Records, to: KeyProvider | None, progress: Progress) -> Rotated:
    """A new KEK; every record key is wrapped by it, and the old KEK is destroyed.

    With `to` the store moves under that provider's key; without it a provider that can renew its key does so, and
    any other keeps it.
    Between batches the store serves. Raises StoreDamaged when a record key does not open: erase or restore it first.
    """
    provider = records.provider
    with named(records.path):
        if to is not None:
            following = to.load()
        elif isinstance(provider, RenewableKeyProvider):
            following = provider.begin_renewal()
        else:
            following = provider.load()
    resumed = _begin(records, following)
    done = 0
    total = _waiting(records)
    while True:
        with records.reading(), records.db.atomic():
            moved = _rewrap_batch(records)
        if moved == 0:
            break
        done += moved
        progress(done, total, "record keys")
    with records.reading():
        generation = records.newest.generation
        with records.db.atomic():
            records.db.execute(
                "DELETE FROM keyring WHERE generation<? OR (name=? AND holder<>?)",
                [generation, keyring.KEK, keyring.key_id(following)],
            )
        records.empty_log()
        keyring.keep_copy(records.db, records.folder)
        records.use_keks(following)
        if to is not None:
            records.provider = to
        elif isinstance(provider, RenewableKeyProvider):
            provider.finish_renewal()
    progress(total, total, "record keys")
    return Rotated(generation, done, resumed)


def renew_transform(records: Records, progress: Progress) -> int:
    """Turns every template into a new epoch of the transform: one that leaked before matches nobody any more.

    A renewal that was cut off is finished first, and is not begun again.
    """
    with records.writing():
        behind = _behind(records)
        if not behind:
            records.census = records.census.in_epoch(records.census.epoch + 1)
            behind = _behind(records)
    total = len(behind)
    for start in range(0, total, BATCH):
        with records.writing():
            for handle in behind[start : start + BATCH]:
                if records.known(handle):
                    _turn(records, handle)
        progress(min(start + BATCH, total), total, "templates")
    with records.reading():
        records.empty_log()
        return records.census.epoch


def _begin(records: Records, following: bytes) -> bool:
    """Puts the next KEK into the ring, everything wrapped for the present provider key and the following one. True:
    resumed.
    """
    with records.reading():
        present = records.provider_key
        keks = keyring.raw_keks(records.db, present, records.tenant)
        resumed = len(keks) > 1
        records.will_write()
        with records.db.atomic():
            if not resumed:
                keks[max(keks) + 1] = new_key()
            newest = max(keks)
            for generation, kek in keks.items():
                for key in {present, following}:
                    keyring.put_kek(records.db, key, records.tenant, generation, kek)
            if not resumed:
                keys = keyring.BoxKeys.of(newest, keks[newest])
                for name in keyring.HELD:
                    held = keyring.open_held(records.db, records.newest, records.tenant, name)
                    keyring.put_held(records.db, keys, records.tenant, name, held)
                records.use_keks(present)
                if records.census_why is None:
                    records.save_census()
        keyring.keep_copy(records.db, records.folder)
    return resumed


def _waiting(records: Records) -> int:
    with records.reading():
        newest = records.newest.generation
        found: int = records.db.execute("SELECT COUNT(*) FROM people WHERE generation<>?", [newest]).fetchone()[0]
        return found


def _rewrap_batch(records: Records) -> int:
    newest = records.newest
    rows = records.db.execute(
        "SELECT id, subject, version, counter, generation, wrapped_key FROM people WHERE generation<>? LIMIT ?",
        [newest.generation, BATCH],
    ).fetchall()
    for identity, subject, version, counter, generation, wrapped in rows:
        if generation not in records.keks:
            raise StoreDamaged(
                f"record of {subject}", f"its key is of generation {generation!r}, which this box has not"
            )
        label = Label(records.tenant, "key", subject, "", version, counter)
        key = open_sealed(records.keks[generation].records, wrapped, label)
        records.db.execute(
            "UPDATE people SET generation=?, wrapped_key=? WHERE id=?",
            [newest.generation, seal(newest.records, key, label), identity],
        )
    return len(rows)


def _behind(records: Records) -> list[str]:
    """Handles whose templates are not yet of the present epoch."""
    epoch = records.census.epoch
    handles = [handle for (handle,) in records.db.execute("SELECT subject FROM people").fetchall()]
    return [h for h in handles if any(one.epoch != epoch for one in records.read_sets(records.row(h)).values())]


def _turn(records: Records, handle: str) -> None:
    row = records.row(handle)
    profile, sets = records.read_profile(row), records.read_sets(row)
    epoch = records.census.epoch
    turned = {model: layout.turned_to(one, epoch, records.rotation) for model, one in sets.items()}
    records.delete(handle)
    records.insert(handle, profile, turned)

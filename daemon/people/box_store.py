"""The box's secure store as its config wants it: whose key opens it, who keeps its counter, who hears of refusals."""

from __future__ import annotations

import calendar
import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from itertools import count
from pathlib import Path
from typing import Any

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.config.model import Config, StoreSection
from daemon.people.witness_file import RememberedFile
from secure_store.access import FILE_NAME, named
from secure_store.credential_key import CredentialKeyProvider
from secure_store.errors import StoreUnwritable
from secure_store.keys import FileKeyProvider, KeyProvider
from secure_store.open_loop import OpenLoopStore, StoreStatus
from secure_store.options import Refusal, StoreOptions
from secure_store.presence import is_absent
from secure_store.tpm2 import Tpm2KeyProvider, Tpm2Options, Tpm2Witness
from secure_store.witness import FlooredWitness, Witness

KEY_FILES = {"file": "store.key", "tpm2": "store.key.tpm2"}
COUNTED, FLEETS_FLOOR = "store_counter", "store_behind"
BACKUPS = "backups"  # folder of the state
BACKUPS_KEPT = 2  # on the box itself
SHOWN = 8  # handles in one sentence


def key_provider(config: Config, kind: str | None = None, *, create: bool) -> KeyProvider:
    """`kind`: another than the config's. `create` lets it make a key where there is none yet."""
    chosen = kind or config.store.key_provider
    path = config.store.key_file if kind in (None, config.store.key_provider) else None
    if chosen == "credential":
        return CredentialKeyProvider(config.store.credential)
    path = path or config.box.state / KEY_FILES[chosen]
    if chosen == "tpm2":
        return Tpm2KeyProvider(path, create, Tpm2Options(config.store.tpm2_device, config.store.tpm2_pcrs))
    return FileKeyProvider(path, create)


def is_new(config: Config) -> bool:
    """Whether this box has no store yet: then its key may be made. Raises StoreUnwritable: the disk does not say."""
    path = config.box.state / "store" / FILE_NAME
    with named(path):
        return is_absent(path)


def provider_at_start(config: Config) -> KeyProvider:
    """Makes a key for a store that is certainly not there yet, and for no other."""
    try:
        new = is_new(config)
    except StoreUnwritable:
        new = False  # opening the store says why, and the box goes on without faces
    return key_provider(config, create=new)


def store_options(settings: StoreSection, db: BoxDb, now: Callable[[], int]) -> StoreOptions:
    """`db` takes the journal's lines and, unless another witness is set, the counter."""

    def refused(refusal: Refusal) -> None:
        # Without the handle: nothing is ever taken out of a journal, and a person can be erased.
        facts: dict[str, str | int] = {"purpose": refusal.purpose, "why": refusal.why}
        db.submit(lambda tx: journal.append(tx, "read_refused", facts, now()))

    witness = FlooredWitness(_witness(settings, db, now), db.run(fleets_floor))
    return StoreOptions(now=now, witness=witness, on_refusal=refused)


def _witness(settings: StoreSection, db: BoxDb, now: Callable[[], int]) -> Witness:
    if settings.witness == "tpm2":
        device = settings.tpm2_device
        return Tpm2Witness(settings.tpm2_counter, f"device:{device}" if device and device[0] == "/" else device)
    if settings.witness == "file":
        assert settings.witness_file is not None
        return RememberedFile(settings.witness_file, db, now)
    return JournalWitness(db, now)


class JournalWitness:
    """The store's counter as lines of the journal, which is append-only, chained, and lies in another file: a store
    that was put back alone shows. The whole card put back shows only to whoever kept the journal's head elsewhere.
    """

    def __init__(self, db: BoxDb, now: Callable[[], int]) -> None:
        self._db, self._now = db, now
        self._reached = db.run(_last_counter)

    def read(self) -> int | None:
        return self._reached

    def advance(self, to: int) -> None:
        """Returns at once. Should a power cut come before it is on disk, the store is ahead, and that is right."""
        if to > (self._reached or 0):
            self._reached = to
            self._db.submit(lambda tx: journal.append(tx, COUNTED, {"counter": to}, self._now()))


def _last_counter(tx: sqlite3.Connection) -> int | None:
    return _newest(tx, COUNTED)


def fleets_floor(tx: sqlite3.Connection) -> int | None:
    """What the fleet last said against the store's counter, if it ever did."""
    return _newest(tx, FLEETS_FLOOR)


def keep_fleets_floor(tx: sqlite3.Connection, floor: int, counter: int, now: int) -> None:
    """The fleet has seen a higher counter than the store's: from the next start on it is not believed any more, until
    somebody accepts it as it is.
    """
    if (fleets_floor(tx) or 0) < floor:
        journal.append(tx, FLEETS_FLOOR, {"counter": floor, "found": counter}, now)


def _newest(tx: sqlite3.Connection, name: str) -> int | None:
    row = tx.execute("SELECT facts FROM journal WHERE name=? ORDER BY seq DESC LIMIT 1", (name,)).fetchone()
    return None if row is None else int(json.loads(row["facts"])["counter"])


_WHY = {
    "record_damaged": "{count} records do not open, of {whom}; everybody else can pay",
    "key_ring_repaired": "the key ring was damaged and was taken from its copy",
    "key_ring_copy_repaired": "the key ring's copy was damaged and was made anew",
    "census_damaged": "the sealed count of all records is damaged: nothing is written to the store",
    "witness_unreachable": "who remembers the store's counter does not answer: an older copy put back would not show",
    "rotation_unfinished": "a rotation of the keys was cut off: two keys open the store",
}
BEHIND = "store_behind"  # older than what the fleet has seen of it
CONDITIONS = ("key_beside_data", "memory_not_locked", BEHIND, *_WHY)


def conditions(status: StoreStatus, unlocked: str | None) -> dict[str, str]:
    """Those of CONDITIONS that hold now, name -> why. `unlocked`: why the gallery's memory is not locked."""
    found: dict[str, str] = {}
    whose: dict[str, list[str]] = {}
    for condition in status.conditions:
        name, _, whom = condition.partition(":")
        whose.setdefault(name, []).append(whom)
    for name, handles in whose.items():
        found[name] = _WHY.get(name, name).format(count=len(handles), whom=", ".join(handles[:SHOWN]))
    if status.key_warning is not None:
        found["key_beside_data"] = status.key_warning
    if unlocked is not None:
        found["memory_not_locked"] = unlocked
    return found


def described(store: OpenLoopStore) -> dict[str, Any]:
    """The store in plain values, for whoever looks after it. Raises StoreError."""
    return {**plain(store.status()), "public_key": store.public_key().hex()}


def plain(found: Any) -> Any:
    """One of the store's answers as lists, words and numbers."""
    if is_dataclass(found) and not isinstance(found, type):
        return {field.name: plain(getattr(found, field.name)) for field in fields(found)}
    if isinstance(found, Mapping):
        return {str(name): plain(value) for name, value in found.items()}
    if isinstance(found, frozenset | set):
        return sorted(found)
    return [plain(value) for value in found] if isinstance(found, list | tuple) else found


def drop_old_backups(folder: Path, now: int, days: int) -> list[Path]:
    """Removes the backups made more than `days` ago, for they hold whoever left since; which. Their names say when."""
    gone: list[Path] = []
    for path in _backups_in(folder):
        with contextlib.suppress(ValueError, OSError):
            made = calendar.timegm(time.strptime(path.name[6:22], "%Y%m%dT%H%M%SZ"))
            if made <= now - days * 24 * 3600:
                path.unlink()
                gone.append(path)
    return gone


def new_backup(folder: Path, now: int) -> Path:
    """A name in `folder` that nothing has yet; of what lies there only the newest stay, so that no card is filled.
    Raises StoreUnwritable.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for old in sorted(_backups_in(folder), key=lambda path: path.stat().st_mtime)[: 1 - BACKUPS_KEPT]:
            old.unlink()
        name = time.strftime("store-%Y%m%dT%H%M%SZ", time.gmtime(now))
        return next(path for n in count() if is_absent(path := folder / f"{name}{f'-{n}' if n else ''}.backup"))
    except OSError as error:
        raise StoreUnwritable(str(folder), f"no backup can be put there ({error.strerror})") from None


def _backups_in(folder: Path) -> list[Path]:
    """By name; none where there is no folder. Not by glob, which in Python 3.13 takes an I/O error for an empty folder.
    Raises OSError."""
    try:
        return sorted(path for path in folder.iterdir() if path.match("store-*.backup"))
    except FileNotFoundError:
        return []

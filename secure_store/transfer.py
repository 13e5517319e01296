"""People on their way to a box of the tenant: sealed so that this one box can open them, and can tell which box, or
that the fleet, sent them.
"""

from __future__ import annotations

import base64
import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from secure_store import keyring, layout, roster, sealed
from secure_store.durable import fsync_folder
from secure_store.enrolment import record_of
from secure_store.errors import StoreDamaged, StoreFull, StoreUnwritable, TenantMismatch, TransferRefused
from secure_store.records import Records

Progress = Callable[[int, int, str], None]
MAX_CHUNK_BYTES = 8 * 1024 * 1024
BATCH = 256


@dataclass(frozen=True)
class Imported:
    people: int
    present: tuple[str, ...]  # left as they were: enrolled here already
    erased: tuple[str, ...]  # left out: erased here before


def public_key(records: Records) -> bytes:
    """What another box seals to so that this one can open it: 32 bytes, no secret."""
    with records.reading():
        return sealed.public_key(_private(records))


def export_people(
    records: Records, path: Path, for_box: bytes, handles: Iterable[str] | None, progress: Progress
) -> int:
    """Writes them to `path`, whole or not at all; how many.

    Raises PersonUnknown, StoreDamaged, StoreUnwritable, StoreFull.
    """
    with records.reading():
        everyone = [handle for (handle,) in records.db.execute("SELECT subject FROM people ORDER BY subject")]
        chosen = everyone if handles is None else sorted(set(handles))
        private = _private(records)
        tenant_key = keyring.open_held(records.db, records.newest, records.tenant, keyring.TENANT_KEY)
        head = {"tenant_key": _text(tenant_key), "epoch": records.census.epoch, "people": len(chosen)}

        def people() -> Iterator[dict[str, object]]:
            for number, handle in enumerate(chosen, start=1):
                row = records.row(handle)
                sets = {model: _text(layout.pack_set(one)) for model, one in records.read_sets(row).items()}
                yield {"handle": handle, "profile": records.read_profile(row), "sets": sets}
                progress(number, len(chosen), "people")

        with _written(path) as file:
            for piece in sealed.sealed_people(private, for_box, records.tenant, head, people()):
                file.write(piece)
    return len(chosen)


def import_people(records: Records, path: Path, sender: bytes, progress: Progress) -> Imported:
    """Takes in what the box with the public key `sender` sealed to this one.

    Who is here already stays as is, and who was erased here stays erased. A box without people takes over the tenant
    key in it, if there is one; a box that has people under another tenant key refuses.

    Raises TransferRefused, TenantMismatch, ProfileRefused, StoreFull.
    """
    with records.reading():
        private = _private(records)
    done, present, erased = 0, list[str](), list[str]()
    with path.open("rb") as file:
        key, head = _check_whole(file, private, sender, records.tenant)
        total = int(str(head["people"]))
        if "tenant_key" in head:
            _take_over(records, base64.b64decode(str(head["tenant_key"])), int(str(head["epoch"])))
        for start in range(1, total + 1, BATCH):
            with records.writing():
                for number in range(start, min(start + BATCH, total + 1)):
                    one = _json(_open(key, records.tenant, number, _get(file)))
                    handle = str(one["handle"])
                    if records.known(handle):
                        present.append(handle)
                    elif records.buried(handle):
                        erased.append(handle)
                    else:
                        _insert(records, handle, one)
                        done += 1
            progress(min(start + BATCH - 1, total), total, "people")
    return Imported(done, tuple(present), tuple(erased))


def _check_whole(file: BinaryIO, private: bytes, sender: bytes, tenant: str) -> tuple[bytes, dict[str, object]]:
    """Opens every part before anything is taken in; leaves the file at the first person. The key and the head."""
    key = _open_header(file, private, sender)
    head = _json(_open(key, tenant, 0, _get(file)))
    first = file.tell()
    for number in range(1, int(str(head["people"])) + 1):
        one = _json(_open(key, tenant, number, _get(file)))
        if "new" in one:
            roster.checked(roster.person_of(one))
    if file.read(1):
        raise TransferRefused("the file", "there is more in it than was sealed")
    file.seek(first)
    return key, head


def _insert(records: Records, handle: str, one: dict[str, object]) -> None:
    if "new" in one:
        records.insert(handle, *record_of(roster.person_of(one), records))
        return
    profile, packed = one["profile"], one["sets"]
    assert isinstance(profile, dict)
    assert isinstance(packed, dict)
    sets = {str(model): layout.unpack_set(base64.b64decode(text)) for model, text in packed.items()}
    epoch = records.census.epoch
    turned = {model: layout.turned_to(kept, epoch, records.rotation) for model, kept in sets.items()}
    records.insert(handle, profile, turned)


def _take_over(records: Records, tenant_key: bytes, epoch: int) -> None:
    with records.reading():
        mine = keyring.open_held(records.db, records.newest, records.tenant, keyring.TENANT_KEY)
    if mine == tenant_key:
        return
    if records.census.people:
        raise TenantMismatch("the tenant key", "people are enrolled here under another one: their PINs would be lost")
    with records.writing():
        for keys in records.keks.values():
            keyring.put_held(records.db, keys, records.tenant, keyring.TENANT_KEY, tenant_key)
        records.census = records.census.in_epoch(epoch)
    with records.reading():
        records.use_tenant_key(tenant_key)
        keyring.keep_copy(records.db, records.folder)


def _open_header(file: BinaryIO, private: bytes, sender: bytes) -> bytes:
    if file.read(len(sealed.PEOPLE_MAGIC)) != sealed.PEOPLE_MAGIC:
        raise TransferRefused("the file", "it is no export of people")
    if file.read(sealed.KEY_BYTES) != sender:
        raise TransferRefused("the file", "another box than the one named sent it")
    try:
        secret = sealed.open_sealed_to(private, _get(file), "people")
    except StoreDamaged as error:
        raise TransferRefused("the file", error.why) from None
    return sealed.people_key(secret, sealed.shared_key(private, sender))


def _open(key: bytes, tenant: str, number: int, blob: bytes) -> bytes:
    try:
        return sealed.open_sealed(key, blob, sealed.Label(tenant, "export", counter=number))
    except StoreDamaged:
        raise TransferRefused(f"part {number}", "it is damaged, out of order, or of another tenant or sender") from None


def _get(file: BinaryIO) -> bytes:
    size = int.from_bytes(file.read(4), "big")
    chunk = file.read(size) if 0 < size <= MAX_CHUNK_BYTES else b""
    if not chunk or len(chunk) != size:
        raise TransferRefused("the file", "it is cut off or damaged")
    return chunk


def _json(plain: bytes) -> dict[str, object]:
    content: dict[str, object] = json.loads(plain)
    return content


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _private(records: Records) -> bytes:
    return keyring.open_held(records.db, records.newest, records.tenant, keyring.BOX_KEY)


@contextmanager
def _written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears whole or not at all. Raises StoreUnwritable, StoreFull."""
    aside = path.with_name(path.name + ".new")
    try:
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        aside.unlink(missing_ok=True)
        kind = StoreFull if error.errno == errno.ENOSPC else StoreUnwritable
        raise kind(str(path), f"it cannot be written ({error.strerror})") from None
    except BaseException:
        aside.unlink(missing_ok=True)
        raise

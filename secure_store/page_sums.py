"""A checksum of every page, left at a clean close: a failing card shows even where no record lies.

It finds accidents. What somebody does on purpose is found by the seals and the census.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from secure_store.durable import fsync_folder, write_durably
from secure_store.presence import is_absent

SUFFIX = ".sums"


def write_sums(database: Path, page_bytes: int) -> None:
    """The database is whole in its file: its log is empty."""
    sums: list[int] = []
    with database.open("rb") as file:
        while page := file.read(page_bytes):
            sums.append(zlib.crc32(page))
    body = json.dumps({"page_bytes": page_bytes, "crc32": sums})
    write_durably(_path(database), f"{zlib.crc32(body.encode()):08x} {body}".encode())


def missing(database: Path) -> bool:
    return is_absent(_path(database))


def forget_sums(database: Path) -> None:
    """Before the first write."""
    if not missing(database):
        _path(database).unlink()
        fsync_folder(database.parent)


def changed_pages(database: Path) -> list[int] | None:
    """Numbers (from 1) of pages that are not what was left there; None when there are no sums. Raises ValueError:
    bad sums.
    """
    if missing(database):
        return None
    check, _, body = _path(database).read_bytes().partition(b" ")
    if check != f"{zlib.crc32(body):08x}".encode():
        raise ValueError("the checksums do not match their own")
    kept = json.loads(body)
    size, sums = int(kept["page_bytes"]), list(kept["crc32"])
    bad: list[int] = []
    with database.open("rb") as file:
        for number, expected in enumerate(sums, start=1):
            if zlib.crc32(file.read(size)) != expected:
                bad.append(number)
        if file.read(1):
            bad.append(len(sums) + 1)
    return bad


def _path(database: Path) -> Path:
    return database.with_name(database.name + SUFFIX)

"""Delete means gone: the record key and all it opens are overwritten, the log is cut, and the raw files are searched
for what was there.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from secure_store.access import FILE_NAME, hold
from secure_store.durable import fsync_folder, shred
from secure_store.errors import ErasureIncomplete, PersonUnknown
from secure_store.keyring import COPY_NAME
from secure_store.keys import KeyProvider, RenewableKeyProvider
from secure_store.records import Records

TRACE_BYTES = 24


def erase(records: Records, handle: str) -> None:
    """Raises PersonUnknown, ErasureIncomplete."""
    with records.writing():
        marks = traces_of(records, handle)
        records.delete(handle)
        records.bury(handle)
    make_gone(records, handle, marks)


def make_gone(records: Records, what: str, marks: Sequence[bytes]) -> None:
    """Empties the log and proves by a search of the raw files that none of the marks is left.

    Raises ErasureIncomplete.
    """
    with records.reading():
        records.empty_log()
        if not found_in(records.folder, marks):
            return
        # SQLite moved cells about and left bytes behind in the slack of a page: write the file anew without them.
        records.db.execute("VACUUM")
        records.empty_log()
        left = found_in(records.folder, marks)
        if left:
            raise ErasureIncomplete(what, f"traces are left in {', '.join(left)}")


def traces_of(records: Records, handle: str) -> list[bytes]:
    """Pieces from the start, middle and end of everything sealed about a person: unmistakable, and nothing anyone
    can read.
    """
    row = records.db.execute("SELECT id, wrapped_key, profile FROM people WHERE subject=?", [handle]).fetchone()
    if row is None:
        raise PersonUnknown(handle, "nobody of this handle is enrolled here")
    person, *blobs = row
    blobs += [one for (one,) in records.db.execute("SELECT sealed FROM template_sets WHERE person=?", [person])]
    marks: list[bytes] = []
    for blob in blobs:
        middle = len(blob) // 2
        marks += [blob[:TRACE_BYTES], blob[middle : middle + TRACE_BYTES], blob[-TRACE_BYTES:]]
    return marks


def found_in(folder: Path, marks: Sequence[bytes]) -> list[str]:
    """Names of the files of this folder in which any of the marks stands."""
    names: list[str] = []
    for path in sorted(folder.iterdir()):
        try:
            found = path.stat()
        except FileNotFoundError:  # this alone: a file that the disk does not give was not searched
            continue
        if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
            continue
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
            if any(raw.find(mark) >= 0 for mark in marks):
                names.append(path.name)
    return names


def crypto_erase(folder: Path, provider: KeyProvider) -> None:
    """Destroys the keys first, then the files: cut off at any point, nothing can be read any more, and a second run
    finishes.

    A provider that cannot destroy its own key (a credential that systemd holds) leaves that to whoever gave it; the
    keys that were wrapped under it are destroyed all the same. Raises StoreBusy.
    """
    lock = hold(folder)
    try:
        if isinstance(provider, RenewableKeyProvider):
            provider.destroy()
        shred(folder / COPY_NAME)
        for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", f"{FILE_NAME}.sums"):
            shred(folder / name)
        fsync_folder(folder)
    finally:
        os.close(lock)

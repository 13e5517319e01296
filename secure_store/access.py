"""Getting at the store's files: one process at a time, and SQLite's errors by our names."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from secure_store.errors import StoreBusy, StoreDamaged, StoreError, StoreFull, StoreUnwritable

FILE_NAME = "store.db"


def hold(folder: Path) -> int:
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


_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH)


def error_of(path: Path, error: sqlite3.DatabaseError) -> StoreError:
    """SQLite's error by our name: is it the disk that is full, the file that is damaged, or neither?"""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(str(path), "the disk is full")
    if code in _DAMAGED:
        return StoreDamaged(str(path), f"SQLite cannot read it ({error})")
    return StoreUnwritable(str(path), f"SQLite refused ({error})")


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Turns SQLite's errors, and those of the files beside it, into ours."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise error_of(path, error) from None
    except UnicodeDecodeError:
        raise StoreDamaged(str(path), "SQLite cannot read it (damaged text)") from None
    except OSError as error:
        why = f"it, or a file beside it, cannot be used ({error.strerror})"
        raise (StoreFull if error.errno == errno.ENOSPC else StoreUnwritable)(str(path), why) from None

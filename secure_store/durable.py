"""Small files that survive a power cut: written aside, fsynced, renamed, and the folder fsynced."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replaces `path` whole or not at all. Raises OSError."""
    aside = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        aside.unlink()
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    aside.replace(path)
    fsync_folder(path.parent)


def overwrite(path: Path) -> None:
    """Random bytes over the file's own blocks. On flash the old ones may live on in the card's spare area."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())


def shred(path: Path) -> None:
    """Overwritten, then removed. May be called for a file that is not there."""
    overwrite(path)
    path.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        fsync_folder(path.parent)

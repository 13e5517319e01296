"""The files that content brought, named by their hash, within a quota: what no document names any more goes first."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from daemon.content.errors import ContentRefused, Why

KEPT_FREE_BYTES = 64 * 1024 * 1024  # payments are written to the same partition: content never takes the last of it
COPIES = 2  # while a file is put together it lies there twice


def _free(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


@dataclass(frozen=True)
class ContentStore:
    """`folder` holds one file per SHA-256."""

    folder: Path
    quota_bytes: int
    free_bytes: Callable[[Path], int] = _free

    def path(self, sha256: str) -> Path:
        return self.folder / sha256

    def has(self, sha256: str, length: int) -> bool:
        """By name and length: what was put here was verified, and a torn file never gets its name."""
        try:
            return self.path(sha256).stat().st_size == length
        except OSError:
            return False

    def sound(self, sha256: str) -> bool:
        """Reads the whole file: a card may forget, and a card can be taken out and written to."""
        try:
            with self.path(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except OSError:
            return False

    def forget(self, sha256: str) -> None:
        """The next round fetches it again."""
        self.path(sha256).unlink(missing_ok=True)

    def make_room(self, wanted: int, keep: Collection[str]) -> None:
        """Removes files that are not in `keep`, the least recently used first, until `wanted` bytes fit.

        Raises:
            ContentRefused: OVER_QUOTA, or NO_ROOM where the partition has too little left.
        """
        files = sorted((file.stat().st_mtime, file) for file in self._files())
        used = sum(file.stat().st_size for _, file in files)
        for _, file in files:
            if used + wanted <= self.quota_bytes and self._lacking(wanted) <= 0:
                return
            if file.name not in keep:
                used -= file.stat().st_size
                file.unlink(missing_ok=True)
        if used + wanted > self.quota_bytes:
            raise ContentRefused(Why.OVER_QUOTA, "content", f"{used + wanted} of {self.quota_bytes} bytes")
        if (lacking := self._lacking(wanted)) > 0:
            kept = f"{KEPT_FREE_BYTES >> 20} MiB stay free for payments"
            raise ContentRefused(Why.NO_ROOM, "content", f"{lacking} bytes are lacking; {kept}")

    def _lacking(self, wanted: int) -> int:
        return COPIES * wanted + KEPT_FREE_BYTES - self.free_bytes(self.folder)

    def take(self, downloaded: Path, sha256: str) -> Path:
        """Gives a verified file its name: fsync, rename, fsync of the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with downloaded.open("rb") as file:
            os.fsync(file.fileno())
        downloaded.rename(self.path(sha256))
        handle = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        return self.path(sha256)

    def drop(self, keep: Collection[str]) -> int:
        """Removes everything that is not in `keep`; how many files went."""
        gone = [file for file in self._files() if file.name not in keep]
        for file in gone:
            file.unlink(missing_ok=True)
        return len(gone)

    def used_bytes(self) -> int:
        return sum(file.stat().st_size for file in self._files())

    def _files(self) -> list[Path]:
        return [file for file in self.folder.iterdir() if file.is_file()] if self.folder.is_dir() else []

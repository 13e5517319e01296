"""Where the box's outermost key comes from. A provider gives 32 bytes; what a thief of the card gets depends on
which one it is.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Protocol, runtime_checkable

from secure_store.durable import fsync_folder, overwrite, shred, write_durably
from secure_store.errors import KeyFileExposed, KeyMissing
from secure_store.presence import is_absent
from secure_store.sealed import KEY_BYTES, new_key


class KeyProvider(Protocol):
    """Gives the key under which the store's own keys are wrapped."""

    @property
    def name(self) -> str: ...

    @property
    def warning(self) -> str | None:
        """What the box must say on every start and in health; None when the key does not lie beside the data."""

    def load(self) -> bytes:
        """32 bytes, the same ones each time. Raises KeyMissing, KeyFileExposed."""


@runtime_checkable
class RenewableKeyProvider(KeyProvider, Protocol):
    """A provider that can replace its own key, in two steps, so that a cut between them loses nothing."""

    def begin_renewal(self) -> bytes:
        """Makes the next key, durably, or finds the one a cut-off renewal had made."""

    def load_next(self) -> bytes | None:
        """The next key, when a renewal was begun."""

    def finish_renewal(self) -> None:
        """The next key becomes the key, and the old one is destroyed. May be called twice."""

    def destroy(self) -> None:
        """The key is gone for good, and with it everything under it. May be called twice."""


class FileKeyProvider:
    """A key in a file. For development and for boxes without a TPM: whoever has the card has the key too."""

    name = "file"
    warning = "the store's key is a file beside the data: a thief of the card can read the store"

    def __init__(self, path: Path, create: bool) -> None:
        self.path = path
        self._create = create

    def __repr__(self) -> str:
        return f"FileKeyProvider({str(self.path)!r})"

    def load(self) -> bytes:
        if self._create and not is_kept(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(self.path, new_key())
        return read_key_file(self.path)

    def begin_renewal(self) -> bytes:
        following = self.load_next()
        if following is None:
            following = new_key()
            write_durably(self._next, following)
        return following

    def load_next(self) -> bytes | None:
        return read_key_file(self._next) if is_kept(self._next) else None

    def finish_renewal(self) -> None:
        if is_kept(self._next):
            overwrite(self.path)
            self._next.replace(self.path)
            fsync_folder(self.path.parent)

    def destroy(self) -> None:
        for path in (self.path, self._next):
            shred(path)

    @property
    def _next(self) -> Path:
        return self.path.with_name(self.path.name + ".next")


DISK_FAILS = "Nothing was made in its place. If it says so again, the disk is failing: keep the file, change the disk."


def is_kept(path: Path) -> bool:
    """Whether a key lies at `path`. Raises KeyMissing where the disk does not say: no key is made over another then."""
    try:
        return not is_absent(path)
    except OSError as error:
        raise KeyMissing(str(path), f"whether a key is there cannot be told ({error.strerror})", DISK_FAILS) from error


def read_key_file(path: Path) -> bytes:
    """The 32 bytes of a key file that only its owner can read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        hint = DISK_FAILS if error.errno == errno.EIO else None
        raise KeyMissing(str(path), f"the key file cannot be opened ({error.strerror})", hint) from error
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o077:
            raise KeyFileExposed(str(path), f"its mode is {mode:04o}, so others can read the key")
        key = os.read(descriptor, KEY_BYTES + 1)
    finally:
        os.close(descriptor)
    return key_of(key, str(path))


def key_of(content: bytes, what: str) -> bytes:
    """Raises KeyMissing when it is not a key's length."""
    if len(content) != KEY_BYTES:
        found = "more" if len(content) > KEY_BYTES else str(len(content))
        raise KeyMissing(what, f"a key has {KEY_BYTES} bytes, this one {found}")
    return content

"""Who remembers, outside the store, how far it had come: only that shows that the whole store was put back to an
older day.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Protocol

from secure_store.durable import write_durably
from secure_store.errors import WitnessUnreachable
from secure_store.presence import is_absent

DIGITS = 20  # more than any counter has


class Witness(Protocol):
    """A counter that only grows."""

    def read(self) -> int | None:
        """The highest counter it was told; None when it was never told one. Raises OSError when it cannot be asked."""

    def advance(self, to: int) -> None:
        """Remembers `to` when it is higher. Called after each write. Raises OSError."""


def floor_of(witness: Witness) -> int | None:
    """The highest counter that it was told; None when it was never told one. A failure is never taken for "never".

    Raises WitnessUnreachable.
    """
    try:
        return witness.read()
    except OSError as error:
        what = "the witness" if error.filename is None else str(error.filename)
        why = f"the store's counter cannot be read ({error.strerror or error})"
        raise WitnessUnreachable(what, why) from None


class NoWitness:
    """Nobody remembers: a store that was put back as a whole is not noticed."""

    def read(self) -> int | None:
        return None

    def advance(self, to: int) -> None:
        pass


class FileWitness:
    """A file, of use only where it lies on another medium than the store."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> int | None:
        try:
            said = self.path.read_bytes().strip()
        except FileNotFoundError:
            if not self._may_be_new():
                raise OSError(errno.ENOENT, "its folder is not there: is its medium mounted?", str(self.path)) from None
            return None
        if not said.isdigit() or len(said) > DIGITS:  # written whole or not at all: this is no power cut
            raise OSError(errno.EBADMSG, "it holds no counter", str(self.path))
        return int(said)

    def _may_be_new(self) -> bool:
        """Whether there is a place for it, and no link that leads to where nothing is."""
        return is_absent(self.path) and self.path.parent.is_dir()

    def advance(self, to: int) -> None:
        if (self.read() or 0) < to:
            write_durably(self.path, f"{to}\n".encode())


class FlooredWitness:
    """Another witness, and a floor heard from elsewhere (the fleet keeps the highest counter a box ever reported)."""

    def __init__(self, inner: Witness, floor: int | None) -> None:
        self._inner, self._floor = inner, floor

    def read(self) -> int | None:
        known = [one for one in (self._inner.read(), self._floor) if one is not None]
        return max(known, default=None)

    def advance(self, to: int) -> None:
        self._inner.advance(to)

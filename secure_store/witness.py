"""Who remembers, outside the store, how far it had come: only that shows that the whole store was put back to an
older day.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from secure_store.durable import write_durably


class Witness(Protocol):
    """A counter that only grows."""

    def read(self) -> int | None:
        """The highest counter it was told; None when it was never told one. Raises OSError when it cannot be asked."""

    def advance(self, to: int) -> None:
        """Remembers `to` when it is higher. Called after each write. Raises OSError."""


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
        with contextlib.suppress(FileNotFoundError, ValueError):
            return int(self.path.read_text("ascii"))
        return None

    def advance(self, to: int) -> None:
        if (self.read() or 0) < to:
            write_durably(self.path, f"{to}\n".encode())


class FleetWitness:
    """The floor that the fleet answered with, and a way to tell it the new one (into the outbox: the call returns at
    once).
    """

    def __init__(self, floor: int | None, tell: Callable[[int], None]) -> None:
        self._floor = floor
        self._tell = tell

    def read(self) -> int | None:
        return self._floor

    def advance(self, to: int) -> None:
        if self._floor is None or self._floor < to:
            self._floor = to
            self._tell(to)

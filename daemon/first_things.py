"""What a start does first: the screen is drawn and the fleet reached. What takes long is begun after it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum


class First(Enum):
    SCREEN = "screen"
    LINK = "link"


class FirstThings:
    """Calls `then` once, on the thread that says the last of them is done. Thread-safe."""

    def __init__(self, then: Callable[[], None]) -> None:
        self._then, self._lock, self._left = then, threading.Lock(), set(First)

    def done(self, thing: First) -> None:
        """May be said again."""
        with self._lock:
            last = self._left == {thing}
            self._left.discard(thing)
        if last:
            self._then()

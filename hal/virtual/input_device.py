"""What the virtual keypad and the virtual scanner are: a queue that the page fills and a driver empties."""

from __future__ import annotations

import queue
from typing import Generic, TypeVar

from hal.errors import DeviceGone

T = TypeVar("T")


class VirtualInput(Generic[T]):
    """The driver's side is `open`, `read`, `close`; `unplug` acts on the hardware's side. Safe from any thread."""

    def __init__(self, name: str, max_waiting: int) -> None:
        self.name = name
        self._max_waiting = max_waiting
        self._waiting: queue.Queue[T | None] = queue.Queue()  # None wakes a reader after close or unplug
        self._opened = False
        self._unplugged = False

    def put(self, item: T) -> bool:
        """False when it was not taken, as nobody reads or the reader is far behind; what was taken is never lost."""
        if not self._opened or self._waiting.qsize() >= self._max_waiting:
            return False
        self._waiting.put(item)
        return True

    def unplug(self, unplugged: bool = True) -> None:
        """Pull the cable, or plug it in again: reads raise DeviceGone, then opening again helps."""
        self._unplugged = unplugged
        if unplugged:
            self.close()

    @property
    def fault(self) -> str:
        """What is wrong with the device on purpose: "unplugged" or "none"."""
        return "unplugged" if self._unplugged else "none"

    def open(self) -> None:
        """Raises DeviceGone while unplugged. What came earlier is forgotten, as a device just plugged in has none."""
        if self._unplugged:
            raise DeviceGone(self.name, "it is unplugged", "plug it in on the virtual box's page")
        if not self._opened:
            self._waiting = queue.Queue()
            self._opened = True

    def read(self, timeout_s: float) -> T | None:
        """The next item, or None when none came in time. Raises DeviceGone."""
        if not self._opened:
            raise DeviceGone(self.name, "it is unplugged or was not opened", "open it again")
        try:
            item = self._waiting.get(timeout=timeout_s) if timeout_s > 0 else self._waiting.get_nowait()
        except queue.Empty:
            return None
        if item is None:
            raise DeviceGone(self.name, "it is unplugged or was closed", "open it again")
        return item

    def close(self) -> None:
        """Ends a read that is waiting, too."""
        self._opened = False
        self._waiting.put(None)

"""The virtual scanner: a code typed into the page's field, or sent by a script."""

from __future__ import annotations

import queue
import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hal.errors import DeviceGone
from hal.scanner import Scan

MAX_WAITING = 64


class VirtualScannerOptions(BaseModel):
    """The scanner of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: Literal["virtual"] = "virtual"


class VirtualScanner:
    """Implements `hal.scanner.Scanner`; `scan` and `unplug` act on the hardware's side. Safe from any thread."""

    name = "virtual scanner"

    def __init__(self) -> None:
        # None wakes a reader after close or unplug.
        self._scans: queue.Queue[Scan | None] = queue.Queue()
        self._opened = False
        self._unplugged = False

    def scan(self, text: str) -> bool:
        """Holds a code before the scanner. False when nobody reads it."""
        if not self._opened or self._scans.qsize() >= MAX_WAITING:
            return False
        self._scans.put(Scan(text, time.monotonic()))
        return True

    def unplug(self, unplugged: bool = True) -> None:
        """Pull the cable, or plug it in again: reads raise DeviceGone, then opening again helps."""
        self._unplugged = unplugged
        if unplugged:
            self.close()

    @property
    def fault(self) -> str:
        """What is wrong with the scanner on purpose: "unplugged" or "none"."""
        return "unplugged" if self._unplugged else "none"

    def open(self) -> None:
        """Raises DeviceGone while unplugged."""
        if self._unplugged:
            raise DeviceGone(self.name, "it is unplugged", "plug it in on the virtual box's page")
        if not self._opened:
            self._scans = queue.Queue()
            self._opened = True

    def read(self, timeout_s: float) -> Scan | None:
        """The next code, or None. Raises DeviceGone."""
        if not self._opened:
            raise DeviceGone(self.name, "it is unplugged or was not opened", "open it again")
        try:
            scan = self._scans.get(timeout=timeout_s) if timeout_s > 0 else self._scans.get_nowait()
        except queue.Empty:
            return None
        if scan is None:
            raise DeviceGone(self.name, "it is unplugged or was closed", "open it again")
        return scan

    def close(self) -> None:
        """Ends a read that is waiting, too."""
        self._opened = False
        self._scans.put(None)

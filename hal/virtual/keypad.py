"""The virtual keypad: keys clicked on the page, typed on the computer's keyboard, or sent by a script."""

from __future__ import annotations

import queue
import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hal.errors import DeviceGone
from hal.keypad import Key, KeyPress

MAX_WAITING = 256


class VirtualKeypadOptions(BaseModel):
    """The keypad of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: Literal["virtual"] = "virtual"


class VirtualKeypad:
    """Implements `hal.keypad.Keypad`; `press` and `unplug` act on the hardware's side. Safe from any thread."""

    name = "virtual keypad"

    def __init__(self) -> None:
        # None wakes a reader after close or unplug.
        self._presses: queue.Queue[KeyPress | None] = queue.Queue()
        self._opened = False
        self._unplugged = False

    def press(self, key: Key) -> bool:
        """Press a key. False when it was not taken, as nobody reads or the reader is far behind; never lost later."""
        if not self._opened or self._presses.qsize() >= MAX_WAITING:
            return False
        self._presses.put(KeyPress(key, time.monotonic()))
        return True

    def unplug(self, unplugged: bool = True) -> None:
        """Pull the cable, or plug it in again: reads raise DeviceGone, then opening again helps."""
        self._unplugged = unplugged
        if unplugged:
            self.close()

    @property
    def fault(self) -> str:
        """What is wrong with the keypad on purpose: "unplugged" or "none"."""
        return "unplugged" if self._unplugged else "none"

    def open(self) -> None:
        """Raises DeviceGone while unplugged. Keys of an earlier time are forgotten, as a plugged-in keypad's are."""
        if self._unplugged:
            raise DeviceGone(self.name, "it is unplugged", "plug it in on the virtual box's page")
        if not self._opened:
            self._presses = queue.Queue()
            self._opened = True

    def read(self, timeout_s: float) -> KeyPress | None:
        """The next press, or None. Raises DeviceGone."""
        if not self._opened:
            raise DeviceGone(self.name, "it is unplugged or was not opened", "open it again")
        try:
            press = self._presses.get(timeout=max(timeout_s, 0)) if timeout_s > 0 else self._presses.get_nowait()
        except queue.Empty:
            return None
        if press is None:
            raise DeviceGone(self.name, "it is unplugged or was closed", "open it again")
        return press

    def close(self) -> None:
        """Ends a read that is waiting, too."""
        self._opened = False
        self._presses.put(None)

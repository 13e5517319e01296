"""The virtual keypad: keys clicked on the page, typed on the computer's keyboard, or sent by a script."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hal.keypad import Key, KeyPress
from hal.virtual.input_device import VirtualInput

MAX_WAITING = 256


class VirtualKeypadOptions(BaseModel):
    """The keypad of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["virtual"] = "virtual"


class VirtualKeypad(VirtualInput[KeyPress]):
    """Implements `hal.keypad.Keypad`; `press` acts on the hardware's side."""

    def __init__(self) -> None:
        super().__init__("virtual keypad", MAX_WAITING)

    def press(self, key: Key) -> bool:
        """Press a key. False when nobody takes it."""
        return self.put(KeyPress(key, time.monotonic()))

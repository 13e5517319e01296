"""Drivers for what a box does not have: they promise the same, and give nothing."""

from __future__ import annotations

import threading
from typing import Literal, NoReturn

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from hal.display import require_pixels
from hal.errors import DeviceGone
from hal.keypad import KeyPress
from hal.lamp import LampColour
from hal.printer import Paper
from hal.scanner import Scan


class NullOptions(BaseModel):
    """This box has no such device."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["null"] = "null"


class NullDisplayOptions(NullOptions):
    """No display; the screens are still drawn, for `width` and `height`, so that a picture of them can be taken."""

    width: int = Field(default=800, ge=64, le=4096)
    height: int = Field(default=480, ge=64, le=4096)


class NullCamera:
    """No camera: every read says so, and the box goes on with its other channels."""

    name = "no camera"

    def open(self) -> None:
        """Nothing to start."""

    def read(self, timeout_s: float) -> NoReturn:
        """Raises DeviceGone at once: waiting for a camera that is not there helps nobody."""
        raise DeviceGone(self.name, "this box has no camera", "set [camera] type in the config")

    def close(self) -> None:
        """Nothing to release."""


class NullKeypad:
    """No keypad: no key ever comes, and reads take their whole timeout, so that a loop around them does not spin."""

    name = "no keypad"

    def __init__(self) -> None:
        self._closed = threading.Event()

    def open(self) -> None:
        """Nothing to take."""
        self._closed.clear()

    def read(self, timeout_s: float) -> KeyPress | None:
        """None, after `timeout_s` or as soon as the keypad is closed."""
        self._closed.wait(timeout_s)
        return None

    def close(self) -> None:
        """Ends a read that is waiting."""
        self._closed.set()


class NullScanner:
    """No scanner: no code ever comes, and reads take their whole timeout."""

    name = "no scanner"

    def __init__(self) -> None:
        self._closed = threading.Event()

    def open(self) -> None:
        """Nothing to take."""
        self._closed.clear()

    def read(self, timeout_s: float) -> Scan | None:
        """None, after `timeout_s` or as soon as the scanner is closed."""
        self._closed.wait(timeout_s)
        return None

    def close(self) -> None:
        """Ends a read that is waiting."""
        self._closed.set()


class NullPrinter:
    """No printer: receipts are dropped."""

    name = "no printer"

    def open(self) -> None:
        """Nothing to take."""

    def paper(self, timeout_s: float) -> Paper:
        """UNKNOWN."""
        return Paper.UNKNOWN

    def print(self, data: bytes, timeout_s: float) -> None:
        """Drops it."""

    def close(self) -> None:
        """Nothing to release."""


class NullGate:
    """No gate: nobody is let through."""

    name = "no gate"

    def open(self) -> None:
        """Raises DeviceGone: a box that lets people through needs something to let them through."""
        raise DeviceGone(self.name, "this box has no gate", "set devices.gate in the config")

    def release(self, timeout_s: float) -> None:
        """Raises DeviceGone."""
        self.open()

    def shut(self, timeout_s: float) -> None:
        """It is."""

    def close(self) -> None:
        """Nothing to release."""


class NullDisplay:
    """No display: pictures are checked like anywhere else and dropped."""

    name = "no display"

    def __init__(self, options: NullDisplayOptions | None = None) -> None:
        options = options or NullDisplayOptions()
        self.size = (options.width, options.height)

    def open(self) -> None:
        """Nothing to take."""

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Drops the picture. Raises UnsuitableDevice when it is not of `size`."""
        require_pixels(self.name, self.size, pixels)

    def close(self) -> None:
        """Nothing to release."""


class NullLamp:
    """No lamp."""

    name = "no lamp"

    def open(self) -> None:
        """Nothing to take."""

    def set(self, colour: LampColour, blink: bool = False) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Nothing to release."""


class NullVoice:
    """No speaker."""

    name = "no voice"

    def open(self) -> None:
        """Nothing to take."""

    def say(self, text: str, locale: str) -> None:
        """Says nothing."""

    def close(self) -> None:
        """Nothing to release."""

"""Cameras that go wrong as real drivers do; the camera's own process loads them by name."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from hal.camera import Frame, frozen
from hal.errors import DeadlineExceeded, DeviceGone


class Options(BaseModel):
    """What the camera does after `good` frames, and where it notes that it was closed."""

    then: str = "go on"
    good: int = 3
    note: str = ""


class TestPicture:
    """Frames whose red is their sequence, at about 50 a second."""

    __test__ = False

    def __init__(self, options: Options) -> None:
        self.name = "test picture"
        self._options = options
        self._sequence = -1

    def open(self) -> None:
        match self._options.then:
            case "never opens":
                ctypes.PyDLL(None).pause()
            case "is not there":
                raise DeviceGone(self.name, "no camera on the bus", "seat the cable")

    def read(self, timeout_s: float) -> Frame:
        time.sleep(0.02)
        if self._sequence + 1 >= self._options.good:
            match self._options.then:
                case "hang":
                    ctypes.PyDLL(None).pause()  # in C, with the interpreter's lock held: no thread could save this
                case "segfault":
                    ctypes.string_at(0)
                case "is unplugged":
                    raise DeviceGone(self.name, "the cable was pulled", "plug it in")
                case "raise":
                    raise RuntimeError("a bug in the driver")
                case "grow":
                    return Frame(np.zeros((4000, 4000, 3), np.uint8), 9, time.monotonic())
                case "stall":
                    time.sleep(timeout_s)
                    raise DeadlineExceeded(self.name, "no picture")
                case "freeze":
                    self._sequence -= 1
        self._sequence += 1
        image = np.full((48, 64, 3), (self._sequence % 256, 1, 2), np.uint8)
        return Frame(frozen(image), self._sequence, time.monotonic())

    def close(self) -> None:
        if self._options.note:
            Path(self._options.note).write_text(str(os.getpid()))

"""The virtual display: its pixels as they are, and as PNG of what changed since a client last looked."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from hal.changes import bounding_box
from hal.display import require_pixels
from hal.errors import DeviceGone

# In front of each PNG on the wire: x, y, width, height, unsigned 16 bits each, big-endian.
HEADER = struct.Struct(">HHHH")


class VirtualDisplayOptions(BaseModel):
    """The display of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["virtual"] = "virtual"
    width: int = Field(default=800, ge=64, le=4096)
    height: int = Field(default=480, ge=64, le=4096)


class VirtualDisplay:
    """Implements `hal.display.Display`; `unplug` acts on the hardware's side. Safe from any thread."""

    name = "virtual display"

    def __init__(self, size: tuple[int, int] = (800, 480), on_change: Callable[[], None] = lambda: None) -> None:
        self.size = size
        self._on_change = on_change
        self._lock = threading.Lock()
        self._pixels: NDArray[np.uint8] = np.zeros((size[1], size[0], 3), np.uint8)
        self._opened = False
        self._unplugged = False

    def open(self) -> None:
        """Raises DeviceGone while unplugged."""
        if self._unplugged:
            raise DeviceGone(self.name, "it is unplugged", "plug it in on the virtual box's page")
        self._opened = True

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Raises UnsuitableDevice for another size, DeviceGone while unplugged or closed."""
        require_pixels(self.name, self.size, pixels)
        if not self._opened:
            raise DeviceGone(self.name, "it is unplugged or was not opened", "open it again")
        self._put(pixels.copy())

    def close(self) -> None:
        """The last picture stays, as it does on real glass."""
        self._opened = False

    def unplug(self, unplugged: bool = True) -> None:
        """Pull the cable (the glass goes black), or plug it in again: show raises DeviceGone until opened again."""
        self._unplugged = unplugged
        if unplugged:
            self._opened = False
            self._put(np.zeros_like(self._pixels))

    @property
    def fault(self) -> str:
        """What is wrong with the display on purpose: "unplugged" or "none"."""
        return "unplugged" if self._unplugged else "none"

    def pixels(self) -> NDArray[np.uint8]:
        """What is on the glass now, (H, W, 3) RGB, read-only."""
        with self._lock:
            return self._pixels

    def _put(self, pixels: NDArray[np.uint8]) -> None:
        pixels.setflags(write=False)
        with self._lock:
            self._pixels = pixels
        self._on_change()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of (H, W, 3) RGB, packed for speed."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def update(before: NDArray[np.uint8] | None, after: NDArray[np.uint8]) -> bytes | None:
    """Header and PNG of what changed since `before` (everything for None), or None when nothing did."""
    box = bounding_box(before, after)
    if box is None:
        return None
    x, y, width, height = box
    return HEADER.pack(*box) + png(np.ascontiguousarray(after[y : y + height, x : x + width]))

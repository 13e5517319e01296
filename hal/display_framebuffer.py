"""A display by the kernel's framebuffer (/dev/fb0): HDMI, DSI, small SPI panels, virtio-gpu."""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from hal.changes import changes
from hal.display import require_pixels
from hal.errors import DeviceGone, UnsuitableDevice
from hal.framebuffer_pixels import BitField, FramebufferGeometry, pack, turned

# linux/fb.h
FBIOGET_VSCREENINFO, FBIOGET_FSCREENINFO, FBIOBLANK, FB_BLANK_UNBLANK = 0x4600, 0x4602, 0x4611, 0
VARIABLE = struct.Struct("=40I")  # struct fb_var_screeninfo
FIXED = struct.Struct("@16sL4I3HIL2I3H0L")  # struct fb_fix_screeninfo, natively aligned and padded
FB_TYPE_PACKED_PIXELS = 0

ReadGeometry = Callable[[int], FramebufferGeometry]


class FramebufferOptions(BaseModel):
    """A framebuffer. `rotation` turns the picture clockwise by so many degrees, for a panel that is mounted turned."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["framebuffer"] = "framebuffer"
    path: Path = Path("/dev/fb0")
    rotation: Literal[0, 90, 180, 270] = 0


def read_geometry(fd: int) -> FramebufferGeometry:
    """What the kernel says about the framebuffer. Raises OSError when `fd` is none."""
    variable = VARIABLE.unpack(fcntl.ioctl(fd, FBIOGET_VSCREENINFO, bytes(VARIABLE.size)))
    fixed = FIXED.unpack(fcntl.ioctl(fd, FBIOGET_FSCREENINFO, bytes(FIXED.size)))
    if fixed[3] != FB_TYPE_PACKED_PIXELS:
        raise UnsuitableDevice("framebuffer", "its pixels are not packed", "set a true-colour mode")
    return FramebufferGeometry(
        width=variable[0],
        height=variable[1],
        x=variable[4],
        y=variable[5],
        bits_per_pixel=variable[6],
        red=BitField(*variable[8:10]),
        green=BitField(*variable[11:13]),
        blue=BitField(*variable[14:16]),
        transparency=BitField(*variable[17:19]),
        memory_length=fixed[2],
        line_length=fixed[9],
    )


class FramebufferDisplay:
    """Implements `hal.display.Display`. `read` is how the geometry is found: a plain file has none of its own."""

    def __init__(self, options: FramebufferOptions, read: ReadGeometry = read_geometry) -> None:
        self.name = f"framebuffer {options.path}"
        self._options = options
        self._read = read
        self._size: tuple[int, int] = (0, 0)
        self._geometry: FramebufferGeometry | None = None
        self._memory: mmap.mmap | None = None
        self._shown: NDArray[np.uint8] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as the payer sees it; (0, 0) before the first open."""
        return self._size

    def open(self) -> None:
        """Maps the memory and wakes the panel. Raises DeviceGone, UnsuitableDevice."""
        if self._memory is not None:
            return
        try:
            fd = os.open(self._options.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as why:
            hint = "is the display connected, and is the user in the group video?"
            raise DeviceGone(self.name, why.strerror or str(why), hint) from why
        try:
            geometry = self._read(fd)
            geometry.check(self.name)
            self._memory = mmap.mmap(fd, geometry.memory_length)
            _unblank(fd)
        except (OSError, ValueError) as why:
            raise UnsuitableDevice(self.name, f"it is no framebuffer: {why}", "name a /dev/fb… in the config") from why
        finally:
            os.close(fd)
        self._geometry = geometry
        self._shown = None
        sideways = self._options.rotation in (90, 270)
        self._size = (geometry.height, geometry.width) if sideways else (geometry.width, geometry.height)

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Writes the rectangles that changed since the last picture. Raises DeviceGone, UnsuitableDevice."""
        geometry, memory = self._geometry, self._memory
        if geometry is None or memory is None:
            raise DeviceGone(self.name, "it was not opened", "open it")
        require_pixels(self.name, self._size, pixels)
        picture = turned(pixels, self._options.rotation).copy()
        for x, y, width, height in changes(self._shown, picture):
            packed = pack(picture[y : y + height, x : x + width], geometry)
            row_bytes = packed.shape[1]
            place = geometry.start + y * geometry.line_length + x * geometry.bytes_per_pixel
            for row in packed:
                memory[place : place + row_bytes] = row.tobytes()
                place += geometry.line_length
        self._shown = picture

    def close(self) -> None:
        """The last picture stays on the panel."""
        if self._memory is not None:
            self._memory.close()
        self._memory = self._geometry = self._shown = None


def _unblank(fd: int) -> None:
    try:
        fcntl.ioctl(fd, FBIOBLANK, FB_BLANK_UNBLANK)
    except OSError:
        return  # many drivers have no blanking; then the panel is awake already

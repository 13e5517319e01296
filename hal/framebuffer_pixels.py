"""Pixels as a Linux framebuffer wants them: bit fields, line length, rotation, and only what changed. Pure numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal.errors import UnsuitableDevice

Bytes = NDArray[np.uint8]
ROTATIONS = (0, 90, 180, 270)


@dataclass(frozen=True, slots=True)
class BitField:
    """Where a colour lies in a pixel: `offset` counts from the least significant bit."""

    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class FramebufferGeometry:
    """What the kernel says about a framebuffer; lengths are in bytes. `x` and `y` are where the visible part begins."""

    width: int
    height: int
    bits_per_pixel: int
    line_length: int
    memory_length: int
    red: BitField
    green: BitField
    blue: BitField
    transparency: BitField = BitField(0, 0)
    x: int = 0
    y: int = 0

    @property
    def bytes_per_pixel(self) -> int:
        """2, 3 or 4."""
        return self.bits_per_pixel // 8

    @property
    def start(self) -> int:
        """Offset of the first visible pixel in the memory."""
        return self.y * self.line_length + self.x * self.bytes_per_pixel

    def check(self, device: str) -> None:
        """Raises UnsuitableDevice for what this driver cannot draw on."""
        if self.bits_per_pixel not in (16, 24, 32):
            raise UnsuitableDevice(device, f"it has {self.bits_per_pixel} bits per pixel", "set 16, 24 or 32")
        fields = (self.red, self.green, self.blue)
        if any(field.length == 0 or field.offset + field.length > self.bits_per_pixel for field in fields):
            raise UnsuitableDevice(device, "its colours lie in no bit fields", "set a true-colour mode")
        row_end = (self.x + self.width) * self.bytes_per_pixel
        last_byte = (self.y + self.height - 1) * self.line_length + row_end
        if self.width <= 0 or self.height <= 0 or row_end > self.line_length or last_byte > self.memory_length:
            raise UnsuitableDevice(device, "its memory is smaller than its picture", "check the display's driver")


def turned(pixels: Bytes, rotation: int) -> Bytes:
    """(H, W, 3) as the panel scans it out: turned clockwise by so many degrees."""
    return np.rot90(pixels, k=-(rotation // 90)) if rotation else pixels


def pack(pixels: Bytes, geometry: FramebufferGeometry) -> Bytes:
    """(H, W, 3) RGB into (H, W * bytes_per_pixel) in the framebuffer's own order, little-endian and opaque."""
    packed = np.full(pixels.shape[:2], _opaque(geometry.transparency), np.uint32)
    for channel, field in enumerate((geometry.red, geometry.green, geometry.blue)):
        level = pixels[..., channel].astype(np.uint32)
        level = (
            np.right_shift(level, max(8 - field.length, 0)) if field.length <= 8 else level * 2 ** (field.length - 8)
        )
        packed |= np.left_shift(level, field.offset).astype(np.uint32)
    height, width = pixels.shape[:2]
    octets = packed.astype("<u4", copy=False).view(np.uint8).reshape(height, width, 4)
    return octets[..., : geometry.bytes_per_pixel].reshape(height, width * geometry.bytes_per_pixel)


def _opaque(field: BitField) -> int:
    return ((1 << field.length) - 1) << field.offset


def changes(before: Bytes | None, after: Bytes) -> Iterator[tuple[int, int, int, int]]:
    """Rectangles (x, y, width, height) that hold every differing pixel, one for each run of changed rows.

    Everything for `before` None. A clock at the top and a number at the bottom cost two small rectangles.
    """
    height, width = after.shape[:2]
    if before is None:
        yield 0, 0, width, height
        return
    differs = (before != after).any(axis=2)
    rows = np.concatenate(([False], differs.any(axis=1), [False]))
    edges = np.flatnonzero(rows[1:] != rows[:-1])
    for top, bottom in zip(edges[::2], edges[1::2], strict=True):
        columns = np.flatnonzero(differs[top:bottom].any(axis=0))
        left, right = int(columns[0]), int(columns[-1]) + 1
        yield left, int(top), right - left, int(bottom - top)

"""One camera frame, checked once and shared by all models that look at it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.errors import FrameRefused

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels

MIN_SIDE = 64
MAX_WIDTH, MAX_HEIGHT = 4096, 3072


class Picture:
    """A frame whose pixels are known to be usable. Build it with `Picture.of`."""

    __slots__ = ("height", "pixels", "width")

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.height, self.width = int(pixels.shape[0]), int(pixels.shape[1])

    @classmethod
    def of(cls, frame: Pixels | Picture) -> Picture:
        """Check a frame: (H, W, 3) uint8 RGB, at least 64 pixels a side, at most 4096x3072; strides don't matter.

        Raises FrameRefused naming what is wrong.
        """
        if isinstance(frame, Picture):
            return frame
        if not isinstance(frame, np.ndarray):
            raise FrameRefused("frame", f"is a {type(frame).__name__}, not an ndarray")
        if frame.dtype != np.uint8:
            raise FrameRefused("frame", f"dtype is {frame.dtype}, not uint8")
        if frame.ndim != 3 or frame.shape[2] != 3:
            raise FrameRefused("frame", f"shape is {frame.shape}, not (height, width, 3)", "the camera must give RGB")
        height, width = frame.shape[:2]
        if min(height, width) < MIN_SIDE:
            raise FrameRefused("frame", f"{width}x{height} is too small; at least {MIN_SIDE} pixels a side")
        if width > MAX_WIDTH or height > MAX_HEIGHT:
            raise FrameRefused(
                "frame", f"{width}x{height} is larger than {MAX_WIDTH}x{MAX_HEIGHT}", "640x480 to 1920x1080 is right"
            )
        return cls(np.ascontiguousarray(frame))

    def shrunk_to(self, width: int, height: int) -> Pixels:
        """The whole frame stretched to width x height, area-averaged where it gets smaller."""
        factor = max(1, min(self.width // width, self.height // height))
        image = Image.fromarray(self.pixels)
        image = image.reduce(factor) if factor > 1 else image
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image)

    def warp(self, back: tuple[float, ...], side: int) -> Pixels:
        """Sample side x side bilinearly; `back` = (a, b, c, d, e, f): x = a*u + b*v + c, y = d*u + e*v + f.

        The outside of the frame is black, and all of it where `back` is no number. Pixel centres lie at +0.5 on both
        sides. Only the part of the frame that is sampled is touched.
        """
        a, b, c, d, e, f = back
        xs, ys = (c, c + a * side, c + b * side), (f, f + d * side, f + e * side)
        if not all(map(math.isfinite, back)):
            return np.zeros((side, side, 3), np.uint8)
        left, right = max(0, int(min(*xs, xs[1] + xs[2] - c)) - 2), int(max(*xs, xs[1] + xs[2] - c)) + 3
        top, bottom = max(0, int(min(*ys, ys[1] + ys[2] - f)) - 2), int(max(*ys, ys[1] + ys[2] - f)) + 3
        size = (min(right, self.width) - left, min(bottom, self.height) - top)
        if min(size) <= 0:
            return np.zeros((side, side, 3), np.uint8)
        stride = 3 * self.width
        memory = self.pixels.reshape(-1)[top * stride + 3 * left :]
        image = Image.frombuffer("RGB", size, memory, "raw", "RGB", stride, 1)
        sampled = image.transform(
            (side, side), Image.Transform.AFFINE, (a, b, c - left, d, e, f - top), Image.Resampling.BILINEAR
        )
        return np.frombuffer(sampled.tobytes(), np.uint8).reshape(side, side, 3)

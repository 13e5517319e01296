"""One camera frame, checked once and shared by all models that look at it."""

from __future__ import annotations

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

    __slots__ = ("_image", "_shrunk", "height", "pixels", "width")

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels
        self.height, self.width = int(pixels.shape[0]), int(pixels.shape[1])
        self._image = Image.fromarray(pixels)
        self._shrunk: Pixels | None = None

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
        return cls(frame)

    def shrunk_to(self, width: int, height: int) -> Pixels:
        """The whole frame stretched to width x height, area-averaged where it gets smaller. The last one is kept."""
        if self._shrunk is not None and self._shrunk.shape[:2] == (height, width):
            return self._shrunk
        factor = max(1, min(self.width // width, self.height // height))
        image = self._image.reduce(factor) if factor > 1 else self._image
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        self._shrunk = np.asarray(image)
        return self._shrunk

    def fitted_to(self, width: int, height: int) -> tuple[Pixels, float]:
        """The whole frame as large as it fits, in the upper left of width x height, the rest black; and its scale."""
        scale = min(width / self.width, height / self.height)
        columns, rows = max(1, min(width, round(self.width * scale))), max(1, min(height, round(self.height * scale)))
        canvas = np.zeros((height, width, 3), np.uint8)
        canvas[:rows, :columns] = self.shrunk_to(columns, rows)
        return canvas, scale

    def crop(self, x: int, y: int, width: int, height: int, side: int, *, gray: bool = False) -> Pixels:
        """A rectangle inside the frame, resized bilinearly (no anti-aliasing) to side x side: (side, side[, 3])."""
        return self.warp((width / side, 0.0, x, 0.0, height / side, y), side, gray=gray)

    def warp(self, back: tuple[float, ...], side: int, *, gray: bool = False) -> Pixels:
        """Sample side x side bilinearly; `back` = (a, b, c, d, e, f): x = a*u + b*v + c, y = d*u + e*v + f.

        The outside of the frame is black. Pixel centres lie at +0.5 on both sides.
        """
        image = self._image.transform((side, side), Image.Transform.AFFINE, back, Image.Resampling.BILINEAR)
        return np.asarray(image.convert("L") if gray else image)

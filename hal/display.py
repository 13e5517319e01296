"""A display shows pixels; what was shown stays until the next picture."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hal.errors import UnsuitableDevice


class Display(Protocol):
    """What every display driver promises."""

    @property
    def name(self) -> str:
        """How the display is called in logs and conditions."""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels as the payer sees them, after rotation. Known once the display is open."""

    def open(self) -> None:
        """Take the display; does nothing on an open one. Raises DeviceGone, UnsuitableDevice."""

    def show(self, pixels: NDArray[np.uint8]) -> None:
        """Show (H, W, 3) uint8 RGB of exactly `size`; the array may be reused. Raises DeviceGone, UnsuitableDevice."""

    def close(self) -> None:
        """Release the display. May be called twice, and on one that never opened."""


def require_pixels(device: str, size: tuple[int, int], pixels: NDArray[np.uint8]) -> None:
    """Refuse a picture that is not (H, W, 3) uint8 of the display's size. Raises UnsuitableDevice."""
    width, height = size
    if pixels.shape != (height, width, 3) or pixels.dtype != np.uint8:
        why = f"the picture is {pixels.shape} {pixels.dtype}, the display takes ({height}, {width}, 3) uint8"
        raise UnsuitableDevice(device, why, "draw for the size that the display reports")

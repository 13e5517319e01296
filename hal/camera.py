"""A camera gives the newest picture, or says within the deadline why it has none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the sensor.

    `image` is (H, W, 3) uint8, RGB, 0..255, C-contiguous and read-only. `sequence` grows with every *new* picture: a
    frozen camera is one whose sequence stands still. `captured_s` is `time.monotonic()` at the capture, or as near to
    it as the driver can tell.
    """

    image: NDArray[np.uint8]
    sequence: int
    captured_s: float


class Camera(Protocol):
    """What every camera driver promises."""

    @property
    def name(self) -> str:
        """How the camera is called in logs and conditions."""

    def open(self) -> None:
        """Start the camera; does nothing on an open one. Raises DeviceGone, UnsuitableDevice, DriverMissing."""

    def read(self, timeout_s: float) -> Frame:
        """The newest frame not read yet. Raises DeadlineExceeded after `timeout_s`, DeviceGone when it is lost."""

    def close(self) -> None:
        """Release the camera. May be called twice, and on one that never opened."""


def frozen(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same picture as a C-contiguous array that nobody can write to; copies only where it must."""
    image = np.ascontiguousarray(image)
    image.setflags(write=False)
    return image

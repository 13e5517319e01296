"""The virtual camera: the chosen picture at 15 frames a second, drifting and noisy as a real sensor's is.

An injected picture is no live person; see the package's first page.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from hal.camera import Frame, frozen
from hal.errors import DeadlineExceeded, DeviceGone
from hal.virtual.pictures import NOBODY, Choice, PictureBook


class VirtualCameraOptions(BaseModel):
    """The camera of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["virtual"] = "virtual"


class VirtualCamera:
    """Implements `hal.camera.Camera`; `choose`, `unplug`, `freeze` act on the hardware's side. Safe from any thread."""

    name = "virtual camera"

    def __init__(
        self,
        pictures: Path,
        size: tuple[int, int] = (640, 480),
        frames_per_s: float = 15.0,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.size = size
        self._book = PictureBook(pictures, size)
        self._period_s = 1 / frames_per_s
        self._on_change = on_change
        self._changed = threading.Condition()
        self._sensor = _Sensor(size)
        self._chosen = NOBODY
        self._opened = False
        self._unplugged = False
        self._is_frozen = False
        self._last: Frame | None = None
        self._sequence = 0

    @property
    def chosen(self) -> str:
        """The name of the picture in front of the camera."""
        return self._chosen

    def choices(self) -> tuple[Choice, ...]:
        """Everything that `choose` takes now."""
        return self._book.choices()

    def choose(self, name: str) -> None:
        """Put a picture before the camera: "nobody", "grace_hopper", "phone:grace_hopper". Raises UnknownPicture."""
        self._book.scene(name)
        with self._changed:
            self._chosen = name
            self._changed.notify_all()
        self._on_change()

    def unplug(self, unplugged: bool = True) -> None:
        """Pull the cable, or plug it in again: reads raise DeviceGone, then opening again helps."""
        with self._changed:
            self._unplugged = unplugged
            self._opened = self._opened and not unplugged
            self._changed.notify_all()
        self._on_change()

    def freeze(self, is_frozen: bool = True) -> None:
        """Hang the sensor: it gives its last picture, and the sequence stands still."""
        with self._changed:
            self._is_frozen = is_frozen
            self._changed.notify_all()
        self._on_change()

    @property
    def fault(self) -> str:
        """What is wrong with the camera on purpose: "unplugged", "frozen" or "none"."""
        return "unplugged" if self._unplugged else "frozen" if self._is_frozen else "none"

    def open(self) -> None:
        """Raises DeviceGone while unplugged."""
        with self._changed:
            if self._unplugged:
                raise DeviceGone(self.name, "it is unplugged", "plug it in on the virtual box's page")
            self._opened = True

    def read(self, timeout_s: float) -> Frame:
        """(480, 640, 3) RGB. Raises DeadlineExceeded, DeviceGone."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if not self._opened:
                    raise DeviceGone(self.name, "it is unplugged or was not opened", "open it again")
                now = time.monotonic()
                due = now if self._last is None else self._last.captured_s + self._period_s
                if now >= due:
                    break
                if now >= deadline:
                    raise DeadlineExceeded(self.name, f"no new picture within {timeout_s:g} s")
                self._changed.wait(min(due, deadline) - now)
            if self._is_frozen and self._last is not None:
                self._last = Frame(self._last.image, self._last.sequence, now)
            else:
                self._sequence += 1
                self._last = Frame(self._sensor.expose(self._book.scene(self._chosen), now), self._sequence, now)
            return self._last

    def close(self) -> None:
        """Ends a read that is waiting, too."""
        with self._changed:
            self._opened = False
            self._changed.notify_all()

    def preview(self, name: str | None = None) -> Image.Image:
        """What the camera would see of `name`, or sees now; takes no frame from the reader. Raises UnknownPicture."""
        if name is None and self._is_frozen and self._last is not None:
            return Image.fromarray(self._last.image)
        scene = self._book.scene(self._chosen if name is None else name)
        return Image.fromarray(_Sensor(self.size).expose(scene, time.monotonic() if name is None else 0.0))


class _Sensor:
    """Turns a scene into a frame: slow drift and breathing of the person, flicker of the light, noise of the sensor."""

    _NOISE_BANK = 4

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._random = np.random.default_rng()
        self._noise: list[NDArray[np.int16]] = []

    def expose(self, scene: Image.Image, now_s: float) -> NDArray[np.uint8]:
        """One (H, W, 3) RGB frame of a scene that is larger than the frame."""
        width, height = self._size
        drift_x = (scene.width - width) / 2 * (1 + 0.55 * math.sin(now_s / 0.83) * math.sin(now_s / 1.9))
        drift_y = (scene.height - height) / 2 * (1 + 0.45 * math.sin(now_s / 1.1 + 1))
        zoom = 1 + 0.012 * math.sin(now_s / 0.9)
        angle = math.radians(0.7 * math.sin(now_s / 1.3))
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        # Affine from frame to scene, turning about the frame's middle.
        mid_x, mid_y = width / 2, height / 2
        matrix = (
            cos, -sin, drift_x + mid_x - cos * mid_x + sin * mid_y,
            sin, cos, drift_y + mid_y - sin * mid_x - cos * mid_y,
        )  # fmt: skip
        moved = scene.transform(self._size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
        gain = 256 + round(6 * math.sin(now_s / 0.7) + float(self._random.normal(0, 1.2)))
        pixels = np.asarray(moved).astype(np.int16)
        pixels = (pixels.astype(np.int32) * gain >> 8).astype(np.int16)
        pixels += self._next_noise()
        return frozen(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))

    def _next_noise(self) -> NDArray[np.int16]:
        """Gaussian noise, sigma 2, from a small bank, rolled to a new place: fresh noise would cost 20 ms a frame."""
        width, height = self._size
        if len(self._noise) < self._NOISE_BANK:
            self._noise.append(np.rint(self._random.normal(0, 2, (height, width, 3))).astype(np.int16))
            return self._noise[-1]
        noise = self._noise[int(self._random.integers(self._NOISE_BANK))]
        return np.roll(noise, int(self._random.integers(height)), axis=0)

"""A camera that plays a folder of pictures or a video: for demonstrations, the emulator and reproducing a fault.

A recorded picture is no live person; a box that takes payments has no business with this driver.
"""

from __future__ import annotations

import importlib
import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import Field

from hal.camera import Frame, frozen
from hal.camera_options import OwnProcessOptions
from hal.errors import DeadlineExceeded, DeviceGone, DriverMissing, UnsuitableDevice

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})


class ReplayOptions(OwnProcessOptions):
    """A folder of pictures, played in the order of their names, or one video file (needs PyAV)."""

    type: Literal["replay"] = "replay"
    path: Path
    width: int = Field(default=640, ge=160, le=3840)
    height: int = Field(default=480, ge=120, le=2160)
    frames_per_s: float = Field(default=15, gt=0, le=120)
    repeat: bool = True


class ReplayCamera:
    """Implements `hal.camera.Camera`. Frames come at their pace; one that is late is not made up for."""

    def __init__(self, options: ReplayOptions) -> None:
        self.name = f"replay camera {options.path}"
        self._options = options
        self._size = (options.width, options.height)
        self._frames: Iterator[NDArray[np.uint8]] | None = None
        self._sequence = 0
        self._due_s = 0.0
        self._closed = threading.Event()

    def open(self) -> None:
        """Raises DeviceGone when there is nothing to play, DriverMissing for a video without PyAV."""
        if self._frames is not None:
            return
        path = self._options.path
        if path.is_dir():
            pictures = sorted(item for item in path.iterdir() if item.suffix.lower() in PICTURES)
            if not pictures:
                raise DeviceGone(self.name, "the folder holds no picture", f"put {', '.join(sorted(PICTURES))} there")
            self._frames = self._pictures(pictures)
        elif path.is_file():
            self._frames = self._video(_pyav(self.name))
        else:
            raise DeviceGone(self.name, "there is no such folder or file", "check [camera] path")
        self._closed.clear()
        self._due_s = time.monotonic()

    def read(self, timeout_s: float) -> Frame:
        """The next picture, cut to the frame's shape. Raises DeadlineExceeded, DeviceGone, UnsuitableDevice."""
        frames = self._frames
        if frames is None:
            raise DeviceGone(self.name, "it was not opened", "open it")
        wait_s = self._due_s - time.monotonic()
        if self._closed.wait(max(min(wait_s, timeout_s), 0)):
            raise DeviceGone(self.name, "it was closed", "open it again")
        if wait_s > timeout_s:
            raise DeadlineExceeded(self.name, f"no new picture within {timeout_s:g} s")
        image = next(frames, None)
        if image is None:
            self.close()
            raise DeviceGone(self.name, "the recording is over", "set repeat = true")
        now = time.monotonic()
        self._due_s = max(self._due_s + 1 / self._options.frames_per_s, now - 1)
        self._sequence += 1
        return Frame(image, self._sequence, now)

    def close(self) -> None:
        """Ends a read that is waiting, too."""
        self._frames = None
        self._closed.set()

    def _pictures(self, paths: list[Path]) -> Iterator[NDArray[np.uint8]]:
        for path in itertools.cycle(paths) if self._options.repeat else paths:
            try:
                with Image.open(path) as picture:
                    yield self._fitted(ImageOps.exif_transpose(picture).convert("RGB"))
            except (OSError, ValueError) as why:
                raise UnsuitableDevice(self.name, f"{path.name} cannot be read", str(why)) from why

    def _video(self, av: Any) -> Iterator[NDArray[np.uint8]]:
        while True:
            try:
                with av.open(str(self._options.path)) as container:
                    for frame in container.decode(video=0):
                        yield self._fitted(frame.to_image())
            except (av.FFmpegError, IndexError) as why:
                raise UnsuitableDevice(self.name, "the video cannot be read", str(why)) from why
            if not self._options.repeat:
                return

    def _fitted(self, picture: Image.Image) -> NDArray[np.uint8]:
        return frozen(np.asarray(ImageOps.fit(picture, self._size, Image.Resampling.BILINEAR)))


def _pyav(device: str) -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as why:
        raise DriverMissing(device, "a video needs PyAV", "pip install av, or play a folder of pictures") from why

"""The Raspberry Pi's own camera by picamera2 and libcamera. Written against picamera2 0.3.38; nobody has run it yet.

Source: "The Picamera2 Library" (Raspberry Pi Ltd): chapter 4 (configuration), 6 (capture), appendix A (formats). Its
BGR888 is the one whose bytes lie as R, G, B.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import time
from typing import Any, Literal

from pydantic import Field

from hal.camera import Frame, frozen
from hal.camera_options import OwnProcessOptions
from hal.errors import DeadlineExceeded, DeviceGone, DriverMissing

BUFFERS = 4


class Picamera2Options(OwnProcessOptions):
    """A camera on the Pi's ribbon cable. `turned` is for a camera that is mounted upside down."""

    type: Literal["picamera2"] = "picamera2"
    number: int = Field(default=0, ge=0, le=7)
    width: int = Field(default=640, ge=160, le=3840)
    height: int = Field(default=480, ge=120, le=2160)
    frames_per_s: int = Field(default=15, ge=1, le=120)
    turned: bool = False


class Picamera2Camera:
    """Implements `hal.camera.Camera`. The time of capture is the sensor's; a new time is a new picture."""

    def __init__(self, options: Picamera2Options) -> None:
        self.name = f"picamera2 camera {options.number}"
        self._options = options
        self._camera: Any = None
        self._job: Any = None
        self._stamp_ns = -1
        self._sequence = 0
        self._lock = threading.Lock()

    def open(self) -> None:
        """Raises DeviceGone, DriverMissing."""
        if self._camera is not None:
            return
        try:
            library = importlib.import_module("picamera2")
            transform = importlib.import_module("libcamera").Transform
        except ImportError as why:
            raise DriverMissing(self.name, "picamera2 is not installed", "apt install python3-picamera2") from why
        try:
            camera = library.Picamera2(self._options.number)
        except (RuntimeError, IndexError) as why:
            raise DeviceGone(self.name, f"no camera answers: {why}", "is the ribbon cable seated?") from why
        try:
            camera.configure(
                camera.create_video_configuration(
                    main={"size": (self._options.width, self._options.height), "format": "BGR888"},
                    transform=transform(hflip=self._options.turned, vflip=self._options.turned),
                    buffer_count=BUFFERS,
                    controls={"FrameRate": float(self._options.frames_per_s)},
                )
            )
            camera.start()
        except RuntimeError as why:
            camera.close()
            raise DeviceGone(self.name, f"it did not start: {why}", "does another program use it?") from why
        self._camera = camera

    def read(self, timeout_s: float) -> Frame:
        """The newest picture. Raises DeadlineExceeded, DeviceGone."""
        with self._lock:
            camera = self._camera
            if camera is None:
                raise DeviceGone(self.name, "it was not opened", "open it")
            # A request that did not come in time stays asked for: asking again would queue a second one.
            if self._job is None:
                self._job = camera.capture_request(wait=False)
            try:
                request = self._job.get_result(timeout=timeout_s)
            except TimeoutError as why:
                raise DeadlineExceeded(self.name, f"no picture within {timeout_s:g} s") from why
            except RuntimeError as why:
                self._job = None
                raise DeviceGone(self.name, f"it stopped: {why}", "open it again") from why
            self._job = None
            try:
                image = frozen(request.make_array("main"))
                stamp_ns = int(request.get_metadata().get("SensorTimestamp", time.monotonic_ns()))
            finally:
                request.release()
        if stamp_ns != self._stamp_ns:
            self._stamp_ns = stamp_ns
            self._sequence += 1
        return Frame(image, self._sequence, stamp_ns / 1e9)

    def close(self) -> None:
        """Stops the camera and lets it go."""
        camera, self._camera, self._job = self._camera, None, None
        if camera is not None:
            with contextlib.suppress(RuntimeError):
                camera.stop()
            with contextlib.suppress(RuntimeError):
                camera.close()

"""A camera by the kernel's Video4Linux2: USB cameras, capture sticks, the test device vivid."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import select
import time
from pathlib import Path
from typing import Literal

from pydantic import Field

from hal import v4l2
from hal.camera import Frame, frozen
from hal.camera_options import OwnProcessOptions
from hal.errors import DeadlineExceeded, DeviceGone, UnsuitableDevice
from hal.pixel_formats import CONVERTERS, Layout, converter

BUFFERS = 4


class V4l2Options(OwnProcessOptions):
    """A capture device. The first of the wanted formats that it has is taken; YUYV costs the least to unpack."""

    type: Literal["v4l2"] = "v4l2"
    path: Path = Path("/dev/video0")
    width: int = Field(default=640, ge=160, le=3840)
    height: int = Field(default=480, ge=120, le=2160)
    frames_per_s: int = Field(default=15, ge=1, le=120)
    formats: tuple[Literal["YUYV", "MJPG", "NV12", "RGB3", "BGR3", "GREY"], ...] = (
        "YUYV",
        "MJPG",
        "NV12",
        "RGB3",
        "BGR3",
    )


class V4l2Camera:
    """Implements `hal.camera.Camera`. The sequence and the time of capture are the kernel's own."""

    def __init__(self, options: V4l2Options) -> None:
        self.name = f"v4l2 camera {options.path}"
        self._options = options
        self._fd = -1
        self._maps: list[mmap.mmap] = []
        self._layout = Layout(0, 0, 0)
        self._format = ""

    def open(self) -> None:
        """Raises DeviceGone, UnsuitableDevice."""
        if self._fd >= 0:
            return
        try:
            self._fd = os.open(self._options.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as why:
            hint = "is it plugged in, and is the user in the group video?"
            raise DeviceGone(self.name, why.strerror or str(why), hint) from why
        try:
            self._require_capture()
            self._set_format()
            self._start()
        except OSError as why:
            self.close()
            if why.errno == errno.EBUSY:
                raise DeviceGone(self.name, "another program uses it", "who else has it open?") from why
            raise UnsuitableDevice(self.name, f"it refused to be set up: {why.strerror}", "is it a camera?") from why
        except UnsuitableDevice:
            self.close()
            raise

    def _require_capture(self) -> None:
        has = v4l2.Capability()
        v4l2.ask(self._fd, v4l2.QUERYCAP, has)
        able = has.device_caps if has.capabilities & v4l2.CAP_DEVICE_CAPS else has.capabilities
        if not able & v4l2.CAP_VIDEO_CAPTURE or not able & v4l2.CAP_STREAMING:
            raise UnsuitableDevice(
                self.name, "it does not stream pictures", "a camera may have several nodes: take another"
            )

    def _set_format(self) -> None:
        offered = self._offered()
        wanted = [name for name in self._options.formats if name in offered]
        if not wanted:
            why = f"it offers {', '.join(offered) or 'no format'}"
            raise UnsuitableDevice(self.name, why, f"this driver reads {', '.join(CONVERTERS)}")
        form = v4l2.Format(type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
        form.fmt.pix.width, form.fmt.pix.height = self._options.width, self._options.height
        form.fmt.pix.pixelformat, form.fmt.pix.field = v4l2.fourcc(wanted[0]), v4l2.FIELD_NONE
        v4l2.ask(self._fd, v4l2.S_FMT, form)
        pix = form.fmt.pix
        # The kernel gives the nearest it can, and says what that is.
        self._format = v4l2.fourcc_name(pix.pixelformat)
        converter(self.name, self._format)
        self._layout = Layout(pix.width, pix.height, pix.bytesperline)
        rate = v4l2.CaptureParameters(type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
        rate.timeperframe.numerator, rate.timeperframe.denominator = 1, self._options.frames_per_s
        with contextlib.suppress(OSError):  # a camera may have one rate only
            v4l2.ask(self._fd, v4l2.S_PARM, rate)

    def _offered(self) -> list[str]:
        names: list[str] = []
        for index in range(64):
            described = v4l2.FormatDescription(index=index, type=v4l2.BUF_TYPE_VIDEO_CAPTURE)
            try:
                v4l2.ask(self._fd, v4l2.ENUM_FMT, described)
            except OSError:
                break
            names.append(v4l2.fourcc_name(described.pixelformat))
        return names

    def _start(self) -> None:
        request = v4l2.RequestBuffers(count=BUFFERS, type=v4l2.BUF_TYPE_VIDEO_CAPTURE, memory=v4l2.MEMORY_MMAP)
        v4l2.ask(self._fd, v4l2.REQBUFS, request)
        for index in range(request.count):
            buffer = self._buffer(index)
            v4l2.ask(self._fd, v4l2.QUERYBUF, buffer)
            self._maps.append(mmap.mmap(self._fd, buffer.length, offset=buffer.m.offset))
            v4l2.ask(self._fd, v4l2.QBUF, buffer)
        v4l2.ask(self._fd, v4l2.STREAMON, ctypes.c_int32(v4l2.BUF_TYPE_VIDEO_CAPTURE))

    def read(self, timeout_s: float) -> Frame:
        """The newest picture: older ones that wait are given back unread. Raises DeadlineExceeded, DeviceGone."""
        deadline = time.monotonic() + timeout_s
        torn = ""
        while True:
            if self._fd < 0:
                raise DeviceGone(self.name, "it was not opened", "open it")
            left_ms = max(round((deadline - time.monotonic()) * 1000), 0)
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            ready = poll.poll(left_ms)
            if not ready:
                raise DeadlineExceeded(self.name, torn or f"no picture within {timeout_s:g} s", "is its cable firm?")
            try:
                frame = self._newest()
            except ValueError as why:
                torn = str(why)
                continue
            except OSError as why:
                self.close()
                raise DeviceGone(self.name, f"it was unplugged: {why.strerror}", "plug it in again") from why
            if frame is not None:
                return frame
            if ready[0][1] & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
                self.close()
                raise DeviceGone(self.name, "it was unplugged", "plug it in again")

    def _newest(self) -> Frame | None:
        """None when no whole picture waits. Raises ValueError for a torn picture, OSError."""
        newest = self._dequeue()
        if newest is None:
            return None
        while (newer := self._dequeue()) is not None:
            v4l2.ask(self._fd, v4l2.QBUF, newest)
            newest = newer
        try:
            if newest.flags & v4l2.BUF_FLAG_ERROR:
                raise ValueError("the picture is torn, says the driver")
            picture = self._maps[newest.index][: newest.bytesused]
            image = frozen(converter(self.name, self._format)(picture, self._layout))
            return Frame(image, newest.sequence, _captured_s(newest))
        finally:
            v4l2.ask(self._fd, v4l2.QBUF, newest)

    def _dequeue(self) -> v4l2.Buffer | None:
        buffer = self._buffer(0)
        try:
            v4l2.ask(self._fd, v4l2.DQBUF, buffer)
        except BlockingIOError:
            return None
        return buffer

    def _buffer(self, index: int) -> v4l2.Buffer:
        return v4l2.Buffer(index=index, type=v4l2.BUF_TYPE_VIDEO_CAPTURE, memory=v4l2.MEMORY_MMAP)

    def close(self) -> None:
        """Stops the stream and lets the camera go."""
        fd, self._fd = self._fd, -1
        for place in self._maps:
            place.close()
        self._maps = []
        if fd >= 0:
            with contextlib.suppress(OSError):
                v4l2.ask(fd, v4l2.STREAMOFF, ctypes.c_int32(v4l2.BUF_TYPE_VIDEO_CAPTURE))
            os.close(fd)


def _captured_s(buffer: v4l2.Buffer) -> float:
    """The kernel's time of capture where its clock is ours, else now."""
    if buffer.flags & v4l2.BUF_FLAG_TIMESTAMP_MASK == v4l2.BUF_FLAG_TIMESTAMP_MONOTONIC:
        return float(buffer.timestamp.seconds + buffer.timestamp.microseconds / 1e6)
    return time.monotonic()

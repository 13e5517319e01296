"""Real cameras' pictures against slow references, V4L2 structures against the kernel's header, replay and picamera2."""

from __future__ import annotations

import ctypes
import importlib.util
import io
import itertools
import shutil
import subprocess
import sys
import threading
import time
import types
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hal import v4l2
from hal.camera_picamera2 import Picamera2Camera, Picamera2Options
from hal.camera_replay import ReplayCamera, ReplayOptions
from hal.camera_v4l2 import V4l2Camera, V4l2Options
from hal.errors import DeadlineExceeded, DeviceGone, DriverMissing, UnsuitableDevice
from hal.pixel_formats import CONVERTERS, Layout, converter


def rgb_slowly(y: int, u: int, v: int) -> list[float]:
    """BT.601, limited range, in floating point."""
    luma, blue, red = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    rgb = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
    return [min(max(level, 0), 255) for level in rgb]


def legal_yuv(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Random bytes in the range that luma and chroma share."""
    return random.integers(16, 236, shape, np.uint8)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 6), st.integers(0, 7))
def test_yuyv_agrees_with_the_slow_reference(seed: int, half_width: int, height: int, padding: int) -> None:
    lines = legal_yuv(np.random.default_rng(seed), (height, half_width * 4 + padding))
    rgb = converter("test", "YUYV")(lines.tobytes(), Layout(half_width * 2, height, half_width * 4 + padding))
    for row in range(height):
        for column in range(half_width * 2):
            pair = lines[row, column // 2 * 4 : column // 2 * 4 + 4]
            wanted = rgb_slowly(int(pair[column % 2 * 2]), int(pair[1]), int(pair[3]))
            assert np.abs(rgb[row, column] - np.array(wanted)).max() <= 3


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 4), st.integers(0, 6))
def test_nv12_agrees_with_the_slow_reference(seed: int, half_width: int, half_height: int, padding: int) -> None:
    width, height, line = half_width * 2, half_height * 2, half_width * 2 + padding
    planes = legal_yuv(np.random.default_rng(seed), (height + half_height, line))
    rgb = converter("test", "NV12")(planes.tobytes(), Layout(width, height, line))
    for row in range(height):
        for column in range(width):
            u, v = planes[height + row // 2, column // 2 * 2 : column // 2 * 2 + 2]
            wanted = rgb_slowly(int(planes[row, column]), int(u), int(v))
            assert np.abs(rgb[row, column] - np.array(wanted)).max() <= 3


def test_black_white_and_primaries_come_out_as_themselves() -> None:
    for (y, u, v), rgb in {
        (16, 128, 128): (0, 0, 0),
        (235, 128, 128): (255, 255, 255),
        (81, 90, 240): (255, 0, 0),
        (145, 54, 34): (0, 255, 0),
        (41, 240, 110): (0, 0, 255),
    }.items():
        pixels = converter("test", "YUYV")(bytes([y, u, y, v]), Layout(2, 1, 4))
        assert np.abs(pixels.astype(int) - np.array(rgb)).max() <= 3


def test_packed_rgb_bgr_and_grey_keep_their_channels() -> None:
    layout = Layout(2, 1, 7)
    assert converter("test", "RGB3")(bytes([1, 2, 3, 4, 5, 6, 0]), layout).tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert converter("test", "BGR3")(bytes([1, 2, 3, 4, 5, 6, 0]), layout).tolist() == [[[3, 2, 1], [6, 5, 4]]]
    assert converter("test", "GREY")(bytes([9, 8, 0]), Layout(2, 1, 3)).tolist() == [[[9, 9, 9], [8, 8, 8]]]


def test_a_torn_jpeg_is_refused_and_a_whole_one_read() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 60)).save(buffer, "JPEG", quality=95)
    whole, layout = buffer.getvalue(), Layout(64, 48, 0)
    assert np.abs(converter("test", "MJPG")(whole, layout).astype(int) - (200, 30, 60)).max() < 6
    for torn in (whole[: len(whole) // 2], whole[:20], b"", b"not a jpeg"):
        with pytest.raises(ValueError, match="torn"):
            converter("test", "MJPG")(torn, layout)
    with pytest.raises(ValueError, match="not"):
        converter("test", "MJPG")(whole, Layout(640, 480, 0))


@pytest.mark.parametrize("name", sorted(set(CONVERTERS) - {"MJPG"}))
def test_a_buffer_that_is_too_short_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="bytes instead of"):
        converter("test", name)(bytes(40), Layout(16, 16, 48))


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UnsuitableDevice, match="'H264'"):
        converter("test", "H264")


def test_v4l2s_structures_and_requests_are_the_kernels(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/usr/include/linux/videodev2.h").exists():
        pytest.skip("no C compiler with the kernel's headers on this machine")
    sizes = {
        "v4l2_capability": v4l2.Capability,
        "v4l2_fmtdesc": v4l2.FormatDescription,
        "v4l2_pix_format": v4l2.PixelFormat,
        "v4l2_format": v4l2.Format,
        "v4l2_requestbuffers": v4l2.RequestBuffers,
        "v4l2_buffer": v4l2.Buffer,
        "v4l2_streamparm": v4l2.CaptureParameters,
    }
    numbers = {
        **{f"sizeof(struct {name})": ctypes.sizeof(kind) for name, kind in sizes.items()},
        "offsetof(struct v4l2_format, fmt)": v4l2.Format.fmt.offset,
        "offsetof(struct v4l2_buffer, timestamp)": v4l2.Buffer.timestamp.offset,
        "offsetof(struct v4l2_buffer, sequence)": v4l2.Buffer.sequence.offset,
        "offsetof(struct v4l2_buffer, m)": v4l2.Buffer.m.offset,
        "offsetof(struct v4l2_buffer, length)": v4l2.Buffer.length.offset,
        "offsetof(struct v4l2_capability, device_caps)": v4l2.Capability.device_caps.offset,
        "offsetof(struct v4l2_streamparm, parm.capture.timeperframe)": v4l2.CaptureParameters.timeperframe.offset,
        "VIDIOC_QUERYCAP": v4l2.QUERYCAP,
        "VIDIOC_ENUM_FMT": v4l2.ENUM_FMT,
        "VIDIOC_S_FMT": v4l2.S_FMT,
        "VIDIOC_REQBUFS": v4l2.REQBUFS,
        "VIDIOC_QUERYBUF": v4l2.QUERYBUF,
        "VIDIOC_QBUF": v4l2.QBUF,
        "VIDIOC_DQBUF": v4l2.DQBUF,
        "VIDIOC_STREAMON": v4l2.STREAMON,
        "VIDIOC_STREAMOFF": v4l2.STREAMOFF,
        "VIDIOC_S_PARM": v4l2.S_PARM,
        "V4L2_PIX_FMT_YUYV": v4l2.fourcc("YUYV"),
        "V4L2_PIX_FMT_MJPEG": v4l2.fourcc("MJPG"),
        "V4L2_PIX_FMT_RGB24": v4l2.fourcc("RGB3"),
        "V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC": v4l2.BUF_FLAG_TIMESTAMP_MONOTONIC,
        "V4L2_CAP_STREAMING": v4l2.CAP_STREAMING,
        "V4L2_CAP_DEVICE_CAPS": v4l2.CAP_DEVICE_CAPS,
    }
    prints = "".join(f'printf("%lld\\n", (long long)({expression}));' for expression in numbers)
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <linux/videodev2.h>\n#include <stddef.h>\n#include <stdio.h>\nint main(void) {"
        + prints
        + "return 0; }"
    )
    subprocess.run([compiler, str(source), "-o", str(tmp_path / "layout")], check=True)
    output = subprocess.run([str(tmp_path / "layout")], check=True, capture_output=True, text=True).stdout
    kernels = dict(zip(numbers, (int(line) & 0xFFFFFFFF for line in output.split()), strict=True))
    assert numbers == kernels


def test_without_a_camera_the_v4l2_driver_says_so(tmp_path: Path) -> None:
    with pytest.raises(DeviceGone, match="No such file"):
        V4l2Camera(V4l2Options(path=tmp_path / "video0")).open()
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(UnsuitableDevice, match="refused to be set up"):
        V4l2Camera(V4l2Options(path=tmp_path / "plain")).open()
    camera = V4l2Camera(V4l2Options(path=Path("/dev/null")))
    with pytest.raises(UnsuitableDevice):
        camera.open()
    with pytest.raises(DeviceGone, match="not opened"):
        camera.read(1)
    camera.close()


@pytest.mark.skipif(not Path("/dev/video0").exists(), reason="no /dev/video0 here; the emulated box has vivid's")
@pytest.mark.parametrize("form", ["YUYV", "RGB3"])
def test_a_real_capture_device_gives_new_pictures(form: str) -> None:
    camera = V4l2Camera(V4l2Options(formats=(form,)))  # type: ignore[arg-type]
    camera.open()
    frames = [camera.read(5) for _ in range(5)]
    camera.close()
    assert [frame.image.shape for frame in frames] == [(480, 640, 3)] * 5
    assert all(b.sequence > a.sequence for a, b in itertools.pairwise(frames))
    assert abs(time.monotonic() - frames[-1].captured_s) < 5
    assert frames[-1].image.std() > 5


def test_without_picamera2_its_driver_names_the_package() -> None:
    if importlib.util.find_spec("picamera2"):
        pytest.skip("picamera2 is here")
    with pytest.raises(DriverMissing) as missing:
        Picamera2Camera(Picamera2Options()).open()
    assert "python3-picamera2" in missing.value.hint


class Request:
    """A completed request, as picamera2 hands it out."""

    def __init__(self, stamp_ns: int) -> None:
        self.stamp_ns = stamp_ns
        self.released = False

    def make_array(self, stream: str) -> np.ndarray:
        assert stream == "main"
        return np.full((480, 640, 3), self.stamp_ns % 251, np.uint8)

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": self.stamp_ns}

    def release(self) -> None:
        self.released = True


class PiLibrary(types.ModuleType):
    """A stand-in for picamera2 and libcamera with their documented interface: this machine has no such camera."""

    def __init__(self) -> None:
        super().__init__("picamera2")
        self.configured: dict[str, object] = {}
        self.requests: list[Request] = []
        self.asked: list[Future[Request]] = []
        self.calls: list[str] = []

    def Picamera2(self, number: int) -> PiLibrary:  # noqa: N802
        if number > 0:
            raise IndexError("list index out of range")
        return self

    def Transform(self, hflip: bool, vflip: bool) -> tuple[bool, bool]:  # noqa: N802
        return hflip, vflip

    def create_video_configuration(self, **wanted: object) -> dict[str, object]:
        return wanted

    def configure(self, configuration: dict[str, object]) -> None:
        self.configured = configuration

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")

    def capture_request(self, wait: bool) -> PiLibrary:
        assert not wait
        self.asked.append(Future())
        return self

    def get_result(self, timeout: float) -> Request:
        return self.asked[-1].result(timeout)

    def deliver(self, stamp_ns: int) -> Request:
        request = Request(stamp_ns)
        self.requests.append(request)
        self.asked[-1].set_result(request)
        return request


def test_the_picamera2_driver_asks_once_releases_what_it_got_and_numbers_new_pictures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = PiLibrary()
    monkeypatch.setitem(sys.modules, "picamera2", library)
    monkeypatch.setitem(sys.modules, "libcamera", library)
    with pytest.raises(DeviceGone, match="no camera answers"):
        Picamera2Camera(Picamera2Options(number=3)).open()
    camera = Picamera2Camera(Picamera2Options(turned=True))
    camera.open()
    assert library.configured["main"] == {"size": (640, 480), "format": "BGR888"}
    assert library.configured["transform"] == (True, True)
    for _ in range(2):
        with pytest.raises(DeadlineExceeded):
            camera.read(0.02)
    assert len(library.asked) == 1
    sequences = []
    for stamp_ns in (1_000_000_000, 1_066_000_000, 1_066_000_000):
        if library.asked[-1].done():
            threading.Timer(0.05, lambda stamp_ns=stamp_ns: library.deliver(stamp_ns)).start()
        else:
            library.deliver(stamp_ns)
        frame = camera.read(2)
        sequences.append(frame.sequence)
        assert frame.captured_s == stamp_ns / 1e9
    assert sequences == [1, 2, 2]
    assert all(request.released for request in library.requests)
    camera.close()
    camera.close()
    assert library.calls == ["start", "stop", "close"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, colour in enumerate([(250, 0, 0), (0, 250, 0), (0, 0, 250)]):
        Image.new("RGB", (100 + index * 300, 400), colour).save(tmp_path / f"{index}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    return tmp_path


def test_replay_plays_the_folder_in_order_at_its_pace_and_again(folder: Path) -> None:
    camera = ReplayCamera(ReplayOptions(path=folder, frames_per_s=50))
    camera.open()
    started = time.monotonic()
    frames = [camera.read(2) for _ in range(7)]
    assert time.monotonic() - started > 0.1
    assert [int(frame.image[240, 320].argmax()) for frame in frames] == [0, 1, 2, 0, 1, 2, 0]
    assert [frame.sequence for frame in frames] == [1, 2, 3, 4, 5, 6, 7]
    assert {frame.image.shape for frame in frames} == {(480, 640, 3)}
    assert not frames[0].image.flags.writeable


def test_replay_without_repeat_ends_and_may_be_opened_again(folder: Path) -> None:
    camera = ReplayCamera(ReplayOptions(path=folder, frames_per_s=100, repeat=False))
    camera.open()
    assert [camera.read(1).sequence for _ in range(3)] == [1, 2, 3]
    with pytest.raises(DeviceGone, match="recording is over"):
        camera.read(1)
    camera.open()
    assert camera.read(1).sequence == 4


def test_replay_keeps_its_deadline_and_its_word_about_what_is_missing(folder: Path, tmp_path: Path) -> None:
    slow = ReplayCamera(ReplayOptions(path=folder, frames_per_s=0.5))
    slow.open()
    slow.read(1)
    with pytest.raises(DeadlineExceeded):
        slow.read(0.05)
    with pytest.raises(DeviceGone, match="no such folder"):
        ReplayCamera(ReplayOptions(path=tmp_path / "nowhere")).open()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeviceGone, match="no picture"):
        ReplayCamera(ReplayOptions(path=tmp_path / "empty")).open()
    (folder / "0.png").write_bytes(b"torn")
    torn = ReplayCamera(ReplayOptions(path=folder))
    torn.open()
    with pytest.raises(UnsuitableDevice, match=r"0\.png cannot be read"):
        torn.read(1)


def test_a_video_is_played_where_pyav_is_and_asked_for_where_it_is_not(tmp_path: Path) -> None:
    video = tmp_path / "payer.mp4"
    video.write_bytes(b"")
    try:
        import av
    except ImportError:
        with pytest.raises(DriverMissing, match="needs PyAV"):
            ReplayCamera(ReplayOptions(path=video)).open()
        return
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for level in (60, 120, 180):
            picture = av.VideoFrame.from_ndarray(np.full((240, 320, 3), level, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    camera = ReplayCamera(ReplayOptions(path=video, frames_per_s=100))
    camera.open()
    levels = [int(camera.read(2).image.mean()) for _ in range(4)]
    assert np.abs(np.array(levels) - [60, 120, 180, 60]).max() < 8

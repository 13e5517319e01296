"""A camera that hangs, dies or lies costs a few frames, never the box."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hal.camera import Camera, Frame
from hal.camera_child import Recipe
from hal.camera_process import CameraProcess, Patience
from hal.camera_ring import CameraRing, FrameTooLarge
from hal.errors import DeadlineExceeded, DeviceGone

PATIENT = Patience(start_s=60, hang_s=3, stop_s=1, first_restart_s=0.1, longest_restart_s=0.4, healthy_s=0.5)
NO_PATIENCE_AT_THE_START = replace(PATIENT, start_s=2)
FRAME_BYTES = 64 * 48 * 3
Make = Callable[..., CameraProcess]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Cameras of bad_cameras.py in processes of their own; closed at the end."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    made: list[CameraProcess] = []

    def make(then: str = "go on", good: int = 3, note: str = "", patience: Patience = PATIENT) -> CameraProcess:
        options = f'{{"then": "{then}", "good": {good}, "note": "{note}"}}'
        camera = CameraProcess(
            "bad camera", Recipe("bad_cameras", "TestPicture", "Options", options, FRAME_BYTES), patience
        )
        made.append(camera)
        return camera

    yield make
    for camera in made:
        camera.close()


def frames_until_gone(camera: Camera) -> tuple[list[Frame], DeviceGone]:
    frames: list[Frame] = []
    while True:
        try:
            frames.append(camera.read(60))
        except DeviceGone as why:
            return frames, why


def test_frames_come_through_whole_and_in_order(make: Make) -> None:
    camera = make()
    camera.open()
    frames = [camera.read(60) for _ in range(20)]
    assert all(b.sequence > a.sequence for a, b in itertools.pairwise(frames))
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert not frame.image.flags.writeable
        assert (frame.image == frame.image[0, 0]).all()
        assert 0 <= time.monotonic() - frame.captured_s < 30


def test_a_driver_that_hangs_in_c_is_killed_and_started_again(make: Make) -> None:
    camera = make(then="hang", good=3)
    camera.open()
    frames, why = frames_until_gone(camera)
    hung = camera.restarts
    assert "hung for" in why.why
    assert frames
    again = camera.read(60)
    assert camera.restarts == hung + 1
    assert again.sequence > frames[-1].sequence


def test_a_driver_that_never_finishes_opening_is_killed_too(make: Make) -> None:
    camera = make(then="never opens", patience=NO_PATIENCE_AT_THE_START)
    camera.open()
    with pytest.raises(DeviceGone, match="hung for"):
        camera.read(60)


def test_a_segfault_in_the_driver_ends_its_process_and_no_other(make: Make) -> None:
    camera = make(then="segfault", good=3)
    camera.open()
    frames, why = frames_until_gone(camera)
    assert "SIGSEGV" in why.why
    assert camera.read(60).sequence > frames[-1].sequence


def test_kill_9_is_survived(make: Make) -> None:
    camera = make()
    camera.open()
    before = camera.read(60)
    assert camera.pid is not None
    os.kill(camera.pid, signal.SIGKILL)
    _, why = frames_until_gone(camera)
    assert "SIGKILL" in why.why
    assert camera.read(60).sequence > before.sequence


def test_a_bug_in_the_driver_is_survived(make: Make) -> None:
    camera = make(then="raise")
    camera.open()
    _, why = frames_until_gone(camera)
    assert "ended with status 1" in why.why


def test_what_the_driver_says_is_what_the_reader_hears(make: Make) -> None:
    camera = make(then="is not there")
    camera.open()
    with pytest.raises(DeviceGone, match="no camera on the bus") as heard:
        camera.read(60)
    assert heard.value.hint == "seat the cable"
    unplugged = make(then="is unplugged")
    unplugged.open()
    assert frames_until_gone(unplugged)[1].why == "the cable was pulled"


def test_a_picture_that_does_not_fit_is_named(make: Make) -> None:
    camera = make(then="grow")
    camera.open()
    assert "does not fit" in frames_until_gone(camera)[1].why


def test_failures_that_follow_one_another_are_restarted_ever_more_slowly(make: Make) -> None:
    camera = make(then="is not there")
    camera.open()
    pauses = []
    for _ in range(4):
        with pytest.raises(DeviceGone):
            camera.read(60)
        failed = time.monotonic()
        while True:
            try:
                camera.read(0.01)
            except DeadlineExceeded as why:
                if "starts again" not in why.why:
                    break
            except DeviceGone:
                break
        pauses.append(time.monotonic() - failed)
    assert pauses[0] >= 0.09
    assert pauses[1] >= 0.18
    assert pauses[2] >= 0.36
    assert pauses[3] >= 0.36


def test_a_camera_without_pictures_is_late_but_not_hung(make: Make) -> None:
    camera = make(then="stall", good=0)
    camera.open()
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        camera.read(PATIENT.hang_s * 2)
    assert time.monotonic() - started < PATIENT.hang_s * 2 + 10
    assert camera.restarts == 0


def test_a_frozen_sensor_is_passed_on_as_one(make: Make) -> None:
    camera = make(then="freeze", good=2)
    camera.open()
    time.sleep(0.3)
    sequences = {camera.read(60).sequence for _ in range(5)}
    assert len(sequences) <= 2
    assert camera.restarts == 0


def test_a_reader_that_comes_late_gets_the_newest_picture(make: Make) -> None:
    camera = make()
    camera.open()
    first = camera.read(60)
    time.sleep(1)
    late = camera.read(60)
    assert late.sequence > first.sequence + 3


def test_closing_lets_the_driver_close_and_leaves_no_process(make: Make, tmp_path: Path) -> None:
    note = tmp_path / "closed"
    camera = make(note=str(note))
    camera.open()
    camera.read(60)
    pid = camera.pid
    camera.close()
    camera.close()
    assert note.read_text() == str(pid)
    assert pid is not None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(DeviceGone, match="closed"):
        camera.read(1)
    camera.open()
    assert camera.read(60).image.shape == (48, 64, 3)


def test_closing_while_another_thread_reads_ends_the_read(make: Make) -> None:
    camera = make(then="stall", good=0)
    camera.open()
    threading.Timer(0.3, camera.close).start()
    started = time.monotonic()
    with pytest.raises(DeviceGone):
        camera.read(30)
    assert time.monotonic() - started < 20


def test_closing_a_hung_driver_takes_no_longer_than_promised(make: Make) -> None:
    camera = make(then="hang", good=1)
    camera.open()
    camera.read(60)
    time.sleep(0.2)
    started = time.monotonic()
    camera.close()
    assert time.monotonic() - started < PATIENT.stop_s + 10


def test_a_writer_that_laps_the_reader_is_noticed() -> None:
    fd = CameraRing.create(FRAME_BYTES)
    writer, reader = CameraRing(fd, FRAME_BYTES), CameraRing(fd, FRAME_BYTES)
    picture = np.zeros((48, 64, 3), np.uint8)
    first = writer.write(Frame(picture, 1, 0.5))
    got = reader.read(first)
    assert got is not None
    assert (got.sequence, got.captured_s) == (1, 0.5)
    for sequence in range(2, 6):
        writer.write(Frame(picture, sequence, 0.5))
    assert reader.read(first) is None
    with pytest.raises(FrameTooLarge):
        writer.write(Frame(np.zeros((480, 640, 3), np.uint8), 9, 0.5))
    os.close(fd)

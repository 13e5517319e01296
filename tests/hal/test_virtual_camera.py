"""The virtual camera behaves like a sensor, and its portraits fill the frame."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hal.errors import DeadlineExceeded, DeviceGone
from hal.virtual.camera import VirtualCamera
from hal.virtual.pictures import UnknownPicture


@pytest.fixture
def camera(portraits: Path) -> VirtualCamera:
    camera = VirtualCamera(portraits)
    camera.open()
    return camera


def test_the_choices_are_nobody_each_portrait_and_each_portrait_on_a_phone(camera: VirtualCamera) -> None:
    names = [choice.name for choice in camera.choices()]
    assert names == ["nobody", "ada_red", "bob_blue", "phone:ada_red", "phone:bob_blue"]
    assert camera.chosen == "nobody"


def test_frames_are_read_only_rgb_of_640_by_480(camera: VirtualCamera) -> None:
    image = camera.read(1).image
    assert image.shape == (480, 640, 3)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert not image.flags.writeable


def test_each_frame_is_new_and_a_little_different_as_a_sensors_is(camera: VirtualCamera) -> None:
    camera.choose("ada_red")
    frames = [camera.read(1) for _ in range(6)]
    assert [frame.sequence for frame in frames] == list(range(frames[0].sequence, frames[0].sequence + 6))
    assert all(b.captured_s > a.captured_s for a, b in itertools.pairwise(frames))
    for a, b in itertools.pairwise(frames):
        change = np.abs(a.image.astype(int) - b.image.astype(int)).mean()
        assert 0.5 < change < 12


def test_no_more_than_fifteen_frames_come_in_a_second(camera: VirtualCamera) -> None:
    camera.read(1)
    started = time.monotonic()
    for _ in range(15):
        camera.read(1)
    assert time.monotonic() - started >= 0.95


@pytest.mark.parametrize("name", ["ada_red", "bob_blue"])
def test_a_portrait_fills_the_frame_so_that_no_edge_of_the_picture_is_in_view(camera: VirtualCamera, name: str) -> None:
    camera.choose(name)
    image = camera.read(1).image.astype(int)
    wall = np.array([236, 230, 220])
    for corner in (image[:6, :6], image[:6, -6:]):
        assert np.abs(corner.mean(axis=(0, 1)) - wall).max() < 30
    colour = image[240, 320]
    assert colour[0] > colour[2] + 60 if name == "ada_red" else colour[2] > colour[0] + 60


def test_on_a_phone_the_portrait_is_smaller_and_its_bezel_is_in_view(camera: VirtualCamera) -> None:
    def red_part() -> float:
        image = camera.read(1).image.astype(int)
        return float(((image[..., 0] - image[..., 2]) > 90).mean())

    camera.choose("ada_red")
    in_person = red_part()
    camera.choose("phone:ada_red")
    on_a_phone = red_part()
    dark = (camera.read(1).image.astype(int).max(axis=2) < 60).mean()
    assert 0.02 < on_a_phone < in_person * 0.7
    assert dark > 0.01


def test_an_unknown_picture_is_refused_by_name_and_the_old_one_stays(camera: VirtualCamera) -> None:
    camera.choose("ada_red")
    with pytest.raises(UnknownPicture, match=r"no picture called '\.\./etc/passwd'"):
        camera.choose("../etc/passwd")
    assert camera.chosen == "ada_red"


def test_a_picture_that_cannot_be_read_is_refused_by_name(portraits: Path, camera: VirtualCamera) -> None:
    (portraits / "broken.jpg").write_bytes(b"not a picture")
    with pytest.raises(UnknownPicture, match=r"broken\.jpg cannot be read"):
        camera.choose("broken")
    (portraits / "cut.png").write_bytes((portraits / "ada_red.png").read_bytes()[:300])
    with pytest.raises(UnknownPicture, match=r"cut\.png cannot be read"):
        camera.choose("cut")


def test_a_folder_that_is_not_there_leaves_nobody_to_choose(tmp_path: Path) -> None:
    camera = VirtualCamera(tmp_path / "nowhere")
    camera.open()
    assert [choice.name for choice in camera.choices()] == ["nobody"]
    assert camera.read(1).sequence == 1


def test_portraits_that_arrive_later_can_be_chosen(portraits: Path, camera: VirtualCamera) -> None:
    Image.new("RGB", (300, 300), (10, 200, 10)).save(portraits / "carla.png")
    camera.choose("carla")
    assert camera.read(1).image[240, 320, 1] > 150


def test_a_read_that_is_shorter_than_a_frame_ends_in_its_deadline(portraits: Path) -> None:
    camera = VirtualCamera(portraits, frames_per_s=0.01)
    camera.open()
    camera.read(1)
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        camera.read(0.01)
    assert time.monotonic() - started < 30


def test_an_unplugged_camera_is_gone_within_the_read_and_comes_back_when_opened_again(camera: VirtualCamera) -> None:
    camera.unplug()
    with pytest.raises(DeviceGone):
        camera.read(1)
    with pytest.raises(DeviceGone):
        camera.open()
    camera.unplug(False)
    with pytest.raises(DeviceGone):
        camera.read(1)
    camera.open()
    assert camera.read(1).sequence >= 1


def test_a_frozen_camera_repeats_its_sequence(camera: VirtualCamera) -> None:
    first = camera.read(1)
    camera.freeze()
    again = [camera.read(1) for _ in range(3)]
    assert {frame.sequence for frame in again} == {first.sequence}
    assert again[-1].captured_s > first.captured_s
    camera.freeze(False)
    assert camera.read(1).sequence == first.sequence + 1


def test_closing_from_another_thread_ends_a_waiting_read(portraits: Path) -> None:
    camera = VirtualCamera(portraits, frames_per_s=0.01)
    camera.open()
    camera.read(1)
    threading.Timer(0.1, camera.close).start()
    started = time.monotonic()
    with pytest.raises(DeviceGone):
        camera.read(60)
    assert time.monotonic() - started < 30
    camera.close()

"""A config names its drivers by type, and every driver there is keeps the protocol."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from hal import drivers
from hal.camera_process import CameraProcess
from hal.errors import DeviceGone, UnsuitableDevice
from hal.lamp import LampColour
from hal.null import NullCamera, NullDisplay, NullKeypad, NullLamp, NullVoice
from hal.virtual.box import VirtualBox
from hal.virtual.options import VirtualBoxOptions

KINDS: dict[str, Any] = {
    "camera": drivers.CameraOptions,
    "keypad": drivers.KeypadOptions,
    "display": drivers.DisplayOptions,
    "lamp": drivers.LampOptions,
    "voice": drivers.VoiceOptions,
}


def options(kind: str, **values: object) -> Any:
    return TypeAdapter(KINDS[kind]).validate_python(values)


@pytest.mark.parametrize("kind", KINDS)
def test_the_virtual_boxs_devices_are_found_by_type(kind: str, box: VirtualBox) -> None:
    built = getattr(drivers, f"open_{kind}")(options(kind, type="virtual"), drivers.Rig(box))
    assert built is getattr(box, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_virtual_device_without_a_virtual_box_is_named(kind: str) -> None:
    with pytest.raises(UnsuitableDevice, match="no virtual box"):
        getattr(drivers, f"build_{kind}")(options(kind, type="virtual"), drivers.Rig())


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_types_and_keys_are_refused(kind: str) -> None:
    with pytest.raises(ValidationError, match="kinect"):
        options(kind, type="kinect")
    with pytest.raises(ValidationError, match="colour"):
        options(kind, type="null", colour="blue")


def test_null_drivers_give_nothing_and_never_fail() -> None:
    rig = drivers.Rig()
    camera = drivers.open_camera(options("camera", type="null"), rig)
    keypad = drivers.open_keypad(options("keypad", type="null"), rig)
    display = drivers.open_display(options("display", type="null", width=480, height=320), rig)
    lamp = drivers.open_lamp(options("lamp", type="null"), rig)
    voice = drivers.open_voice(options("voice", type="null"), rig)
    assert isinstance(camera, NullCamera)
    assert isinstance(keypad, NullKeypad)
    assert isinstance(display, NullDisplay)
    assert isinstance(lamp, NullLamp)
    assert isinstance(voice, NullVoice)
    with pytest.raises(DeviceGone, match="no camera"):
        camera.read(5)
    started = time.monotonic()
    assert keypad.read(0.1) is None
    assert time.monotonic() - started >= 0.09
    display.show(np.zeros((320, 480, 3), np.uint8))
    lamp.set(LampColour.RED, blink=True)
    voice.say("你好", "zh-CN")
    for device in (camera, keypad, display, lamp, voice):
        device.close()
        device.close()


def test_a_replayed_folder_runs_in_a_process_of_its_own(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), (10, 200, 30)).save(tmp_path / "face.png")
    camera = drivers.open_camera(options("camera", type="replay", path=str(tmp_path)), drivers.Rig())
    assert isinstance(camera, CameraProcess)
    first, second = camera.read(15), camera.read(5)
    assert second.sequence > first.sequence
    assert first.image[0, 0].tolist() == [10, 200, 30]
    camera.close()


def test_a_real_camera_that_is_not_there_says_so_through_its_process(tmp_path: Path) -> None:
    camera = drivers.open_camera(options("camera", type="v4l2", path=str(tmp_path / "video0")), drivers.Rig())
    with pytest.raises(DeviceGone, match="No such file"):
        camera.read(15)
    camera.close()


def test_a_config_describes_the_virtual_box(portraits: Path) -> None:
    described = VirtualBoxOptions(port=0, pictures=portraits, till_url="http://127.0.0.1:9/till")
    box = VirtualBox.from_options(described, (480, 320))
    assert box.display.size == (480, 320)
    assert box.till_url == "http://127.0.0.1:9/till"
    with pytest.raises(ValidationError):
        VirtualBoxOptions(pictures=portraits, till_url="javascript:alert(1)")


def test_a_real_box_loads_no_web_server_and_no_driver_library() -> None:
    heavy = "aiohttp", "evdev", "av", "picamera2", "serial"
    program = (
        f"import sys, hal.drivers, hal.virtual.options; print([name for name in {heavy!r} if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "[]"

"""The evdev keypad: what a pad sends becomes the box's keys, and a pulled cable is survived.

Most tests put a pipe in the place of the kernel's device; the last makes a real device by uinput, where there is one.
"""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import ValidationError

from hal.errors import DeviceGone
from hal.keypad import Key
from hal.keypad_evdev import EvdevKeypad, EvdevOptions
from hal.keypad_keys import CODES, MAPPING, NUMLOCK_OFF, is_keypad, keys_by_code

EVENT = struct.Struct("llHHi")
NUMERIC_PAD = {CODES[name] for name in CODES if name.startswith("KEY_KP")} | {
    CODES["KEY_NUMLOCK"],
    CODES["KEY_BACKSPACE"],
}
NUMERIC_PAD |= {CODES[name] for name in NUMLOCK_OFF}
KEYBOARD = set(CODES.values()) - {CODES[name] for name in CODES if name.startswith("KEY_NUMERIC")}
POWER_BUTTON = {116}


@dataclass
class Event:
    sec: int
    usec: int
    type: int
    code: int
    value: int


@dataclass
class Device:
    """An open input device whose kernel side is a pipe."""

    kernel: KernelSide
    fd: int
    name: str = "pad"

    def grab(self) -> None:
        if self.kernel.grabbed_by is not None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.kernel.grabbed_by = self

    def read(self) -> Iterator[Event]:
        data = os.read(self.fd, EVENT.size * 64)
        if not data:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        for sec, usec, kind, code, value in EVENT.iter_unpack(data):
            yield Event(sec, usec, kind, code, value)

    def close(self) -> None:
        if self.kernel.grabbed_by is self:
            self.kernel.grabbed_by = None
        os.close(self.fd)


@dataclass
class KernelSide:
    keys: set[int]
    writer: int = -1
    grabbed_by: Device | None = None

    def send(self, *events: tuple[int, int, int]) -> None:
        os.write(self.writer, b"".join(EVENT.pack(7, 0, *event) for event in events))

    def press(self, *names: str) -> None:
        for name in names:
            self.send((1, CODES[name], 1), (0, 0, 0), (1, CODES[name], 0), (0, 0, 0))


@dataclass
class Plugged:
    """The machine's input devices; the hardware's side of the tests."""

    devices: dict[str, KernelSide] = field(default_factory=dict)

    def plug(self, path: str, keys: set[int]) -> KernelSide:
        self.devices[path] = KernelSide(keys)
        return self.devices[path]

    def unplug(self, path: str) -> None:
        os.close(self.devices.pop(path).writer)

    def paths(self) -> list[str]:
        return sorted(self.devices)

    def open(self, path: str) -> Device:
        if path not in self.devices:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        reader, self.devices[path].writer = os.pipe()
        return Device(self.devices[path], reader)

    def keys_of(self, device: Device) -> set[int]:
        return device.kernel.keys


@pytest.fixture
def plugged() -> Plugged:
    return Plugged()


def keys(keypad: EvdevKeypad) -> list[Key]:
    found = []
    while (press := keypad.read(0.05)) is not None:
        found.append(press.key)
    return found


def test_a_numeric_pads_keys_are_the_boxs_keys(plugged: Plugged) -> None:
    pad = plugged.plug("/dev/input/event3", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    keypad.open()
    pad.press("KEY_KP1", "KEY_KP3", "KEY_KP9", "KEY_KP0", "KEY_KPDOT", "KEY_KPMINUS", "KEY_KPASTERISK", "KEY_KPENTER")
    assert keys(keypad) == [Key.D1, Key.D3, Key.D9, Key.D0, Key.DOT, Key.BACK, Key.CANCEL, Key.OK]


def test_a_pad_whose_numlock_is_off_types_the_same_digits(plugged: Plugged) -> None:
    pad = plugged.plug("/dev/input/event3", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    keypad.open()
    pad.press("KEY_NUMLOCK", "KEY_END", "KEY_DOWN", "KEY_PAGEDOWN", "KEY_LEFT", "KEY_CLEAR", "KEY_RIGHT", "KEY_HOME")
    pad.press("KEY_UP", "KEY_PAGEUP", "KEY_INSERT", "KEY_DELETE", "KEY_NUMLOCK")
    assert "".join(keys(keypad)) == "1234567890dot"


def test_on_a_full_keyboard_the_arrows_type_nothing(plugged: Plugged) -> None:
    keyboard = plugged.plug("/dev/input/event0", KEYBOARD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    keypad.open()
    keyboard.press("KEY_UP", "KEY_DELETE", "KEY_A", "KEY_5", "KEY_ESC", "KEY_BACKSPACE", "KEY_ENTER")
    assert keys(keypad) == [Key.D5, Key.CANCEL, Key.BACK, Key.OK]


def test_a_held_key_is_one_press(plugged: Plugged) -> None:
    pad = plugged.plug("/dev/input/event3", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    keypad.open()
    code = CODES["KEY_KP7"]
    pad.send((4, 4, 0x7005F), (1, code, 1), (0, 0, 0), *[(1, code, 2), (0, 0, 0)] * 20, (1, code, 0), (0, 0, 0))
    assert keys(keypad) == [Key.D7]


def test_a_pad_is_taken_before_a_keyboard_and_neither_before_a_power_button(plugged: Plugged) -> None:
    plugged.plug("/dev/input/event0", POWER_BUTTON)
    keyboard = plugged.plug("/dev/input/event1", KEYBOARD)
    pad = plugged.plug("/dev/input/event2", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    keypad.open()
    assert pad.grabbed_by is not None
    assert keyboard.grabbed_by is None


def test_a_path_names_its_device_whatever_else_is_there(plugged: Plugged) -> None:
    plugged.plug("/dev/input/event2", NUMERIC_PAD)
    keyboard = plugged.plug("/dev/input/by-id/usb-Acme-event-kbd", KEYBOARD)
    keypad = EvdevKeypad(EvdevOptions(path=Path("/dev/input/by-id/usb-Acme-event-kbd")), plugged)
    keypad.open()
    assert keyboard.grabbed_by is not None


def test_no_keypad_at_all_is_named(plugged: Plugged) -> None:
    plugged.plug("/dev/input/event0", POWER_BUTTON)
    with pytest.raises(DeviceGone, match="ten digits and an OK key"):
        EvdevKeypad(EvdevOptions(), plugged).open()
    with pytest.raises(DeviceGone, match="No such file"):
        EvdevKeypad(EvdevOptions(path=Path("/dev/input/event9")), plugged).open()


def test_a_pad_that_somebody_else_holds_is_not_shared(plugged: Plugged) -> None:
    plugged.plug("/dev/input/event2", NUMERIC_PAD)
    first, second = EvdevKeypad(EvdevOptions(), plugged), EvdevKeypad(EvdevOptions(), plugged)
    first.open()
    with pytest.raises(DeviceGone, match="cannot be taken alone"):
        second.open()


def test_an_unplugged_pad_is_gone_and_comes_back_when_plugged_in_again(plugged: Plugged) -> None:
    pad = plugged.plug("/dev/input/event3", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    keypad.open()
    pad.press("KEY_KP1")
    assert keys(keypad) == [Key.D1]
    plugged.unplug("/dev/input/event3")
    with pytest.raises(DeviceGone, match="unplugged"):
        keypad.read(1)
    with pytest.raises(DeviceGone):
        keypad.open()
    again = plugged.plug("/dev/input/event7", NUMERIC_PAD)
    keypad.open()
    again.press("KEY_KP2")
    assert keys(keypad) == [Key.D2]


def test_keys_that_arrived_before_the_cable_was_pulled_are_not_lost(plugged: Plugged) -> None:
    pad = plugged.plug("/dev/input/event3", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    keypad.open()
    pad.press("KEY_KP4", "KEY_KPENTER")
    plugged.unplug("/dev/input/event3")
    assert [press.key for _ in range(2) if (press := keypad.read(1))] == [Key.D4, Key.OK]
    with pytest.raises(DeviceGone):
        keypad.read(1)


def test_after_the_kernels_queue_ran_over_only_whole_reports_count(plugged: Plugged) -> None:
    pad = plugged.plug("/dev/input/event3", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    keypad.open()
    pad.send((0, 3, 0), (1, CODES["KEY_KP8"], 1), (0, 0, 0))
    pad.press("KEY_KP2")
    assert keys(keypad) == [Key.D2]


def test_nothing_within_the_deadline_is_none_and_a_closed_pad_says_so(plugged: Plugged) -> None:
    plugged.plug("/dev/input/event3", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(), plugged)
    with pytest.raises(DeviceGone, match="not opened"):
        keypad.read(0)
    keypad.open()
    started = time.monotonic()
    assert keypad.read(0.2) is None
    assert 0.15 < time.monotonic() - started < 10
    keypad.close()
    keypad.close()


def test_a_config_may_give_a_key_another_meaning_but_not_an_unknown_one(plugged: Plugged) -> None:
    pad = plugged.plug("/dev/input/event3", NUMERIC_PAD)
    keypad = EvdevKeypad(EvdevOptions(keys={"KEY_KPPLUS": Key.OK, "KEY_KPASTERISK": Key.MENU}), plugged)
    keypad.open()
    pad.press("KEY_KPPLUS", "KEY_KPASTERISK")
    assert keys(keypad) == [Key.OK, Key.MENU]
    with pytest.raises(ValidationError, match="no such input key: KEY_COFFEE"):
        EvdevOptions(keys={"KEY_COFFEE": Key.OK})


def test_every_key_of_the_box_is_on_a_plain_numeric_pad() -> None:
    mapping = keys_by_code({}, pad=True)
    assert {mapping[code] for code in NUMERIC_PAD if code in mapping} == set(Key)
    assert set(MAPPING) <= set(CODES)
    assert is_keypad(NUMERIC_PAD)
    assert is_keypad(KEYBOARD)
    assert not is_keypad(NUMERIC_PAD - {CODES["KEY_KP5"]})


def test_the_code_numbers_are_the_kernels() -> None:
    evdev = pytest.importorskip("evdev")
    assert {name: evdev.ecodes.ecodes[name] for name in CODES} == CODES


@pytest.mark.skipif(not os.access("/dev/uinput", os.W_OK), reason="no /dev/uinput here; the emulated box has one")
def test_a_real_input_device_is_found_grabbed_read_and_missed_when_gone() -> None:
    evdev = pytest.importorskip("evdev")
    pad = evdev.UInput({evdev.ecodes.EV_KEY: sorted(NUMERIC_PAD)}, name="test numeric pad")
    keypad = EvdevKeypad(EvdevOptions(path=Path(pad.device.path)))
    time.sleep(0.3)
    keypad.open()
    for name in ("KEY_KP6", "KEY_KPENTER"):
        pad.write(evdev.ecodes.EV_KEY, CODES[name], 1)
        pad.syn()
        pad.write(evdev.ecodes.EV_KEY, CODES[name], 0)
        pad.syn()
    presses = [keypad.read(20), keypad.read(20)]
    assert [press.key for press in presses if press] == [Key.D6, Key.OK]
    assert presses[0] is not None
    assert abs(time.monotonic() - presses[0].at_s) < 20
    pad.close()
    with pytest.raises(DeviceGone, match="unplugged"):
        keypad.read(20)

"""A keypad by the kernel's input layer (evdev): USB pads, matrix pads, keyboards."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import importlib
import select
import struct
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hal.errors import DeviceGone, DriverMissing
from hal.keypad import Key, KeyPress
from hal.keypad_keys import (
    CODES,
    EV_KEY,
    EV_SYN,
    PRESSED,
    SYN_DROPPED,
    SYN_REPORT,
    is_full_keyboard,
    is_keypad,
    keys_by_code,
)

EVIOCSCLOCKID = 0x400445A0  # linux/input.h: which clock stamps the events
LOST = {errno.ENODEV, errno.EIO, errno.EBADF}


class EvdevOptions(BaseModel):
    """An input device. Without `path` the first one with ten digits and an OK key is taken, a pad before a keyboard."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["evdev"] = "evdev"
    path: Path | None = Field(default=None, description="such as /dev/input/by-id/usb-…-event-kbd")
    keys: dict[str, Key] = Field(default={}, description="changes to the key map, such as KEY_KPPLUS = 'ok'")

    @field_validator("keys")
    @classmethod
    def _known(cls, keys: dict[str, Key]) -> dict[str, Key]:
        unknown = sorted(set(keys) - set(CODES))
        if unknown:
            raise ValueError(f"no such input key: {', '.join(unknown)}; known are {', '.join(CODES)}")
        return keys


class InputEvent(Protocol):
    """One event, as `evdev.InputEvent` has it."""

    sec: int
    usec: int
    type: int
    code: int
    value: int


class InputDevice(Protocol):
    """What this driver needs of `evdev.InputDevice`."""

    fd: int
    name: str

    def grab(self) -> None: ...
    def read(self) -> Iterable[InputEvent]: ...
    def close(self) -> None: ...


class Inputs(Protocol):
    """Where input devices come from: the kernel by way of python-evdev."""

    def paths(self) -> list[str]: ...
    def open(self, path: str) -> InputDevice: ...
    def keys_of(self, device: InputDevice) -> set[int]: ...


class KernelInputs:
    """The input devices of this machine. Raises DriverMissing where python-evdev is not installed."""

    def __init__(self) -> None:
        try:
            self._evdev: ModuleType = importlib.import_module("evdev")
        except ImportError as why:
            raise DriverMissing("evdev keypad", "python-evdev is not installed", "apt install python3-evdev") from why

    def paths(self) -> list[str]:
        found: list[str] = self._evdev.list_devices()
        return sorted(found, key=lambda path: (len(path), path))

    def open(self, path: str) -> InputDevice:
        device: InputDevice = self._evdev.InputDevice(path)
        return device

    def keys_of(self, device: InputDevice) -> set[int]:
        return set(device.capabilities().get(EV_KEY, []))  # type: ignore[attr-defined]


class EvdevKeypad:
    """Implements `hal.keypad.Keypad`. After DeviceGone, `open` finds the pad again once it is plugged in."""

    def __init__(self, options: EvdevOptions, inputs: Inputs | None = None) -> None:
        self.name = f"evdev keypad {options.path}" if options.path else "evdev keypad"
        self._options = options
        self._inputs = inputs
        self._keys: dict[int, Key] = {}
        self._device: InputDevice | None = None
        self._waiting: deque[KeyPress] = deque()
        self._dropping = False
        self._own_clock = False

    def open(self) -> None:
        """Takes the pad for us alone, so that no console reads the PIN too. Raises DeviceGone, DriverMissing."""
        if self._device is not None:
            return
        if self._inputs is None:
            self._inputs = KernelInputs()
        device = self._find(self._inputs)
        try:
            device.grab()
        except OSError as why:
            device.close()
            raise DeviceGone(self.name, f"it cannot be taken alone: {why.strerror}", "who else reads it?") from why
        try:
            pad = not is_full_keyboard(self._inputs.keys_of(device))
            self._own_clock = _stamp_monotonic(device.fd)
        except OSError as why:
            device.close()
            raise DeviceGone(
                self.name, f"it went away while it was opened: {why.strerror}", "is the plug loose?"
            ) from why
        self._keys = keys_by_code(self._options.keys, pad=pad)
        self._device = device
        self._waiting.clear()
        self._dropping = False

    def _find(self, inputs: Inputs) -> InputDevice:
        if self._options.path is not None:
            try:
                return inputs.open(str(self._options.path))
            except OSError as why:
                hint = "is it plugged in, and is the user in the group input?"
                raise DeviceGone(self.name, why.strerror or str(why), hint) from why
        keyboard: InputDevice | None = None
        for path in inputs.paths():
            try:
                device = inputs.open(path)
                keys = inputs.keys_of(device)
            except OSError:
                continue  # gone between the listing and now, or not ours to read
            if is_keypad(keys) and not is_full_keyboard(keys):
                if keyboard is not None:
                    keyboard.close()
                return device
            if is_keypad(keys) and keyboard is None:
                keyboard = device
            else:
                device.close()
        if keyboard is None:
            hint = "plug one in, or name its path; is the user in the group input?"
            raise DeviceGone(self.name, "no input device has ten digits and an OK key", hint)
        return keyboard

    def read(self, timeout_s: float) -> KeyPress | None:
        """The next press, or None. Raises DeviceGone when the pad was unplugged."""
        deadline = time.monotonic() + timeout_s
        while not self._waiting:
            device = self._device
            if device is None:
                raise DeviceGone(self.name, "it was not opened", "open it")
            left = deadline - time.monotonic()
            try:
                ready, _, _ = select.select([device.fd], [], [], max(left, 0))
                if ready:
                    self._take(device)
            except (OSError, ValueError) as why:
                if isinstance(why, OSError) and why.errno not in LOST:
                    raise DeviceGone(self.name, why.strerror or str(why)) from why
                self.close()
                raise DeviceGone(self.name, "it was unplugged", "plug it in again") from why
            if not self._waiting and time.monotonic() >= deadline:
                return None
        return self._waiting.popleft()

    def _take(self, device: InputDevice) -> None:
        for event in device.read():
            if (event.type, event.code) == (EV_SYN, SYN_DROPPED):
                self._dropping = True  # the kernel's queue ran over: what follows up to the report is torn
            elif (event.type, event.code) == (EV_SYN, SYN_REPORT):
                self._dropping = False
            elif event.type == EV_KEY and event.value == PRESSED and event.code in self._keys and not self._dropping:
                at_s = event.sec + event.usec / 1e6 if self._own_clock else time.monotonic()
                self._waiting.append(KeyPress(self._keys[event.code], at_s))

    def close(self) -> None:
        """Lets the pad go; closing ends the grab."""
        device, self._device = self._device, None
        if device is not None:
            with contextlib.suppress(OSError):
                device.close()


def _stamp_monotonic(fd: int) -> bool:
    """Have the kernel stamp events with the monotonic clock; False where it will not."""
    try:
        fcntl.ioctl(fd, EVIOCSCLOCKID, struct.pack("i", time.CLOCK_MONOTONIC))
    except OSError:
        return False
    return True

"""A USB scanner that plays a keyboard, by the kernel's input layer (evdev): taken alone, so that no console gets it."""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hal.errors import DeviceGone
from hal.keypad_evdev import InputDevice, Inputs, KernelInputs
from hal.keypad_keys import EV_KEY, EV_SYN, SYN_DROPPED
from hal.scanner import Scan
from hal.scanner_keys import Typist


class EvdevScannerOptions(BaseModel):
    """The scanner's input device. It must be named: to the kernel a scanner is a keyboard like any other."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["evdev"] = "evdev"
    path: Path = Field(description="such as /dev/input/by-id/usb-…-event-kbd")


class EvdevScanner:
    """Implements `hal.scanner.Scanner`. After DeviceGone, `open` finds it again once it is plugged in."""

    def __init__(self, options: EvdevScannerOptions, inputs: Inputs | None = None) -> None:
        self.name = f"evdev scanner {options.path}"
        self._path, self._inputs = options.path, inputs
        self._device: InputDevice | None = None
        self._typist = Typist()
        self._whole: deque[Scan] = deque()

    def open(self) -> None:
        """Raises DeviceGone, DriverMissing."""
        if self._device is not None:
            return
        if self._inputs is None:
            self._inputs = KernelInputs()
        try:
            device = self._inputs.open(str(self._path))
        except OSError as why:
            hint = "is it plugged in, and is the user in the group input?"
            raise DeviceGone(self.name, why.strerror or str(why), hint) from why
        try:
            device.grab()
        except OSError as why:
            device.close()
            raise DeviceGone(self.name, f"it cannot be taken alone: {why.strerror}", "who else reads it?") from why
        self._device, self._typist = device, Typist()
        self._whole.clear()

    def read(self, timeout_s: float) -> Scan | None:
        """The next code, or None. Raises DeviceGone when the scanner was unplugged."""
        deadline = time.monotonic() + timeout_s
        while not self._whole:
            device = self._device
            if device is None:
                raise DeviceGone(self.name, "it was not opened", "open it")
            try:
                ready, _, _ = select.select([device.fd], [], [], max(deadline - time.monotonic(), 0))
                if ready:
                    self._take(device)
            except (OSError, ValueError) as why:
                self.close()
                raise DeviceGone(self.name, "it was unplugged", "plug it in again") from why
            if not self._whole and time.monotonic() >= deadline:
                return None
        return self._whole.popleft()

    def _take(self, device: InputDevice) -> None:
        now = time.monotonic()
        for event in device.read():
            if (event.type, event.code) == (EV_SYN, SYN_DROPPED):
                self._typist.torn()
            elif event.type == EV_KEY and (text := self._typist.key(event.code, event.value, now)) is not None:
                self._whole.append(Scan(text, now))

    def close(self) -> None:
        """Lets the scanner go; closing ends the grab."""
        device, self._device = self._device, None
        if device is not None:
            with contextlib.suppress(OSError):
                device.close()

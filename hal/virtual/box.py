"""The virtual box itself: eight devices behind one page."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hal.errors import DeviceGone
from hal.virtual.camera import VirtualCamera
from hal.virtual.display import VirtualDisplay
from hal.virtual.gate import VirtualGate
from hal.virtual.keypad import VirtualKeypad
from hal.virtual.lamp_and_voice import VirtualLamp, VirtualVoice
from hal.virtual.messages import ChoosePicture, MakeFault, PressKey, ScanCode, parse
from hal.virtual.options import VirtualBoxOptions
from hal.virtual.printer import VirtualPrinter
from hal.virtual.scanner import VirtualScanner
from hal.virtual.server import PageServer

__all__ = ["VirtualBox", "VirtualBoxOptions"]

KEPT_LOG_LINES = 300


class VirtualBox:
    """Its eight devices, such as `camera`, implement the protocols of `hal`. A context manager, too."""

    def __init__(
        self,
        listen: tuple[str, int],
        pictures: Path,
        display_size: tuple[int, int] = (800, 480),
        till_url: str | None = None,
        frames_per_s: float = 15.0,
    ) -> None:
        self._server = PageServer(self, listen)
        self._host = listen[0]
        self._till_url = till_url
        self._lines: deque[dict[str, object]] = deque(maxlen=KEPT_LOG_LINES)
        self.camera = VirtualCamera(pictures, frames_per_s=frames_per_s, on_change=self._tell_camera)
        self.keypad = VirtualKeypad()
        self.display = VirtualDisplay(display_size, on_change=self._shown)
        self.lamp = VirtualLamp(self._server.publish)
        self.voice = VirtualVoice(self._server.publish)
        self.scanner = VirtualScanner()
        self.printer = VirtualPrinter(self._server.publish)
        self.gate = VirtualGate(self._server.publish)

    @classmethod
    def from_options(cls, options: VirtualBoxOptions, display_size: tuple[int, int] = (800, 480)) -> Self:
        """The box that a config describes."""
        return cls(
            (options.host, options.port), options.pictures, display_size, options.till_url, options.frames_per_s
        )  # fmt: skip

    def start(self) -> None:
        """Serve the page; returns when it listens. Raises DeviceGone when the port cannot be had."""
        self._server.start()

    def stop(self) -> None:
        """End the page. May be called twice."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *why: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Address of the page."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.port}/"

    @property
    def till_url(self) -> str | None:
        """The page beside the box; may be set while running, and pages that are open show it after a reload."""
        return self._till_url

    @till_url.setter
    def till_url(self, url: str | None) -> None:
        self._till_url = url
        self._server.publish({"till": {"url": url}})

    def log(self, line: dict[str, object]) -> None:
        """Add a line to the page's event log; like in any log, never a PIN, a phone number or a key."""
        message: dict[str, object] = {"log": {"at": time.time(), "line": line}}
        self._lines.append(message)
        self._server.publish(message)

    def state(self) -> list[dict[str, object]]:
        """Messages that bring a new page up to date."""
        width, height = self.display.size
        box: dict[str, object] = {"box": {"display": [width, height]}}
        printed = [self.printer.newest] if self.printer.newest is not None else []
        now: list[dict[str, object]] = [
            box,
            {"till": {"url": self._till_url}},
            self._camera_message(),
            self.lamp.message(),
            self.gate.message(),
        ]
        return [*now, *printed, *list(self._lines)]

    def hear(self, text: str) -> None:
        """A page's or script's message. Raises BadMessage, UnknownPicture, DeviceGone."""
        match parse(text):
            case PressKey(key):
                if not self.keypad.press(key):
                    # Which key it was stays unsaid: it may be part of a PIN.
                    raise DeviceGone("virtual keypad", "a key was not taken", "nobody reads the keypad now")
            case ScanCode(text):
                if not self.scanner.scan(text):
                    raise DeviceGone("virtual scanner", "the code was not taken", "nobody reads the scanner now")
            case ChoosePicture(name):
                self.camera.choose(name)
            case MakeFault("camera", state):
                self.camera.freeze(state == "frozen")
                self.camera.unplug(state == "unplugged")
            case MakeFault("keypad", state):
                self.keypad.unplug(state == "unplugged")
                self._tell_camera()
            case MakeFault("display", state):
                self.display.unplug(state == "unplugged")
                self._tell_camera()
            case MakeFault("scanner", state):
                self.scanner.unplug(state == "unplugged")
                self._tell_camera()
            case MakeFault("gate", state):
                self.gate.unplug(state == "unplugged")
                self._tell_camera()
            case MakeFault("printer", state):
                self.printer.make_fault(state)
                self._tell_camera()

    def pixels(self) -> NDArray[np.uint8]:
        """What is on the display, (H, W, 3) RGB, read-only."""
        return self.display.pixels()

    def preview(self, name: str | None) -> Image.Image:
        """A camera choice's picture, or what is before the camera now. Raises UnknownPicture."""
        return self.camera.preview(name)

    def _shown(self) -> None:
        """There are new pixels on the glass; the moment is told too, as a page has them only some ms later."""
        self._server.publish({"shown": {"at": time.time()}})
        self._server.display_changed()

    def _tell_camera(self) -> None:
        self._server.publish(self._camera_message())

    def _camera_message(self) -> dict[str, object]:
        choices = [{"name": c.name, "label": c.label, "kind": c.kind} for c in self.camera.choices()]
        devices = ("camera", "keypad", "display", "scanner", "printer", *(("gate",) if self.gate.there else ()))
        faults = {name: getattr(self, name).fault for name in devices}
        return {"camera": {"chosen": self.camera.chosen, "choices": choices}, "faults": faults}

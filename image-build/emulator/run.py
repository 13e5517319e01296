"""One test of one image: the emulated box, switched on and off, and what it leaves behind."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import rig
from counter import is_black
from fleet_town import wait_until
from machine import Machine
from qmp import EmulatorFault

BOOT_S = 420.0
SETTLE_S = 420.0
# The second where the first was lost: a busy journal drops lines on its way to the console.
READY, CONNECTED = "event=ready|event=faces_loaded", "event=connected"
SERVING, SERVING_S = "event=faces_loaded|event=condition_over name=faces_loading", 120.0
PICTURE = "grace_hopper"
GROW_MB = 128


@dataclass
class Run:
    """One test of one image; everything it leaves lies in `folder`."""

    image: Path
    folder: Path
    pictures: Path
    chance: random.Random
    preprovisioned: bool = False
    passed: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.disk = self.folder / "card.img"
        rig_socket = self.folder / "box" / "rig.sock"
        self.machine = Machine(self.folder / "box", self.disk, self.image / "u-boot.bin", rig.qemu_options(rig_socket))
        self._rig_socket = rig_socket
        self._rig: rig.Rig | None = None

    @property
    def rig(self) -> rig.Rig:
        if self._rig is None:
            self._rig = rig.Rig(self._rig_socket)
        return self._rig

    def boot(self, ready: str = "") -> float:
        """Power on until the box is ready and its link is up, tried twice. Seconds. Raises EmulatorFault."""
        for attempt in (1, 2):
            began_s = time.monotonic()
            since = self.machine.cursor()
            self._power_on()
            try:
                self.machine.wait(ready or READY, BOOT_S, since)
                if not ready:
                    self.machine.wait(CONNECTED, BOOT_S, since)
                    wait_until(self._something_drawn, BOOT_S, "something is on the display")
                took_s = time.monotonic() - began_s
                if not ready:
                    with suppress(EmulatorFault):  # both lines may be lost; whoever pays too early is told to wait
                        self.machine.wait(SERVING, SERVING_S, since)
                return took_s
            except EmulatorFault as fault:
                self.power_off()
                print(f"  the box did not come up (start {attempt}): {fault}", file=sys.stderr)
                print(self.machine.serial_log()[-6000:], file=sys.stderr)
                for line in self.machine.lines[-60:]:
                    print("  journal:", line.text, file=sys.stderr)
                if attempt == 2:
                    raise
        raise AssertionError("not reached")

    def _something_drawn(self) -> bool:
        return not is_black(self.machine.qmp.screenshot(self.folder / "box" / "now.png"))

    def _power_on(self) -> None:
        self._rig_socket.unlink(missing_ok=True)
        self.machine.start()

    def be_on(self) -> None:
        """Power on where it is off. Raises EmulatorFault."""
        if not self.machine.is_on:
            self.boot()

    def power_off(self) -> None:
        """The plug is pulled."""
        self.forget_rig()
        self.machine.kill()

    def forget_rig(self) -> None:
        """The box begins anew: its end of the port will be another program's."""
        if self._rig is not None:
            self._rig.close()
            self._rig = None

    def shoot(self, name: str, timeout_s: float = 60.0) -> Path:
        """The display once something stands there and has stopped changing. Raises EmulatorFault."""
        path, before, until_s = self.folder / "screens" / f"{name}.png", b"", time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            now = self.machine.qmp.screenshot(path).read_bytes()
            if now == before and not is_black(path):
                return path
            before = now
            time.sleep(1.0)
        raise EmulatorFault(f"the display did not come to rest, or stayed black: {path}")

    def tell(self, sentence: str, act: Callable[[], None]) -> None:
        """Runs one part of the test and prints it with its time. Raises EmulatorFault."""
        began_s = time.monotonic()
        print(f"          {sentence} ...", file=sys.stderr, flush=True)
        act()
        print(f"{time.monotonic() - began_s:7.1f} s  {sentence}", flush=True)
        self.passed.append(sentence)

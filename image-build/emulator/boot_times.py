"""How much longer the box takes to be ready than the same Debian takes to be up without us, start beside start.

    image-build/emulator/boot_times.py             three pairs, on a machine that does nothing else
    image-build/emulator/boot_times.py --pairs 1   when there is little time

The same card boots twice in turn: once as it is (until the idle screen is drawn and the broker reached), once with all
of our units masked on the kernel's command line and the data partition mounted as Debian does it (until systemd has
reached multi-user.target). Both from power on, boot loader included. Run it with the development environment's Python.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import card
from counter import is_black
from fleet_town import FleetTown, wait_until
from machine import Machine
from preprovision import preprovision

HERE = Path(__file__).resolve().parent
BAR = 1.5
PATIENCE_S = 600.0
# The second where the first was lost: a busy journal drops lines on its way to the console.
UP = "Reached target multi-user|Startup finished in"
READY = "event=ready|event=screen view=Idle"
OURS = (
    "kingfisher.service", "kingfisher-key.service", "kingfisher-first-boot.service", "kingfisher-good.service",
    "kingfisher-reboot.path", "kingfisher-rig.service", "serial-getty@ttyAMA0.service",
)  # fmt: skip


def main() -> int:
    state = Path(os.environ.get("KINGFISHER_STATE", ".kingfisher")).resolve()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--image", type=Path, default=state / "image/qemu", help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that broker, gateway and machine end with it
    with tempfile.TemporaryDirectory(prefix="kf-boot-", dir=options.image.parent) as folder:
        pairs = measure(options.image, Path(folder), state / "pictures", options.pairs)
    median = statistics.median(ours.took_s / theirs.took_s for ours, theirs in pairs)
    work = statistics.median(ours.processor_s / theirs.processor_s for ours, theirs in pairs)
    print(f"median of the ratios {median:.2f}, aimed at {BAR}; of the processor time {work:.2f}")
    if options.json:
        found = {"pairs": [[asdict(start) for start in pair] for pair in pairs], "ratio": round(median, 3)}
        options.json.write_text(json.dumps(found | {"processor_ratio": round(work, 3)}) + "\n")
    return 0 if median <= BAR else 1


@dataclass(frozen=True)
class Start:
    """From power on: by the clock, and what the emulator worked for it on both cores. In seconds."""

    took_s: float
    processor_s: float

    def __str__(self) -> str:
        return f"{self.took_s:.1f} s ({self.processor_s:.1f} s of work)"


def measure(image: Path, folder: Path, pictures: Path, count: int) -> list[tuple[Start, Start]]:
    """(ours, without us) of each pair."""
    with_us, without = folder / "with-us.img", folder / "without.img"
    pairs = []
    with FleetTown(folder / "town") as town:
        card.copy(image / "disk.img", with_us)
        preprovision(town, with_us, pictures, "grace_hopper")
        card.copy(with_us, without)
        mask(without, image, folder)
        for disk in (with_us, without):
            _start(folder, disk, image)  # the first start of a card makes what the later ones find
        for number in range(count):
            ours, theirs = _start(folder, with_us, image), _start(folder, without, image)
            pairs.append((ours, theirs))
            load, *_ = os.getloadavg()
            said = f"pair {number + 1}: {ours} to ready, {theirs} to multi-user without us"
            print(f"{said}; load {load:.1f}", flush=True)
    return pairs


def mask(disk: Path, image: Path, folder: Path) -> None:
    """The same card, none of whose units of ours will start: only the kernel's command line differs."""
    words = " ".join(["kingfisher.data=late", *(f"systemd.mask={unit}" for unit in OURS)])
    script = (image / "boot.cmd").read_text().replace("${board_args}", f"{words} ${{board_args}}")
    (folder / "boot.cmd").write_text(script)
    subprocess.run(
        ["mkimage", "-A", "arm64", "-O", "linux", "-T", "script", "-C", "none", "-d", folder / "boot.cmd",
         folder / "boot.scr"], check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    offset, _ = card.partition(disk, "boot")
    subprocess.run(["mcopy", "-o", "-i", f"{disk}@@{offset}", folder / "boot.scr", "::boot.scr"], check=True)


def _start(folder: Path, disk: Path, image: Path) -> Start:
    with Machine(folder / disk.stem, disk, image / "u-boot.bin") as machine:
        began_s = time.monotonic()
        machine.start()
        if disk.stem == "without":
            machine.wait(UP, PATIENCE_S)
            took = Start(round(time.monotonic() - began_s, 1), round(machine.processor_s(), 1))
            time.sleep(5)
        else:
            for event in (READY, "event=connected"):
                machine.wait(event, PATIENCE_S)
            shot = folder / "now.png"
            wait_until(lambda: not is_black(machine.qmp.screenshot(shot)), PATIENCE_S, "something is on the display")
            took = Start(round(time.monotonic() - began_s, 1), round(machine.processor_s(), 1))
            time.sleep(20)  # it marks its slot good
        return took


if __name__ == "__main__":
    sys.exit(main())

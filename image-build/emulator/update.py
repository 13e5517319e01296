"""An update in the emulated box: installed into the other slot, booted, marked good; one that does not come up is left.

The bundles come on a stick (a second disk). One is signed by a stranger, and refused; one is signed as it should be and
its root holds nothing that could start.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from fleet_town import FleetTown
from preprovision import preprovision
from qmp import EmulatorFault
from run import BOOT_S, PICTURE, READY, Run

INSTALL_S = 900.0
TRIES = 3
PADDING_BYTES = 64 * 1024  # RAUC takes no bundle that is smaller than one page


def update(run: Run, town: FleetTown) -> None:
    """Raises EmulatorFault."""
    stick = run.folder / "stick.img"
    with_bundles(run.image, stick)
    run.machine.options = (
        "-drive", f"if=none,id=stick,format=raw,readonly=on,file={stick}", "-device", "virtio-blk-pci,drive=stick",
    )  # fmt: skip

    def begins() -> None:
        preprovision(town, run.disk, run.pictures, PICTURE)
        since = run.machine.cursor()
        run.boot()
        run.machine.wait("event=trial_passed", BOOT_S, since)
        _is_in(run, "A")

    def refuses() -> None:
        said = run.rig.ask("install-forged", INSTALL_S)
        if not re.search("refused: .*signature", said):
            raise EmulatorFault(f"a stranger's signature should be refused: {said}")
        _is_in(run, "A")

    def installs() -> None:
        _install(run, "update")
        since = run.machine.cursor()
        _begin_anew(run)
        run.machine.wait(READY, BOOT_S, since)
        run.machine.wait("marked slot.* as good|event=trial_passed", BOOT_S, since)
        _is_in(run, "B")

    def falls_back() -> None:
        _install(run, "broken")
        heard, since = len(run.machine.serial_log()), run.machine.cursor()
        _begin_anew(run)
        run.machine.wait(READY, BOOT_S, since)
        tried = run.machine.serial_log()[heard:].count("kingfisher: slot A")
        if tried != TRIES:
            raise EmulatorFault(f"the slot that does not come up was tried {tried} times, not {TRIES}")
        _is_in(run, "B")

    run.tell("the box runs from slot A, and is known to work", begins)
    run.tell("a bundle with a stranger's signature is refused, and nothing is changed", refuses)
    run.tell("a signed update is installed into B; the box comes up from there and marks it good", installs)
    run.tell("an update that does not come up is left after its tries; the box is back in B", falls_back)
    run.power_off()


def with_bundles(image: Path, stick: Path) -> None:
    """A stick with update.raucb, broken.raucb and forged.raucb. Raises EmulatorFault."""
    if not (image / "update.raucb").exists():
        raise EmulatorFault(f"no update.raucb in {image}: image-build/build --board qemu --bundle")
    with tempfile.TemporaryDirectory(dir=stick.parent) as folder:
        files = Path(folder) / "files"
        content, nothing = Path(folder) / "content", Path(folder) / "nothing"
        for path in (files, content, nothing):
            path.mkdir()
        shutil.copy(image / "update.raucb", files)
        (nothing / "padding").write_bytes(os.urandom(PADDING_BYTES))
        _run("mksquashfs", nothing, content / "root.squashfs", "-quiet", "-no-progress")
        manifest = f"[update]\ncompatible=kingfisher-{image.name}\nversion=broken\n[bundle]\nformat=verity\n"
        (content / "manifest.raucm").write_text(f"{manifest}[image.rootfs]\nfilename=root.squashfs\n")
        stranger = Path(folder)
        _run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-keyout", stranger / "ca.key", "-out", stranger / "ca.pem", "-subj", "/CN=a stranger")  # fmt: skip
        for name, ca in (("broken", image / "update-ca"), ("forged", stranger)):
            signer = f"--cert={ca / 'ca.pem'}", f"--key={ca / 'ca.key'}"
            _run("rauc", "bundle", *signer, content, files / f"{name}.raucb")
        with stick.open("wb") as file:
            file.truncate((image / "update.raucb").stat().st_size + 32 * 1024 * 1024)
        _run("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", files, stick)


def _install(run: Run, name: str) -> None:
    """Raises EmulatorFault."""
    said = run.rig.ask(f"install-{name}", INSTALL_S)
    if said != "installed":
        raise EmulatorFault(f"{name}.raucb was not installed: {said}")


def _begin_anew(run: Run) -> None:
    """An orderly reboot, asked of the box."""
    since = run.machine.qmp.count("RESET")
    run.rig.ask("reboot")
    run.forget_rig()
    if not run.machine.qmp.wait_event("RESET", since, 300):
        raise EmulatorFault("the box did not reboot")


def _is_in(run: Run, slot: str) -> None:
    said = run.rig.ask("slot")
    if f"RAUC_SYSTEM_BOOTED_BOOTNAME='{slot}'" not in said and f"RAUC_SYSTEM_BOOTED_BOOTNAME={slot}" not in said:
        raise EmulatorFault(f"the box should run from slot {slot}: {said}")


def _run(*command: str | Path) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise EmulatorFault(f"{command[0]}: {(done.stderr or done.stdout).strip()[-500:]}")

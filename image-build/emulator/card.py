"""The card of an emulated box, seen from outside: files put on its data partition, and files taken from it."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from qmp import EmulatorFault

SECTOR = 512


def partition(disk: Path, name: str) -> tuple[int, int]:
    """Offset and size in bytes of a GPT partition. Raises EmulatorFault."""
    with disk.open("rb") as file:
        file.seek(SECTOR)
        header = file.read(92)
        if header[:8] != b"EFI PART":
            raise EmulatorFault(f"{disk} has no GPT")
        first, count, size = struct.unpack_from("<QII", header, 72)
        file.seek(first * SECTOR)
        for _ in range(count):
            entry = file.read(size)
            start, end = struct.unpack_from("<QQ", entry, 32)
            if start and entry[56:128].decode("utf-16-le").rstrip("\0") == name:
                return start * SECTOR, (end - start + 1) * SECTOR
    raise EmulatorFault(f"{disk} has no partition {name}")


def copy(image: Path, disk: Path, grow_mb: int = 0) -> None:
    """A card of its own, from the image; `grow_mb` makes it larger than the image, as real cards are."""
    disk.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "--sparse=always", image, disk], check=True)
    with disk.open("r+b") as file:
        file.truncate(image.stat().st_size + grow_mb * 1024 * 1024)


def fill_data(disk: Path, tree: Path) -> None:
    """Makes the data partition anew with the files of `tree` (owners and modes included)."""
    offset, size = partition(disk, "data")
    with tempfile.TemporaryDirectory(dir=disk.parent) as folder:
        fresh = Path(folder) / "data.ext4"
        with fresh.open("wb") as file:
            file.truncate(size)
        lazy_nothing = "lazy_itable_init=0,lazy_journal_init=0"
        _run("mke2fs", "-q", "-t", "ext4", "-b", "4096", "-L", "data", "-E", lazy_nothing, "-d", str(tree), str(fresh))
        _run("dd", f"if={fresh}", f"of={disk}", "bs=1M", f"seek={offset}", "oflag=seek_bytes", "conv=notrunc,sparse")


def ruin(disk: Path, name: str, chance: random.Random) -> None:
    """Noise all over a partition: nothing of it can be mended."""
    offset, size = partition(disk, name)
    with disk.open("r+b") as file:
        file.seek(offset)
        for _ in range(size // (1024 * 1024)):
            file.write(chance.randbytes(1024 * 1024))


def read_data(disk: Path, folder_inside: str, into: Path) -> Path:
    """A copy of a folder of the data partition, as the next start of the box would find it: its journal is replayed
    on a copy, the card itself stays as it is. Raises EmulatorFault.
    """
    offset, size = partition(disk, "data")
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    copied = into / "data.ext4"
    _run("dd", f"if={disk}", f"of={copied}", "bs=1M", f"skip={offset}", f"count={size}",
         "iflag=skip_bytes,count_bytes", "conv=sparse")  # fmt: skip
    checked = subprocess.run(["e2fsck", "-fy", str(copied)], capture_output=True, text=True)
    if checked.returncode > 2:
        raise EmulatorFault(f"the data partition can't be mended: {checked.stdout[-500:]}")
    _run("debugfs", "-R", f"rdump {folder_inside} {into}", str(copied))
    copied.unlink()
    return into / Path(folder_inside).name


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise EmulatorFault(f"{command[0]}: {done.stderr.strip()[-500:]}")

"""The initrd: busybox, a few modules and sixty lines of script. It finds the root and hands over; it has no prompt."""

from __future__ import annotations

import lzma
import zlib
from pathlib import Path

from steps import BuildFailed

# Whatever stands between the boot loader and a mounted root, on every board that is built.
WANTED = (
    "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_console",
    "mmc_block", "sdhci-iproc", "bcm2835", "gpio-regulator", "fixed", "gpio-raspberrypi-exp", "clk-raspberrypi",
    "raspberrypi-hwmon", "bcm2835-mailbox", "reset-raspberrypi", "bcm2835-power",
    "squashfs", "ext4", "crc32c_generic", "libcrc32c",
    "mc",  # no root needs it, but the daemon waits for it (kingfisher.service), and here it costs least
)  # fmt: skip


def build(modules: Path, busybox: Path, script: Path, into: Path) -> None:
    """`into/initrd.gz`. `modules` is /lib/modules/VERSION with its modules.dep."""
    archive = _Archive()
    for folder in ("bin", "dev", "proc", "sys", "run", "root", "data", "modules"):
        archive.folder(folder)
    archive.device("dev/console", 5, 1)
    archive.device("dev/null", 1, 3)
    archive.file("bin/busybox", busybox.read_bytes(), 0o755)
    archive.file("init", script.read_bytes(), 0o755)
    order = in_order(modules, WANTED)
    for position, path in enumerate(order):
        archive.file(f"modules/{position:02}-{Path(path).name.removesuffix('.xz')}", _module(modules / path), 0o644)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    (into / "initrd.gz").write_bytes(packer.compress(archive.end()) + packer.flush())
    (into / "modules.txt").write_text("\n".join(order) + "\n")


def in_order(modules: Path, wanted: tuple[str, ...]) -> list[str]:
    """Paths of the modules and of all they need, each after what it needs. Names the kernel has built in, or has
    not at all, are left out.
    """
    needs: dict[str, list[str]] = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {_name(path): path for path in needs}
    order: list[str] = []

    def add(path: str) -> None:
        for need in needs[path]:
            if need not in order:
                add(need)
        if path not in order:
            order.append(path)

    for name in wanted:
        found = by_name.get(name.replace("-", "_"))
        if found is not None:
            add(found)
    return order


def _name(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def _module(path: Path) -> bytes:
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == ".xz" else data


class _Archive:
    """A cpio archive (newc), the same bytes for the same input: no times, no owners, inodes in order."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._inode = 0

    def folder(self, name: str) -> None:
        self._entry(name, 0o040755, b"")

    def file(self, name: str, data: bytes, mode: int) -> None:
        self._entry(name, 0o100000 | mode, data)

    def device(self, name: str, major: int, minor: int) -> None:
        self._entry(name, 0o020600, b"", major, minor)

    def end(self) -> bytes:
        self._entry("TRAILER!!!", 0, b"")
        return bytes(self._out)

    def _entry(self, name: str, mode: int, data: bytes, major: int = 0, minor: int = 0) -> None:
        if len(data) >= 1 << 32:
            raise BuildFailed("the initrd", f"{name} is too large")
        self._inode += 1
        encoded = name.encode() + b"\0"
        numbers = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(encoded), 0)
        self._out += b"070701" + b"".join(b"%08x" % number for number in numbers) + encoded
        self._out += b"\0" * (-len(self._out) % 4) + data
        self._out += b"\0" * (-len(self._out) % 4)

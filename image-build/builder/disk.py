"""The boot partition's files and the whole card, by genimage: no loop mounts."""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import kernel
import uboot
from steps import run

# genimage has no setting for ext4's features: metadata checksums and no lazy work left for the first boot.
MKE2FS = """[defaults]
	base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
	default_mntopts = acl,user_xattr
	blocksize = 4096
	inode_size = 256
	inode_ratio = 16384
	lazy_itable_init = 0
	lazy_journal_init = 0
[fs_types]
	ext4 = {
		features = has_journal,extent,huge_file,flex_bg,metadata_csum,64bit,dir_nlink,extra_isize
	}
"""


@dataclass(frozen=True)
class Board:
    """One `boards/NAME/board.toml`."""

    name: str
    folder: Path
    machine: str
    uboot: str
    firmware: list[str]
    device_trees: list[str]
    partition_table: str
    boot: dict[str, str]
    uboot_environment: dict[str, str]

    @classmethod
    def load(cls, folder: Path) -> Board:
        return cls(name=folder.name, folder=folder, **tomllib.loads((folder / "board.toml").read_text()))


def boot_files(board: Board, packages: Path, initrd: Path, boot_cmd: Path, into: Path) -> None:
    """`into/boot/`: what the FAT partition holds; `into/u-boot.bin`: for an emulator, which loads it itself."""
    boot = into / "boot"
    boot.mkdir()
    loader = uboot.close((packages / board.uboot).read_bytes(), board.uboot_environment)
    (into / "u-boot.bin").write_bytes(loader)
    linux = packages / "linux"
    for slot in ("A", "B"):
        (boot / slot).mkdir()
        shutil.copy(kernel.image(linux), boot / slot / "Image")
        shutil.copy(initrd, boot / slot / "initrd.gz")
    settings = "".join(f'setenv {name} "{value}"\n' for name, value in board.boot.items())
    script = into / "boot.cmd"
    script.write_text(settings + boot_cmd.read_text())
    uboot.compile_script(script, boot / "boot.scr")
    uboot.counters(boot / "kingfisher.env")
    if board.firmware:
        shutil.copy(into / "u-boot.bin", boot)
        shutil.copy(board.folder / "config.txt", boot)
        for name in board.firmware:
            shutil.copy(packages / "raspi-firmware/usr/lib/raspi-firmware" / name, boot)
    for tree in board.device_trees:
        shutil.copy(kernel.device_trees(linux) / tree, boot)


def card(board: Board, config: Path, boot: Path, squashfs: Path, into: Path) -> None:
    """`into/disk.img`, sparse."""
    with tempfile.TemporaryDirectory(dir=into) as folder:
        work = Path(folder)
        for name in ("root/boot", "root/data", "input", "tmp"):
            (work / name).mkdir(parents=True)
        run("cp", "-a", f"{boot}/.", work / "root/boot")
        os.link(squashfs, work / "input/root.squashfs")
        (work / "mke2fs.conf").write_text(MKE2FS)
        text = config.read_text()
        for name, value in {
            "TABLE": board.partition_table, "CONF": str(work / "mke2fs.conf"),
            "DOS_TYPE": "partition-type = 0x0c" if board.partition_table == "hybrid" else "",
        }.items():  # fmt: skip
            text = text.replace(f"@{name}@", value)
        (work / "genimage.cfg").write_text(text)
        run(
            "genimage", "--config", work / "genimage.cfg", "--rootpath", work / "root", "--inputpath", work / "input",
            "--outputpath", work / "out", "--tmppath", work / "tmp/genimage",
        )  # fmt: skip
        run("cp", "--sparse=always", work / "out/disk.img", into / "disk.img")

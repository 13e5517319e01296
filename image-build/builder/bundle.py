"""An update as RAUC wants it: the root, the kernel and initrd that belong to it, signed as one file."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from steps import run

MANIFEST = """[update]
compatible=kingfisher-{board}
version={version}

[bundle]
format=verity

[hooks]
filename=hook

[image.rootfs]
filename=root.squashfs
hooks=post-install
"""


@dataclass(frozen=True)
class Signer:
    """PEM files; the box's keyring must lead to `certificate`."""

    certificate: Path
    key: Path
    keyring: Path


def make(
    *, board: str, version: str, squashfs: Path, kernel: Path, initrd: Path, hook: Path, signer: Signer, into: Path
) -> None:
    """`into`: the bundle, signed, and its signature checked against the keyring. Raises BuildFailed."""
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        content = Path(folder)
        os.link(squashfs, content / "root.squashfs")
        shutil.copy(kernel, content / "Image")
        shutil.copy(initrd, content / "initrd.gz")
        shutil.copy(hook, content / "hook")
        (content / "manifest.raucm").write_text(MANIFEST.format(board=board, version=version))
        into.unlink(missing_ok=True)
        run(
            "rauc", "bundle", f"--cert={signer.certificate}", f"--key={signer.key}", f"--keyring={signer.keyring}",
            "--mksquashfs-args=-comp zstd -Xcompression-level 3", content, into,
        )  # fmt: skip
    run("rauc", "info", f"--keyring={signer.keyring}", into)

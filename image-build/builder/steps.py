"""One step of the build: made once for the same inputs, kept by content, told with its time."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

KEPT_OF_A_STEP = 3


class BuildFailed(Exception):
    """`hint` says what to do."""

    def __init__(self, what: str, why: str, hint: str = "") -> None:
        self.what, self.why, self.hint = what, why, hint
        super().__init__(f"{what}: {why}" + (f"\n{hint}" if hint else ""))


class Steps:
    """Results lie in `cache/NAME-KEY/`; a half-made one never gets that name."""

    def __init__(self, cache: Path, tell: Callable[[str], None] | None = None) -> None:
        self.cache = cache
        self._tell = tell or _to_stderr
        self.took_s: dict[str, float] = {}
        cache.mkdir(parents=True, exist_ok=True)
        self._lock = (cache / "lock").open("w")
        self._alone()

    def _alone(self) -> None:
        """One build at a time works in a cache, until its process ends; what a killed one left half-made goes."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._tell(f"  another build works in {self.cache}: waiting for it")
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        for part in self.cache.glob("*.part"):
            shutil.rmtree(part, ignore_errors=True)

    def make(self, name: str, inputs: Mapping[str, object], build: Callable[[Path], None]) -> Path:
        """The folder that `build` filled, from the cache where these inputs were built before.

        Raises:
            BuildFailed: as `build` does; nothing is kept then.
        """
        key = digest_of_inputs(inputs)
        done = self.cache / f"{name}-{key}"
        began_s = time.monotonic()
        if done.is_dir():
            os.utime(done)
            self._say(name, 0.0, "cached")
            return done
        self._tell(f"  {name:10} ...")
        part = self.cache / f"{name}-{key}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            build(part)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        part.rename(done)
        self._prune(name)
        self._say(name, time.monotonic() - began_s, "made")
        return done

    def _say(self, name: str, took_s: float, how: str) -> None:
        self.took_s[name] = took_s
        self._tell(f"  {name:10} {took_s:7.1f} s  {how}")

    def _prune(self, name: str) -> None:
        """Keeps the newest few results of a step."""
        mine = [p for p in self.cache.iterdir() if p.name.rpartition("-")[0] == name and p.suffix != ".part"]
        for old in sorted(mine, key=lambda p: p.stat().st_mtime)[:-KEPT_OF_A_STEP]:
            shutil.rmtree(old, ignore_errors=True)


def run(*command: str | Path, quiet: bool = True, cwd: Path | None = None, input: str | None = None) -> str:
    """Runs a program; its standard output. Raises BuildFailed with the end of what it said."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=quiet, text=True, check=False, cwd=cwd, input=input)
    except FileNotFoundError as missing:
        raise BuildFailed(words[0], "is not installed", needs_hint()) from missing
    if done.returncode != 0:
        said = ((done.stdout or "") + (done.stderr or "")).strip()[-3000:]
        raise BuildFailed(" ".join(words[:6]), f"exit status {done.returncode}\n{said}")
    return str(done.stdout or "")


HOST_PACKAGES = (
    "mmdebstrap", "qemu-user-static", "binfmt-support", "arch-test", "genimage", "mtools", "dosfstools", "e2fsprogs",
    "squashfs-tools", "u-boot-tools", "kmod", "systemd", "xz-utils", "zstd",
)  # fmt: skip


def needs_hint() -> str:
    return f"On Debian: apt-get install --no-install-recommends {' '.join(HOST_PACKAGES)}"


def digest_of_inputs(inputs: Mapping[str, object]) -> str:
    """Sixteen hexadecimal digits that name a step's result."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]


def digest_of(paths: Iterable[Path]) -> str:
    """One hash over the names, modes and contents of files and of all files in folders."""
    total = hashlib.sha256()
    for path in paths:
        files = sorted(p for p in path.rglob("*") if "__pycache__" not in p.parts) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path) if path.is_dir() else file.name
            if file.is_symlink():
                total.update(f"{name}\0->{file.readlink()}\0".encode())
            elif file.is_file():
                total.update(f"{name}\0{file.stat().st_mode & 0o111:o}\0".encode() + file.read_bytes())
    return total.hexdigest()


def have(programs: Sequence[str]) -> None:
    """Raises BuildFailed with everything that is missing at once."""
    missing = [p for p in programs if shutil.which(p) is None]
    if missing:
        raise BuildFailed("this machine", f"lacks {', '.join(missing)}", needs_hint())


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

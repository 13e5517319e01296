"""Is each model file the one the manifest declares? Nothing is believed before this says so."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pipeline.errors import ModelRefused
from pipeline.models.manifest import Manifest, ModelFile, Role

PULL_AGAIN = "fetch it again: kingfisher models pull"


class FileState(StrEnum):
    GOOD = "good"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file of the set. `found` is its SHA-256, or why there is none; `bytes_found` is 0 for a missing file."""

    role: Role
    file: str
    state: FileState
    expected: str
    found: str
    bytes_expected: int
    bytes_found: int


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(folder: Path, manifest: Manifest) -> tuple[FileReport, ...]:
    """Look at every file of the set; raises nothing, reports all."""
    return tuple(_look_at(folder / model.file, model) for model in manifest.models)


def read_verified(folder: Path, manifest: Manifest) -> dict[Role, bytes]:
    """The bytes of every model, hashed as they were read: what is checked is what is loaded.

    Raises ModelRefused naming every file that is missing or wrong.
    """
    contents: dict[Role, bytes] = {}
    bad: list[tuple[str, str, str]] = []
    for model in manifest.models:
        try:
            content = (folder / model.file).read_bytes()
        except OSError as error:
            bad.append((model.file, model.sha256, error.strerror or str(error)))
            continue
        found = hashlib.sha256(content).hexdigest()
        if found != model.sha256:
            bad.append((model.file, model.sha256, describe(found, len(content), model.bytes)))
        contents[model.role] = content
    if bad:
        raise ModelRefused(tuple(bad), f"in {folder}; {PULL_AGAIN}")
    return contents


def describe(found: str, size: int, expected_size: int) -> str:
    """What was found instead, for a sentence that starts with what was expected."""
    if size < expected_size:
        return f"{found} (cut off: {size} of {expected_size} bytes)"
    return f"{found} ({size} bytes)"


def _look_at(path: Path, model: ModelFile) -> FileReport:
    def report(state: FileState, found: str, size: int) -> FileReport:
        return FileReport(model.role, model.file, state, model.sha256, found, model.bytes, size)

    try:
        size = path.stat().st_size
        found = sha256_of(path)
    except FileNotFoundError:
        return report(FileState.MISSING, "no such file", 0)
    except OSError as error:
        return report(FileState.MISSING, error.strerror or str(error), 0)
    return report(FileState.GOOD if found == model.sha256 else FileState.WRONG, found, size)

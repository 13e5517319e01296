"""Files of a pinned commit over HTTP(S), or from a folder that somebody brought; both believed by their hash alone."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from pipeline.errors import PullFailed
from pipeline.models.durable import write_durably
from pipeline.models.manifest import ModelFile, WebSource
from pipeline.models.minifasnet import minifasnet_onnx
from pipeline.models.sface import sface_onnx
from pipeline.models.verify import describe

Refused = tuple[str, str, str]  # file, expected SHA-256, what was found
CHUNK = 1 << 16
CONVERTERS = {"minifasnet": minifasnet_onnx, "sface": sface_onnx}


def fetch_web(
    folder: Path, source: WebSource, files: Sequence[ModelFile], tell: Callable[[int, int, str], None], timeout_s: float
) -> list[Refused]:
    """Fetch and put in place what is as declared; the others are returned. Raises PullFailed when out of reach."""
    bad: list[Refused] = []
    for model in files:
        name = PurePosixPath(model.path).name
        content = _get(
            source.address + model.path, model.fetched[1], partial(_relay, tell, f"fetching {name}"), timeout_s
        )
        refused = put_in_place(folder, model, content)
        if refused:
            bad.append(refused)
    return bad


def take_from(offered: Path, folder: Path, files: Sequence[ModelFile]) -> list[ModelFile]:
    """Put in place what the offered folder holds as declared, finished or as upstream publishes it; returns the rest.

    A file of the right name and the wrong content is passed over: it may be found elsewhere. Raises PullFailed when
    there is no such folder.
    """
    if not offered.is_dir():
        raise PullFailed(str(offered), "no such folder", "name the folder that holds the model files")
    return [model for model in files if not _taken(offered, folder, model)]


def put_in_place(folder: Path, model: ModelFile, content: bytes) -> Refused | None:
    """Check what was fetched, make the model of it where it is not one yet, check that, keep it."""
    expected, size = model.fetched
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        return PurePosixPath(model.path).name, expected, describe(found, len(content), size)
    if model.made_from:
        content = CONVERTERS[model.made_from.converter](content, model.file)
        made = hashlib.sha256(content).hexdigest()
        if made != model.sha256:
            return model.file, model.sha256, describe(made, len(content), model.bytes)
    write_durably(folder / model.file, content)
    return None


def _relay(tell: Callable[[int, int, str], None], label: str, done: int, total: int) -> None:
    tell(done, total, label)


def _taken(offered: Path, folder: Path, model: ModelFile) -> bool:
    for name in (model.file, PurePosixPath(model.path).name):
        try:
            content = (offered / name).read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest() == model.sha256:
            write_durably(folder / model.file, content)
            return True
        if put_in_place(folder, model, content) is None:
            return True
    return False


def _get(url: str, size: int, tell: Callable[[int, int], None], timeout_s: float) -> bytes:
    """The body, no more than one byte above `size`: what is longer is wrong anyway."""
    parts, done = [], 0
    try:
        with urllib.request.urlopen(url, timeout=timeout_s) as answer:
            while done <= size and (part := answer.read(min(CHUNK, size + 1 - done))):
                parts.append(part)
                done += len(part)
                tell(min(done, size), size)
    except urllib.error.HTTPError as error:
        raise PullFailed(url, f"HTTP {error.code} {error.reason}", "or bring the file: --from FOLDER") from error
    except (OSError, http.client.HTTPException) as error:
        raise PullFailed(url, f"can't be reached: {error}", "or bring the file: --from FOLDER") from error
    return b"".join(parts)

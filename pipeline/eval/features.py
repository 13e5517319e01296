"""What the engine says of each picture, remembered by the picture's bytes and the models that looked at it.

The memory holds embeddings: biometric data of whoever is in the pictures. It lies in a folder of mode 0700 that the
caller names, and is safe to delete.
"""

from __future__ import annotations

import hashlib
import io
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.engine import Face, FaceEngine
from pipeline.errors import EvaluationRefused, FrameRefused
from pipeline.models.manifest import Role
from pipeline.picture import Picture, Pixels

FACE_ROLES: tuple[Role, ...] = ("detect", "landmarks", "embedding")
# What a feature depends on besides the models: a change in any of these files makes the remembered ones stale.
SOURCES = (
    "alignment",
    "boxes",
    "detectors",
    "engine",
    "liveness",
    "picture",
    "runtime",
    "screen_edge",
    "eval/features",
)

TABLE = "CREATE TABLE IF NOT EXISTS seen (asked TEXT, picture TEXT, row BLOB, PRIMARY KEY (asked, picture))"
KNOWN = "SELECT row FROM seen WHERE asked = ? AND picture = ?"

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Faces:
    """vectors: (N, 512) L2-normalised, a row of NaN where no face was found."""

    images: tuple[str, ...]
    vectors: NDArray[np.float32]

    @property
    def failed(self) -> list[str]:
        return [name for name, good in zip(self.images, self.found.tolist(), strict=True) if not good]

    @property
    def found(self) -> NDArray[np.bool_]:
        """(N,): whether there is a face."""
        return np.asarray(np.isfinite(self.vectors).all(axis=1))


class Memory:
    """Rows of float32 by (what was asked, picture). `folder` None remembers nothing."""

    def __init__(self, folder: Path | None) -> None:
        """Raises EvaluationRefused when the folder can't be used."""
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(folder / "features.db" if folder else ":memory:")
            self._db.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise EvaluationRefused(str(folder), f"can't remember there: {error}", "try another --cache") from error

    def close(self) -> None:
        self._db.commit()
        self._db.close()

    def look(
        self,
        asked: str,
        folder: Path,
        images: Sequence[str],
        see: Callable[[Pixels], NDArray[np.float32]],
        tell: Tell,
        label: str,
    ) -> NDArray[np.float32]:
        """(N, D): what `see` says of each picture, asked only for those not remembered. Raises EvaluationRefused."""
        rows = []
        for number, name in enumerate(images):
            content = _bytes(folder / name)
            picture = hashlib.sha256(content).hexdigest()
            known = self._db.execute(KNOWN, (asked, picture)).fetchone()
            if known:
                row = np.frombuffer(known[0], np.float32)
            else:
                row = see(_decode(content, name)).astype(np.float32)
                self._db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (asked, picture, row.tobytes()))
                if number % 100 == 99:
                    self._db.commit()
            rows.append(row)
            tell(number + 1, len(images), label)
        self._db.commit()
        return np.array(rows, np.float32)


def embed_all(engine: FaceEngine, memory: Memory, folder: Path, images: Sequence[str], tell: Tell) -> Faces:
    """The embedding of the most central face of each picture."""

    def see(pixels: Pixels) -> NDArray[np.float32]:
        face = central_face(engine, pixels)
        if face is None:
            return np.full(512, np.nan, np.float32)
        return engine.embed(engine.look(pixels, face))

    asked = question("face", engine, FACE_ROLES)
    return Faces(tuple(images), memory.look(asked, folder, images, see, tell, "looking at faces"))


def central_face(engine: FaceEngine, pixels: Pixels) -> Face | None:
    """The subject of a portrait stands in the middle; others may stand beside."""
    try:
        picture = Picture.of(pixels)
    except FrameRefused:
        return None  # too small or too large to hold a face that could be judged: a failure to acquire
    x, y = picture.width / 2, picture.height / 2
    return min(
        engine.detect(picture),
        key=lambda f: abs((f.box[0] + f.box[2]) / 2 - x) + abs((f.box[1] + f.box[3]) / 2 - y),
        default=None,
    )


def question(what: str, engine: FaceEngine, roles: Sequence[Role] | None = None) -> str:
    """Names what is asked: kind, the models' hashes (all, where no roles are named), the code between both."""
    digest = hashlib.sha256(what.encode())
    for role in engine.models if roles is None else roles:
        digest.update(engine.manifest.model(role).sha256.encode())
    for name in SOURCES:
        path = Path(__file__).parents[1] / f"{name}.py"
        if path.exists():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EvaluationRefused(str(path), error.strerror or str(error)) from error


def _decode(content: bytes, name: str) -> Pixels:
    try:
        with closing(Image.open(io.BytesIO(content))) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise EvaluationRefused(name, f"no picture: {error}", "remove it, or take it out of the list") from error

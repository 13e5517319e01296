"""What the engine says of each picture, and what that depends on.

The memory holds embeddings: biometric data of whoever is in the pictures. It lies in a folder of mode 0700 that the
caller names, and is safe to delete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.engine import Face, FaceEngine
from pipeline.errors import FrameRefused
from pipeline.eval.memory import Memory, Tell
from pipeline.models.manifest import Role
from pipeline.picture import Picture, Pixels

FACE_ROLES: tuple[Role, ...] = ("detect", "landmarks", "embedding")
# What a feature depends on besides the models: a change in any of these files makes the remembered ones stale.
SOURCES = (
    *("alignment", "boxes", "detectors", "engine", "moire", "picture", "runtime", "sampling", "screen_edge"),
    *("models/rewrite", "models/whole_blocks", "eval/features"),
)


@dataclass(frozen=True, slots=True)
class Faces:
    """vectors: (N, D) L2-normalised, a row of NaN where no face was found."""

    images: tuple[str, ...]
    vectors: NDArray[np.float32]

    @property
    def failed(self) -> list[str]:
        return [name for name, good in zip(self.images, self.found.tolist(), strict=True) if not good]

    @property
    def found(self) -> NDArray[np.bool_]:
        """(N,): whether there is a face."""
        return np.asarray(np.isfinite(self.vectors).all(axis=1))


def embed_all(engine: FaceEngine, memory: Memory, folder: Path, images: Sequence[str], tell: Tell) -> Faces:
    """The embedding of the most central face of each picture."""

    def see(pixels: Pixels) -> NDArray[np.float32]:
        face = central_face(engine, pixels)
        if face is None:
            return np.full(engine.models["embedding"].first_output.size, np.nan, np.float32)
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

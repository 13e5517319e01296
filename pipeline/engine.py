"""The models, loaded once: where the faces are, what one looks like, whether it lives, who it could be."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.alignment import SIDE, TEMPLATE, Points, back_to_frame, five_points, similarity
from pipeline.boxes import area, grown, square, suppress
from pipeline.detectors import rfb_boxes, yunet_boxes
from pipeline.liveness import Liveness
from pipeline.match import Embedding
from pipeline.models.manifest import LIVENESS_ROLES, Manifest, ModelFile, Role, load_manifest
from pipeline.models.sight import rectangle, whole
from pipeline.models.verify import read_verified
from pipeline.moire import moire
from pipeline.picture import Box, Picture, Pixels
from pipeline.quality import Quality, measure
from pipeline.runtime import BoundModel
from pipeline.sampling import Crop, Overview, Whole
from pipeline.screen_edge import screen_edge

OVERLAP = 0.4  # two boxes that overlap more (IoU) are one face
EDGE_SIZE = (320, 240)  # the frame, stretched to this, in which the sides of a screen are looked for


@dataclass(frozen=True, slots=True)
class Face:
    """box: pixels of the frame, may reach over its edge; score: the detector's, 0..1."""

    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class FaceView:
    """A face looked at closely: landmarks (68, 2) in pixels, the aligned crop (112, 112, 3) RGB, its quality."""

    face: Face
    landmarks: Points
    aligned: Pixels
    quality: Quality


@dataclass(frozen=True, slots=True)
class FaceAnalysis:
    """embedding: (512,) float32, L2-normalised, or NaN where the model gave no vector."""

    face: Face
    landmarks: Points
    quality: Quality
    liveness: Liveness
    embedding: Embedding
    timings_ms: Mapping[str, float]


class Stopwatch:
    """Milliseconds by stage, summed over the frames it is used for."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    def stage(self, name: str) -> Stage:
        """What runs within it is counted to this stage, however it ends."""
        return Stage(self.ms, name)

    def total(self) -> dict[str, float]:
        """The stages and their sum, "total"."""
        return {**self.ms, "total": sum(self.ms.values())}


class Stage:
    """Adds the time between entering and leaving."""

    __slots__ = ("_ms", "_name", "_start")

    def __init__(self, ms: dict[str, float], name: str) -> None:
        self._ms, self._name, self._start = ms, name, 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self._ms[self._name] = self._ms.get(self._name, 0.0) + (time.perf_counter() - self._start) * 1e3


class FaceEngine:
    """Not thread-safe: one thread looks at faces. Each step can be called alone; sessions call only what they need."""

    def __init__(self, models: Mapping[Role, BoundModel], manifest: Manifest) -> None:
        self.manifest = manifest
        self.models = models
        self.model_hash = manifest.model("embedding").sha256
        self.liveness_roles = tuple(role for role in LIVENESS_ROLES if role in models)
        self._overview = Overview(models["detect"])
        self._crops = {role: Crop(models[role]) for role in ("landmarks", *self.liveness_roles)}
        self._aligned = Whole(models["embedding"])

    @classmethod
    def load(cls, folder: Path, manifest: Manifest | None = None, *, threads: int = 1) -> FaceEngine:
        """Load a models folder; `threads` are those inside one model. Raises ModelRefused naming every wrong file."""
        manifest = manifest or load_manifest()
        contents = read_verified(folder, manifest)
        return cls(
            {role: _bound(content, manifest.model(role), threads) for role, content in contents.items()}, manifest
        )

    def detect(self, image: Pixels | Picture) -> list[Face]:
        """All faces, the largest first. Raises FrameRefused."""
        picture = Picture.of(image)
        model = self.models["detect"]
        _, _, height, width = model.declared.input_shape
        if model.declared.decoder == "yunet":
            scale = min(width / picture.width, height / picture.height)
            columns, rows = (max(1, round(side * scale)) for side in (picture.width, picture.height))
            self._overview.fill(picture, min(columns, width), min(rows, height))
            model.run()
            boxes, scores = yunet_boxes(model.outputs, width, scale)
        else:
            self._overview.fill(picture, width, height)
            model.run()
            boxes, scores = rfb_boxes(model.outputs, picture.width, picture.height)
        if not scores.size:
            return []
        faces = []
        for index in suppress(boxes, scores, OVERLAP):
            x0, y0, x1, y1 = (float(edge) for edge in boxes[index])
            faces.append(Face((x0, y0, x1, y1), float(scores[index])))
        return sorted(faces, key=lambda face: -area(face.box))

    def look(self, image: Pixels | Picture, face: Face) -> FaceView:
        """Landmarks, alignment and quality of one face. Raises FrameRefused."""
        picture = Picture.of(image)
        return self.view(picture, face, self.landmarks(picture, face))

    def view(self, picture: Picture, face: Face, landmarks: Points) -> FaceView:
        """Alignment and quality of a face whose landmarks are known."""
        aligned = picture.warp(back_to_frame(similarity(five_points(landmarks), TEMPLATE)), SIDE)
        return FaceView(face, landmarks, aligned, measure(picture, face.box, face.score, landmarks, aligned))

    def screen_edge(self, image: Pixels | Picture, face: Face) -> float:
        """How surely the face lies inside something held up, 0..1: needs no model. Raises FrameRefused."""
        picture = Picture.of(image)
        width, height = EDGE_SIZE
        across, down = width / picture.width, height / picture.height
        x0, y0, x1, y1 = face.box
        box = (x0 * across, y0 * down, x1 * across, y1 * down)
        return screen_edge(self._overview.gray(picture, width, height), box, across / down)

    def moire(self, image: Pixels | Picture, face: Face) -> float:
        """How surely the face carries the pattern of a print or a screen, 0..1: needs no model. Raises FrameRefused."""
        return moire(Picture.of(image).pixels, face.box)

    def live(self, image: Pixels | Picture, face: Face) -> float:
        """The probability that this is a live face, 0..1: the mean over the set's liveness models. Raises FrameRefused.

        0 where any of them gives no number.
        """
        parts = self.live_parts(image, face)
        return sum(parts.values()) / len(parts)

    def live_parts(self, image: Pixels | Picture, face: Face) -> dict[Role, float]:
        """What each liveness model of the set says, 0..1; all 0 where one gives no number. Raises FrameRefused."""
        picture = Picture.of(image)
        parts: dict[Role, float] = {}
        for role in self.liveness_roles:
            model = self.models[role]
            sees = model.declared.sees
            box = square(face.box, picture.width, picture.height) if sees.square else face.box
            self._crops[role].fill(picture.pixels, *grown(box, sees.scale, picture.width, picture.height))
            logits = model.run()[0].tolist()
            highest = max(logits)
            weights = [math.exp(logit - highest) for logit in logits]
            parts[role] = weights[sees.live_class] / sum(weights)
        return parts if all(live == live for live in parts.values()) else dict.fromkeys(parts, 0.0)

    def embed(self, view: FaceView) -> Embedding:
        """(512,) float32, L2-normalised; all NaN where the model gave nothing that has a direction."""
        model = self.models["embedding"]
        self._aligned.fill(view.aligned)
        raw = model.run()[0]
        length = float(np.sqrt(np.dot(raw, raw)))
        if not 1e-6 < length < float("inf"):
            return np.full(raw.shape, np.nan, np.float32)
        unit: Embedding = raw / np.float32(length)
        return unit

    def analyse(self, image: Pixels | Picture, face: Face) -> FaceAnalysis:
        """Every step on one face, whatever its quality. Raises FrameRefused."""
        picture, watch = Picture.of(image), Stopwatch()
        with watch.stage("look"):
            view = self.look(picture, face)
        with watch.stage("liveness"):
            liveness = Liveness(self.live(picture, face), self.screen_edge(picture, face), self.moire(picture, face))
        with watch.stage("embed"):
            embedding = self.embed(view)
        return FaceAnalysis(face, view.landmarks, view.quality, liveness, embedding, watch.total())

    def landmarks(self, picture: Picture, face: Face) -> Points:
        """The 68 points of a face, (68, 2) in pixels of the frame."""
        # Upstream truncates the box to whole pixels and puts the points back with the same truncated box.
        x, y, width, height = grown(square(face.box, picture.width, picture.height), 1.0, picture.width, picture.height)
        self._crops["landmarks"].fill(picture.pixels, x, y, width, height)
        points: Points = self.models["landmarks"].run()[0].reshape(68, 2) * np.array([width, height], np.float32)
        points += np.array([x, y], np.float32)
        return points


def _bound(content: bytes, declared: ModelFile, threads: int) -> BoundModel:
    """The model with what it does to the frame in one graph; the detector's picture is made outside."""
    if declared.role == "detect":
        return BoundModel(content, declared, threads=threads)
    sight = whole(declared) if declared.role == "embedding" else rectangle(declared)
    return BoundModel(content, declared, threads=threads, sight=sight)

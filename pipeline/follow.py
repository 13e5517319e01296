"""Between two detections: where the landmarks went, there the face is. Unsure is an answer, and means: detect.

The face box of the last frame, looked at in the new one, gives new landmarks; they move the box. It is still the same
face where its aligned crop looks as before and its landmarks have kept their shape. In videos of one person no frame
correlates below 0.95 with the one before; two different people above 0.85 are one pair in a thousand.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.alignment import similarity
from pipeline.engine import Face, FaceEngine, FaceView
from pipeline.picture import Picture, Pixels
from pipeline.thresholds import TrackThresholds

BLOCK = 4  # pixels of the crop that become one of the look
BORDER = 8  # pixels of the crop that are no face
SCALE = 1.25  # a face that grew or shrank more between two frames is looked for


@dataclass(frozen=True, slots=True)
class Look:
    """How a face looked: the aligned crop made small, without its brightness and contrast; unit length."""

    values: NDArray[np.float32]

    def likeness(self, other: Look) -> float:
        """Correlation, -1..1."""
        return float(np.dot(self.values, other.values))


def look_of(aligned: Pixels) -> Look:
    """aligned: (112, 112, 3) RGB. A crop of one colour looks like nothing, not even like itself."""
    part = aligned[BORDER:-BORDER, BORDER:-BORDER, 1]
    side = len(part) // BLOCK
    small = part.reshape(side, BLOCK, side, BLOCK).mean(axis=(1, 3), dtype=np.float32).ravel()
    small -= small.mean()
    length = float(np.sqrt(np.dot(small, small)))
    return Look(small / np.float32(length) if length > 1e-3 else np.zeros_like(small))


def follow(
    engine: FaceEngine, picture: Picture, before: FaceView, seen: Look, limits: TrackThresholds
) -> tuple[FaceView, Look] | None:
    """The face of the last frame in this one, and how it looks now; None where that is not certain."""
    landmarks = engine.landmarks(picture, before.face)
    way = similarity(before.landmarks.astype(np.float64), landmarks.astype(np.float64))
    scale = math.hypot(way[0, 0], way[1, 0])
    left_over = before.landmarks @ way[:, :2].T + way[:, 2] - landmarks
    spread = float(np.sqrt(np.square(left_over).sum(axis=1).mean()))
    height = before.face.box[3] - before.face.box[1]
    if not (1 / SCALE <= scale <= SCALE and spread <= limits.same_shape * height):
        return None
    view = engine.view(picture, _moved(before.face, way, scale), landmarks)
    look = look_of(view.aligned)
    return (view, look) if look.likeness(seen) >= limits.same_look else None


def _moved(face: Face, way: NDArray[np.float64], scale: float) -> Face:
    """The box keeps upright: its centre goes where the landmarks went, its sides grow as they did."""
    x0, y0, x1, y1 = face.box
    x, y = (way[:, :2] @ ((x0 + x1) / 2, (y0 + y1) / 2) + way[:, 2]).tolist()
    half_width, half_height = (x1 - x0) / 2 * scale, (y1 - y0) / 2 * scale
    return Face((x - half_width, y - half_height, x + half_width, y + half_height), face.score)

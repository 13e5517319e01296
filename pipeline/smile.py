"""Does this face smile? Geometry of the mouth's corners over the 68 landmarks; a label, and nothing else, comes out.

A smile draws the corners apart and up (AU12, lip corner puller: Ekman and Friesen, Facial Action Coding System). What
is measured is relative to the eyes' line and distance, so that size, place and roll of the face do not matter. It is no
judgement of a mood, it is not measured on a labelled set, and a mouth that smiles at rest, a head held low or a beard
deceive it; a photograph does too. Good enough for a coupon, and for nothing that anybody could lose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.alignment import Points
from pipeline.decision import Guidance, Hint
from pipeline.engine import FaceEngine
from pipeline.errors import SessionFinished
from pipeline.picture import Picture, Pixels

WIDE = 0.64  # of the distance between the eyes' outer corners
LIFTED = 0.08  # of the mouth's own width
FRAMES = 3  # in a row
STRAIGHT_DEG = 25.0  # yaw or pitch beyond this moves the corners more than a smile does


@dataclass(frozen=True, slots=True)
class Mouth:
    """`width`: between the corners, over that between the eyes' outer corners. `lift`: how far the corners stand above
    the middle of the lips, over the mouth's width; below nought they hang. NaN where the landmarks are no face."""

    width: float
    lift: float

    @property
    def smiles(self) -> bool:
        return self.width >= WIDE and self.lift >= LIFTED


@dataclass(frozen=True, slots=True)
class Smiled:
    """The face before the camera has smiled for `FRAMES` frames in a row."""


def mouth_of(landmarks: Points) -> Mouth:
    """landmarks: (68, 2) in pixels, iBUG order. Pure."""
    p = landmarks.tolist()
    (ax, ay), (bx, by) = p[36], p[45]
    eyes, mouth = math.dist(p[36], p[45]), math.dist(p[48], p[54])
    if not (eyes > 0 and mouth > 0):
        return Mouth(math.nan, math.nan)
    down = (-(by - ay) / eyes, (bx - ax) / eyes)
    middle = ((p[62][0] + p[66][0]) / 2, (p[62][1] + p[66][1]) / 2)
    corners = ((p[48][0] + p[54][0]) / 2, (p[48][1] + p[54][1]) / 2)
    lift = (middle[0] - corners[0]) * down[0] + (middle[1] - corners[1]) * down[1]
    return Mouth(mouth / eyes, lift / mouth)


class SmileSession:
    """Looks for a smile on the largest face. It embeds nothing, compares nobody and keeps no picture."""

    def __init__(self, engine: FaceEngine) -> None:
        self._engine = engine
        self._frames = 0
        self._finished = False

    def observe(self, image: Pixels, sequence: int, now_s: float) -> Guidance | Smiled:
        """Looks at one frame. Raises FrameRefused, and SessionFinished after a smile."""
        if self._finished:
            raise SessionFinished
        picture = Picture.of(image)
        faces = self._engine.detect(picture)
        if not faces:
            self._frames = 0
            return Guidance(Hint.NO_FACE)
        view = self._engine.look(picture, faces[0])
        pose = view.quality.pose
        if not (abs(pose.yaw) <= STRAIGHT_DEG and abs(pose.pitch) <= STRAIGHT_DEG):
            self._frames = 0
            return Guidance(Hint.LOOK_AT_CAMERA)
        self._frames = self._frames + 1 if mouth_of(view.landmarks).smiles else 0
        if self._frames < FRAMES:
            return Guidance(Hint.HOLD_STILL if self._frames else Hint.SMILE)
        self._finished = True
        return Smiled()

"""Is this view of a face good enough to judge, and if not, what should the payer do?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pipeline.alignment import Points
from pipeline.decision import Hint
from pipeline.picture import Box, Picture, Pixels
from pipeline.thresholds import QualityThresholds

# A generic head in millimetres, x to the viewer's right, y down, z away from the camera:
# nose tip, chin, outer eye corners, mouth corners (the customary six points of head pose estimation).
_HEAD = np.array(
    [[0, 0, 0], [0, 66, 13], [-45, -34, 27], [45, -34, 27], [-30, 30, 25], [30, 30, 25]],
    np.float64,
)
_HEAD_POINTS = [30, 8, 36, 45, 48, 54]
_SOLVE = np.linalg.pinv(_HEAD - _HEAD.mean(axis=0))


@dataclass(frozen=True, slots=True)
class Pose:
    """Degrees, 0 straight on; yaw > 0: the nose points to the picture's right, pitch > 0: down, roll > 0: clockwise."""

    yaw: float
    pitch: float
    roll: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What the gate looks at.

    height: of the frame's height; pixels: the face's height; margin: to the frame's nearest edge, in parts of its side,
    negative outside; luma: 0..255; sharpness: 0..1000, a good face has 5 to 50; detector_score: 0..1.
    """

    height: float
    pixels: float
    margin: float
    luma: float
    sharpness: float
    pose: Pose
    detector_score: float

    @property
    def frontal(self) -> float:
        """1 for a face straight on, 0 from 45 degrees on: orders the frames of one track."""
        turned = math.hypot(self.pose.yaw, self.pose.pitch, self.pose.roll / 2)
        return max(0.0, 1.0 - turned / 45.0)

    @property
    def score(self) -> float:
        """0..1, only for choosing the better of two frames that both passed the gate."""
        return self.frontal * self.detector_score * min(1.0, self.pixels / 160.0)


def measure(picture: Picture, box: Box, detector_score: float, landmarks: Points, aligned: Pixels) -> Quality:
    """aligned: (112, 112, 3) RGB, the crop that the embedding sees."""
    luma = aligned[:, :, 1].astype(np.float32)  # green carries most of the luma and costs nothing
    face = luma[16:104, 16:96]
    height = box[3] - box[1]
    return Quality(
        height=height / picture.height,
        pixels=height,
        margin=_margin(box, picture),
        luma=float(face.mean()),
        sharpness=_sharpness(face),
        pose=pose_of(landmarks),
        detector_score=detector_score,
    )


def advise(quality: Quality, limits: QualityThresholds) -> Hint | None:
    """What keeps this view from being judged, the most basic fault first; None when it is good."""
    pose = quality.pose
    checks = (
        (quality.height > limits.face_height_max, Hint.MOVE_BACK),
        (quality.margin < limits.margin, Hint.CENTRE),
        (quality.height < limits.face_height_min or quality.pixels < limits.face_pixels_min, Hint.COME_CLOSER),
        (quality.detector_score < limits.detector_score, Hint.LOOK_AT_CAMERA),
        (quality.luma < limits.dark, Hint.TOO_DARK),
        (quality.luma > limits.bright, Hint.TOO_BRIGHT),
        (
            not (
                abs(pose.yaw) <= limits.yaw_deg
                and abs(pose.pitch) <= limits.pitch_deg
                and abs(pose.roll) <= limits.roll_deg
            ),
            Hint.LOOK_AT_CAMERA,
        ),
        (not quality.sharpness >= limits.sharpness, Hint.BLURRED),
    )
    return next((hint for failed, hint in checks if failed), None)


def pose_of(landmarks: Points) -> Pose:
    """Head pose by fitting a generic head under scaled orthography: a few degrees off, enough for a gate."""
    seen = landmarks[_HEAD_POINTS].astype(np.float64)
    axes = _SOLVE @ (seen - seen.mean(axis=0))  # (3, 2): scaled first two rows of the rotation, as columns
    right, down = axes[:, 0], axes[:, 1]
    lengths = float(np.linalg.norm(right)), float(np.linalg.norm(down))
    if not min(lengths) > 0:
        return Pose(math.nan, math.nan, math.nan)
    right, down = right / lengths[0], down / lengths[1]
    away = np.cross(right, down)
    return Pose(
        yaw=math.degrees(math.atan2(-right[2], math.hypot(right[0], right[1]))),
        pitch=math.degrees(math.atan2(-float(down[2]), float(away[2]))),
        roll=math.degrees(math.atan2(float(down[0]), float(down[1]))),
    )


def _margin(box: Box, picture: Picture) -> float:
    across, down = picture.width, picture.height
    return min(box[0] / across, box[1] / down, 1 - box[2] / across, 1 - box[3] / down)


def _sharpness(luma: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """Laplacian energy, per mille of what white noise of the same contrast has: falls with blur, not with light."""
    laplacian = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    contrast = float(luma.var())
    return 1000.0 * float(np.square(laplacian).mean()) / (20.0 * contrast) if contrast > 1.0 else 0.0

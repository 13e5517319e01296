"""Is this view of a face good enough to judge, and if not, what should the payer do?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
Luma = NDArray[np.float32]
# Both eyes and the mouth in the aligned crop: rows, columns.
_FEATURES = (
    (slice(44, 59), slice(26, 50)),
    (slice(44, 59), slice(62, 86)),
    (slice(82, 101), slice(38, 74)),
)
_HEAD_POINTS = [30, 8, 36, 45, 48, 54]
# (3, 6): what of each point goes into the scaled first two rows of the rotation
_SOLVE: list[list[float]] = np.linalg.pinv(_HEAD - _HEAD.mean(axis=0)).tolist()


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
    negative outside; luma: 0..255; sharpness: 0..1000, a good face has 5 to 50; detector_score: 0..1; features: how
    much structure the poorest of eyes and mouth has, 1 is the whole face's mean; eyes: how far they are open, height
    over width, mean of both: to compare a face with itself only, as people's eyes differ.
    """

    height: float
    pixels: float
    margin: float
    luma: float
    sharpness: float
    pose: Pose
    detector_score: float
    features: float = 1.0
    eyes: float = 0.3

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
        features=_features(luma),
        eyes=eyes_open(landmarks),
    )


def advise(quality: Quality, limits: QualityThresholds, *, turning: bool = False) -> Hint | None:
    """What keeps this view from being judged, the most basic fault first; None when it is good.

    `turning`: the payer was asked to turn the head or to blink, so pose and what comes of it are no faults.
    """
    pose = quality.pose
    checks: tuple[tuple[bool, Hint], ...] = (
        (quality.height > limits.face_height_max, Hint.MOVE_BACK),
        (quality.margin < limits.margin, Hint.CENTRE),
        (quality.height < limits.face_height_min or quality.pixels < limits.face_pixels_min, Hint.COME_CLOSER),
        (quality.detector_score < limits.detector_score, Hint.LOOK_AT_CAMERA),
        (quality.luma < limits.dark, Hint.TOO_DARK),
        (quality.luma > limits.bright, Hint.TOO_BRIGHT),
    )
    if turning:
        return next((hint for failed, hint in checks if failed), None)
    checks += (
        (
            not (
                abs(pose.yaw) <= limits.yaw_deg
                and abs(pose.pitch) <= limits.pitch_deg
                and abs(pose.roll) <= limits.roll_deg
            ),
            Hint.LOOK_AT_CAMERA,
        ),
        (not quality.features >= limits.features, Hint.UNCOVER_FACE),
        (not quality.sharpness >= limits.sharpness, Hint.BLURRED),
    )
    return next((hint for failed, hint in checks if failed), None)


def pose_of(landmarks: Points) -> Pose:
    """Head pose by fitting a generic head under scaled orthography: a few degrees off, enough for a gate."""
    seen = landmarks[_HEAD_POINTS].tolist()
    # _SOLVE's rows sum to nothing, so the points need no centring; plain numbers, as so few cost numpy more to call.
    right = [sum(w * x for w, (x, _) in zip(row, seen, strict=True)) for row in _SOLVE]
    down = [sum(w * y for w, (_, y) in zip(row, seen, strict=True)) for row in _SOLVE]
    lengths = math.hypot(*right), math.hypot(*down)
    if not min(lengths) > 0:
        return Pose(math.nan, math.nan, math.nan)
    right, down = [v / lengths[0] for v in right], [v / lengths[1] for v in down]
    away = right[0] * down[1] - right[1] * down[0]
    return Pose(
        yaw=math.degrees(math.atan2(-right[2], math.hypot(right[0], right[1]))),
        pitch=math.degrees(math.atan2(-down[2], away)),
        roll=math.degrees(math.atan2(down[0], down[1])),
    )


def eyes_open(landmarks: Points) -> float:
    """Height over width of the opening between the lids, mean of both eyes (Soukupova and Cech 2016)."""
    p = landmarks[36:48].tolist()
    ratios = [
        (math.dist(p[o + 1], p[o + 5]) + math.dist(p[o + 2], p[o + 4])) / max(2 * math.dist(p[o], p[o + 3]), 1e-6)
        for o in (0, 6)
    ]
    return sum(ratios) / 2


def _features(luma: Luma) -> float:
    """Change from row to row at the poorest of both eyes and the mouth, over that of the whole face.

    luma: the aligned crop. What covers them, a mask, dark glasses, a hand, is smoother than they are.
    """
    change = np.abs(luma[1:] - luma[:-1])
    whole = float(change[16:103, 16:96].mean())
    return min(float(change[rows, columns].mean()) for rows, columns in _FEATURES) / whole if whole > 0 else 0.0


def _margin(box: Box, picture: Picture) -> float:
    across, down = picture.width, picture.height
    return min(box[0] / across, box[1] / down, 1 - box[2] / across, 1 - box[3] / down)


def _sharpness(luma: Luma) -> float:
    """Laplacian energy, per mille of what white noise of the same contrast has: falls with blur, not with light."""
    laplacian = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    contrast = _mean_square(luma - luma.mean())
    return 1000.0 * _mean_square(laplacian) / (20.0 * contrast) if contrast > 1.0 else 0.0


def _mean_square(values: Luma) -> float:
    flat = values.ravel()
    return float(np.dot(flat, flat)) / flat.size

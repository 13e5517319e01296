"""What a detector's outputs mean: boxes in pixels of the frame and their scores. Pure numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

DETECTED = 0.65  # a detector score from here on is a face
STRIDES = (8, 16, 32)


def rfb_boxes(outputs: Mapping[str, Floats], width: int, height: int) -> tuple[Floats, Floats]:
    """RFB-320, which saw the frame stretched: boxes (N, 4) as corners in the frame's pixels, scores (N,)."""
    scores = outputs["scores"][0, :, 1]
    candidates = np.flatnonzero(scores > DETECTED)
    boxes = outputs["boxes"][0, candidates] * np.array([width, height] * 2, np.float32)
    return boxes, scores[candidates]


def yunet_boxes(outputs: Mapping[str, Floats], columns: int, scale: float) -> tuple[Floats, Floats]:
    """YuNet, whose input has so many columns and showed the frame `scale` times as large; as `rfb_boxes`."""
    boxes, scores = [], []
    for stride in STRIDES:
        score = np.sqrt(outputs[f"cls_{stride}"][0, :, 0] * outputs[f"obj_{stride}"][0, :, 0])
        candidates = np.flatnonzero(score > DETECTED)
        if not candidates.size:
            continue
        across = columns // stride
        cell = np.stack([candidates % across, candidates // across], axis=1)
        shape = outputs[f"bbox_{stride}"][0, candidates]
        centre = (cell + shape[:, :2]) * stride
        half = np.exp(shape[:, 2:]) * stride / 2
        boxes.append(np.concatenate([centre - half, centre + half], axis=1) / scale)
        scores.append(score[candidates])
    if not boxes:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    return np.concatenate(boxes).astype(np.float32), np.concatenate(scores)

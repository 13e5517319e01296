"""What a detector's outputs mean: boxes in pixels of the frame and their scores. Pure numpy."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

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
    sure, there, shapes = (
        np.concatenate([outputs[f"{part}_{stride}"][0] for stride in STRIDES]) for part in ("cls", "obj", "bbox")
    )
    scores = np.sqrt(sure[:, 0] * there[:, 0])
    candidates = np.flatnonzero(scores > DETECTED)
    if not candidates.size:
        return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
    cells, strides = _cells(columns, tuple(outputs[f"cls_{stride}"].shape[1] for stride in STRIDES))
    shape, stride = shapes[candidates], strides[candidates]
    centre = (cells[candidates] + shape[:, :2]) * stride
    half = np.exp(shape[:, 2:]) * stride / 2
    boxes = np.concatenate([centre - half, centre + half], axis=1) / scale
    return boxes.astype(np.float32), scores[candidates]


@cache
def _cells(columns: int, counts: tuple[int, ...]) -> tuple[NDArray[np.float64], Floats]:
    """Column and row of each stride's every cell (N, 2), and the stride (N, 1)."""
    cells = [
        np.stack([np.arange(count) % (columns // stride), np.arange(count) // (columns // stride)], axis=1)
        for stride, count in zip(STRIDES, counts, strict=True)
    ]
    return np.concatenate(cells).astype(np.float64), np.repeat(np.array(STRIDES, np.float32), counts)[:, None]

"""Boxes of faces: overlap, suppression, the square that the models were trained on. Pure numpy."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.picture import Box

Floats = NDArray[np.float32]


def area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0..1; 0 for empty boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    inter = width * height
    union = area(a) + area(b) - inter
    return inter / union if union > 0 else 0.0


def suppress(boxes: Floats, scores: Floats, overlap: float) -> list[int]:
    """Greedy non-maximum suppression: indices to keep, best score first.

    boxes: (N, 4) corners; scores: (N,). A box goes when its IoU with a kept, better one is above
    `overlap`, or when it has no area.
    """
    # Plain numbers: a face has a handful of candidates, which cost numpy more to call than to compare.
    candidates: list[Box] = [(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes.tolist()]
    order = [int(index) for index in np.argsort(-scores, kind="stable") if 0 < area(candidates[index]) < math.inf]
    keep: list[int] = []
    for index in order:
        if all(iou(candidates[index], candidates[kept]) <= overlap for kept in keep):
            keep.append(index)
    return keep


def square(box: Box, width: int, height: int) -> Box:
    """The square whose side is the box's height, centred on it and cut at the frame's edges (as upstream does)."""
    half = (box[3] - box[1]) / 2
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return max(x - half, 0.0), max(y - half, 0.0), min(x + half, width - 1.0), min(y + half, height - 1.0)


def grown(box: Box, scale: float, width: int, height: int) -> tuple[int, int, int, int]:
    """The box grown around its centre and pushed back into the frame: x, y, width, height in whole pixels.

    The scale shrinks where the frame is too small for it. Truncation follows upstream, whose models saw it.
    """
    x, y = int(box[0]), int(box[1])
    w, h = max(1, int(box[2]) - x), max(1, int(box[3]) - y)
    scale = min((height - 1) / h, (width - 1) / w, scale)
    new_w, new_h = w * scale, h * scale
    left, top = x + w / 2 - new_w / 2, y + h / 2 - new_h / 2
    left = min(max(left, 0.0), max(0.0, width - 1 - new_w))
    top = min(max(top, 0.0), max(0.0, height - 1 - new_h))
    return int(left), int(top), max(1, min(int(new_w), width - 1)), max(1, min(int(new_h), height - 1))

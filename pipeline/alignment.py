"""From 68 landmarks to the 112x112 crop that the embedding was trained on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]  # (n, 2): x, y in pixels

# Eye centres, nose tip, mouth corners in the 112x112 crop (ArcFace).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
SIDE = 112


def five_points(landmarks: Points) -> NDArray[np.float64]:
    """Eye centres, nose tip, mouth corners (5, 2) from the 68 points; the means are those of the models' upstream."""
    p = landmarks.tolist()

    def mean(*indices: int) -> tuple[float, float]:
        return sum(p[i][0] for i in indices) / len(indices), sum(p[i][1] for i in indices) / len(indices)

    return np.array([mean(37, 38, 40, 41), mean(43, 44, 46, 47), p[30], mean(48, 60), mean(54, 64)])


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation, scale and shift (2, 3) that brings `source` (n, 2) nearest to `target` (n, 2), least squares.

    Umeyama 1991 in two dimensions, where it has a closed form without a decomposition; never a reflection.
    Points that all coincide give a matrix of NaN.
    """
    # Plain numbers: five points cost numpy more to call than to work out.
    points, wanted = source.tolist(), target.tolist()
    count = len(points)
    sx, sy = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    tx, ty = sum(x for x, _ in wanted) / count, sum(y for _, y in wanted) / count
    spread = along = across = 0.0
    for (x, y), (u, v) in zip(points, wanted, strict=True):
        x, y, u, v = x - sx, y - sy, u - tx, v - ty
        spread += x * x + y * y
        along += x * u + y * v
        across += x * v - y * u
    a, b = (along / spread, across / spread) if spread else (math.nan, math.nan)
    return np.array([[a, -b, tx - a * sx + b * sy], [b, a, ty - b * sx - a * sy]])


def back_to_frame(forward: NDArray[np.float64]) -> tuple[float, ...]:
    """Invert a (2, 3) similarity that maps pixel indices, for `Picture.warp`, which counts from pixel edges."""
    a, b = float(forward[0, 0]), float(forward[1, 0])
    det = a * a + b * b
    ia, ib = a / det, b / det
    # indices -> edges: shift by half a pixel on both sides
    tx, ty = float(forward[0, 2]), float(forward[1, 2])
    cx, cy = -(ia * tx + ib * ty), -(-ib * tx + ia * ty)
    return (ia, ib, cx - 0.5 * (ia + ib) + 0.5, -ib, ia, cy - 0.5 * (-ib + ia) + 0.5)

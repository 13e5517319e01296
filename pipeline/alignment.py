"""From 68 landmarks to the 112x112 crop that the embedding was trained on."""

from __future__ import annotations

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
    p = landmarks.astype(np.float64)
    return np.stack(
        [
            (p[37] + p[38] + p[40] + p[41]) / 4,
            (p[43] + p[44] + p[46] + p[47]) / 4,
            p[30],
            (p[48] + p[60]) / 2,
            (p[54] + p[64]) / 2,
        ]
    )


def similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rotation, scale and shift (2, 3) that brings `source` (n, 2) nearest to `target` (n, 2), least squares.

    Umeyama 1991 in two dimensions, where it has a closed form without a decomposition; never a reflection.
    Points that all coincide give a matrix of NaN.
    """
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - mean_s, target - mean_t
    spread = float((s * s).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        a = np.float64((s * t).sum()) / spread if spread else np.float64(np.nan)
        b = np.float64((s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]).sum()) / spread if spread else np.float64(np.nan)
    linear = np.array([[a, -b], [b, a]])
    return np.column_stack([linear, mean_t - linear @ mean_s])


def back_to_frame(forward: NDArray[np.float64]) -> tuple[float, ...]:
    """Invert a (2, 3) similarity that maps pixel indices, for `Picture.warp`, which counts from pixel edges."""
    a, b = float(forward[0, 0]), float(forward[1, 0])
    det = a * a + b * b
    ia, ib = a / det, b / det
    # indices -> edges: shift by half a pixel on both sides
    tx, ty = float(forward[0, 2]), float(forward[1, 2])
    cx, cy = -(ia * tx + ib * ty), -(-ib * tx + ia * ty)
    return (ia, ib, cx - 0.5 * (ia + ib) + 0.5, -ib, ia, cy - 0.5 * (-ib + ia) + 0.5)

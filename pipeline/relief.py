"""How far a face stands out of the surface that carries it, from a depth picture: paper has no nose, bent or not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.picture import Box

Depth = NDArray[np.floating]

SAMPLES = 24  # points along each side of the face
ENOUGH = 0.5  # share of them that must have a reading


def relief_mm(depth: Depth, box: Box, width: int, height: int) -> float:
    """Root mean square of what the best quadric leaves over, in millimetres; NaN where too little was measured.

    depth: (h, w) millimetres from the camera, NaN or 0 where there is no reading; it shows what the frame of width x
    height pixels shows, maybe at another size. A plane and a bent sheet (z quadratic in x and y) leave nothing; the
    nose and the hollows of the eyes leave 3 to 6 mm.
    """
    if depth.ndim != 2 or min(depth.shape) < 2:
        return float("nan")
    rows, columns = depth.shape
    inset_x, inset_y = (box[2] - box[0]) * 0.15, (box[3] - box[1]) * 0.1
    xs = np.linspace(box[0] + inset_x, box[2] - inset_x, SAMPLES) * columns / width
    ys = np.linspace(box[1] + inset_y, box[3] - inset_y, SAMPLES) * rows / height
    x, y = (grid.ravel() for grid in np.meshgrid(xs, ys))
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    z = np.full(x.shape, np.nan)
    z[inside] = depth[y[inside].astype(np.intp), x[inside].astype(np.intp)]
    known = np.isfinite(z) & (z > 0)
    if known.sum() < ENOUGH * z.size:
        return float("nan")
    u, v = (np.interp(values, (values.min(), values.max()), (-1, 1))[known] for values in (x, y))
    surface = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    solved, *_ = np.linalg.lstsq(surface, z[known], rcond=None)
    return float(np.sqrt(np.mean(np.square(z[known] - surface @ solved))))

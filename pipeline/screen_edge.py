"""Does the face lie inside something held up? Looks for the two long straight sides of a phone, a tablet or a print.

Behind a live person straight lines end at the shoulders; the sides of a held-up picture go on past the chin. So a side
counts only as far as it is seen beside the forehead, beside the cheek and below the chin. One side must be unbroken,
the other may be broken by fingers.
"""

from __future__ import annotations

import numpy as np

from pipeline.picture import Box, Pixels

STEP = 12.0  # gray levels across two pixels: what counts as an edge
SLOPES = np.linspace(-0.24, 0.24, 25, dtype=np.float32)  # sideways per row: a picture is tilted up to 13 degrees
NEIGHBOURS = 2  # perspective: the two sides may differ by so many slopes
NEAR, FAR = 0.40, 1.25  # where a side may be: distance from the face's centre, in face heights
ABOVE, BELOW = 0.35, 0.75  # how far beyond the face a side is followed, in face heights
UNBROKEN = 0.95
MIN_ROWS = 20


def screen_edge(small: Pixels, box: Box, aspect: float) -> float:
    """How complete the less complete side is, 0..1, where the other is unbroken; 0 where none is.

    small: (h, w, 3) RGB, the whole frame; box: the face in its pixels; aspect: how many of its columns are as wide as
    one of its rows is high (the frame may be stretched).
    """
    rows, columns = small.shape[:2]
    height = box[3] - box[1]
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    unit = height * aspect  # a face height in columns
    top, bottom = max(0, int(box[1] - ABOVE * height)), min(rows, int(box[3] + BELOW * height))
    left, right = max(0, int(centre_x - FAR * unit) - 4), min(columns, int(centre_x + FAR * unit) + 4)
    if bottom - top < MIN_ROWS or right - left < MIN_ROWS:
        return 0.0
    ys, xs = _edges(small[top:bottom, left:right, 1])
    ys, xs = ys + top, xs + left
    # Three parts of a side: beside the forehead, beside the cheeks, below the chin.
    bounds = [top + 1, int(box[1] + 0.5 * height), int(box[3]), bottom - 1]
    lengths = np.maximum(np.diff(bounds), 1).astype(np.float32)
    part = np.clip(np.searchsorted(bounds, ys, side="right") - 1, 0, 2)
    slopes = SLOPES * np.float32(aspect)
    width = columns + 2 * MIN_ROWS
    where = np.rint(xs - slopes[:, None] * (ys - np.float32(centre_y))).astype(np.intp) + MIN_ROWS
    np.clip(where, 0, width - 1, out=where)
    where += (np.arange(len(slopes))[:, None] * 3 + part) * width
    votes = np.bincount(where.ravel(), minlength=len(slopes) * 3 * width).reshape(len(slopes), 3, width)
    votes[:, :, 1:-1] = votes[:, :, :-2] + votes[:, :, 1:-1] + votes[:, :, 2:]
    sides = np.minimum(votes / lengths[:, None], 1.0).min(axis=1)  # (slopes, columns): the weakest part of each line
    far_left, near_left = max(0.0, centre_x - FAR * unit), centre_x - NEAR * unit
    near_right, far_right = centre_x + NEAR * unit, min(float(columns), centre_x + FAR * unit)
    return _pair(_best(sides, far_left, near_left), _best(sides, near_right, far_right))


def _edges(gray: Pixels) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.intp]], ...]:
    """Rows and columns of the pixels where brightness changes most along a row."""
    luma = gray.astype(np.float32)
    luma = luma[:-2] + luma[1:-1] + luma[2:]
    change = np.abs(luma[:, 2:] - luma[:, :-2])
    middle = change[:, 1:-1]
    found = (middle > 3 * STEP) & (middle >= change[:, :-2]) & (middle > change[:, 2:])
    ys, xs = np.nonzero(found)
    return ys + 1, xs + 2


def _best(
    sides: np.ndarray[tuple[int, ...], np.dtype[np.float64]], start: float, end: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    zone = sides[:, int(start) + MIN_ROWS : int(end) + MIN_ROWS]
    return zone.max(axis=1) if zone.shape[1] else np.zeros(len(sides))


def _pair(
    left: np.ndarray[tuple[int, ...], np.dtype[np.float64]], right: np.ndarray[tuple[int, ...], np.dtype[np.float64]]
) -> float:
    best = 0.0
    for shift in range(-NEIGHBOURS, NEIGHBOURS + 1):
        a = left[max(0, shift) : len(left) + min(0, shift)]
        b = right[max(0, -shift) : len(right) + min(0, -shift)]
        unbroken = np.maximum(a, b) >= UNBROKEN
        if unbroken.any():
            best = max(best, float(np.minimum(a, b)[unbroken].max()))
    return best

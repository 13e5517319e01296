"""Does the face lie inside something held up? Looks for the two long straight sides of a phone, a tablet or a print.

Behind a live person straight lines end at hair, neck and shoulders; the sides of a held-up picture go on past the chin.
So a side counts only as far as it is seen beside the forehead, beside the cheek and below the chin: a little below for
a line close to the face, where a neck or a collar would hide it, further for one beyond, where only the shoulders
would. One side must be unbroken, the other may be broken by fingers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.picture import Box, Pixels

Numbers = NDArray[np.float64]

STEP = 12.0  # gray levels across two pixels: what counts as an edge
SLOPES = np.linspace(-0.24, 0.24, 25, dtype=np.float32)  # sideways per row: a picture is tilted up to 13 degrees
NEIGHBOURS = 2  # perspective: the two sides may differ by so many slopes
NEAR, MIDDLE, FAR = 0.40, 0.75, 1.25  # where a side may be: distance from the face's centre, in face heights
ABOVE_NEAR, ABOVE_FAR = 0.10, 0.35  # how far beyond the face a side is followed, in face heights
BELOW_NEAR, BELOW_FAR = 0.20, 0.75
PARTS = 5  # of a side: above, beside the forehead, beside the cheek, below the chin, further below
UNBROKEN = 0.95
MIN_SIDE = 20  # pixels to look at, at least
PADDING = 20  # columns beside the frame, for lines that leave it


def screen_edge(small: Pixels, box: Box, aspect: float) -> float:
    """How complete the less complete side is, 0..1, where the other is unbroken; 0 where none is.

    small: (h, w, 3) RGB, the whole frame; box: the face in its pixels; aspect: how many of its columns are as wide as
    one of its rows is high (the frame may be stretched).
    """
    rows, columns = small.shape[:2]
    height = box[3] - box[1]
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    unit = height * aspect  # a face height in columns
    top, bottom = max(0, int(box[1] - ABOVE_FAR * height)), min(rows, int(box[3] + BELOW_FAR * height))
    left, right = max(0, int(centre_x - FAR * unit) - 4), min(columns, int(centre_x + FAR * unit) + 4)
    if min(bottom - top, right - left) < MIN_SIDE:
        return 0.0
    ys, xs = _edges(small[top:bottom, left:right, 1])
    ys, xs = ys + top, xs + left
    bounds = np.clip(
        [
            top + 1,
            box[1] - ABOVE_NEAR * height,
            box[1] + 0.5 * height,
            box[3],
            box[3] + BELOW_NEAR * height,
            bottom - 1,
        ],
        top + 1,
        bottom - 1,
    ).astype(np.intp)
    part = np.clip(np.searchsorted(bounds, ys, side="right") - 1, 0, PARTS - 1)
    slopes = SLOPES * np.float32(aspect)
    width = columns + 2 * PADDING
    where = np.rint(xs - slopes[:, None] * (ys - np.float32(centre_y))).astype(np.intp) + PADDING
    np.clip(where, 0, width - 1, out=where)
    where += (np.arange(len(slopes))[:, None] * PARTS + part) * width
    votes = np.bincount(where.ravel(), minlength=len(slopes) * PARTS * width).reshape(len(slopes), PARTS, width)
    votes[:, :, 1:-1] = votes[:, :, :-2] + votes[:, :, 1:-1] + votes[:, :, 2:]
    rows_of = np.diff(bounds) / 2
    above, forehead, cheek, chin, below = (votes[:, number] for number in range(PARTS))
    beside = np.minimum(forehead / max(1, rows_of[1]), cheek / max(1, rows_of[2]))
    near = np.minimum(beside, chin / max(1, rows_of[3]))
    far = np.minimum(cheek / max(1, rows_of[2]), (above + forehead) / max(1, rows_of[0] + rows_of[1]))
    far = np.minimum(far, (chin + below) / max(1, rows_of[3] + rows_of[4]))
    return max(
        _pair(
            _best(lines, centre_x - reach * unit, centre_x - NEAR * unit),
            _best(lines, centre_x + NEAR * unit, centre_x + reach * unit),
        )
        for lines, reach in ((near, MIDDLE), (far, FAR))
    )


def _edges(gray: Pixels) -> tuple[NDArray[np.intp], ...]:
    """Rows and columns of the pixels where brightness changes most along a row; rows are taken in pairs."""
    luma = gray.astype(np.float32)
    luma = luma[: len(luma) // 2 * 2].reshape(-1, 2, luma.shape[1]).sum(axis=1)
    change = np.abs(luma[:, 2:] - luma[:, :-2])
    middle = change[:, 1:-1]
    found = (middle > 2 * STEP) & (middle >= change[:, :-2]) & (middle > change[:, 2:])
    ys, xs = np.nonzero(found)
    return ys * 2, xs + 2


def _best(sides: Numbers, start: float, end: float) -> Numbers:
    """The best line of each slope between two columns; the outermost ones hold what lies outside, and don't count."""
    last = sides.shape[1] - 2
    zone = np.minimum(sides[:, min(max(2, int(start) + PADDING), last) : min(max(2, int(end) + PADDING), last)], 1.0)
    return zone.max(axis=1) if zone.shape[1] else np.zeros(len(sides))


def _pair(left: Numbers, right: Numbers) -> float:
    """The less complete of the best two sides that are nearly parallel and of which one is unbroken."""
    best = 0.0
    for shift in range(-NEIGHBOURS, NEIGHBOURS + 1):
        a = left[max(0, shift) : len(left) + min(0, shift)]
        b = right[max(0, -shift) : len(right) + min(0, -shift)]
        unbroken = np.maximum(a, b) >= UNBROKEN
        if unbroken.any():
            best = max(best, float(np.minimum(a, b)[unbroken].max()))
    return best

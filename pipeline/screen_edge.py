"""Does the face lie inside something held up? Looks for the two long straight sides of a phone, a tablet or a print.

Behind a live person straight lines end at hair, neck and shoulders; the sides of a held-up picture go on past the chin.
So a side counts only as far as it is seen beside the forehead, beside the cheek and below the chin: a little below for
a line close to the face, where a neck or a collar would hide it, further for one beyond, where only the shoulders
would. One side must be unbroken, the other may be broken by fingers.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from pipeline.picture import Box

Numbers = NDArray[np.float64]
Gray = NDArray[np.uint8]

STEP = 12  # gray levels across two pixels: what counts as an edge
STEEPEST = 0.24
SLOPES = np.linspace(
    -STEEPEST, STEEPEST, 25, dtype=np.float32
)  # sideways per row: a picture is tilted up to 13 degrees
NEIGHBOURS = 2  # perspective: the two sides may differ by so many slopes
NEAR, MIDDLE, FAR = 0.40, 0.75, 1.50  # where a side may be: distance from the face's centre, in face heights
ABOVE_NEAR, ABOVE_FAR = 0.10, 0.35  # how far beyond the face a side is followed, in face heights
BELOW_NEAR, BELOW_FAR, BELOW_MORE = 0.20, 0.75, 1.00
UNBROKEN = 0.95
MIN_SIDE = 20  # pixels to look at, at least
PADDING = 20  # columns beside the frame, for lines that leave it


def screen_edge(gray: Gray, box: Box, aspect: float) -> float:
    """How complete the less complete side is, 0..1, where the other is unbroken; 0 where none is.

    gray: (h, w) uint8, the whole frame; box: the face in its pixels; aspect: how many of its columns are as wide as
    one of its rows is high (the frame may be stretched).
    """
    rows, columns = gray.shape
    height = box[3] - box[1]
    centre_x, centre_y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    unit = height * aspect  # a face height in columns
    top, bottom = max(0, int(box[1] - ABOVE_FAR * height)), min(rows, int(box[3] + BELOW_MORE * height))
    left, right = max(0, int(centre_x - FAR * unit) - 4), min(columns, int(centre_x + FAR * unit) + 4)
    if min(bottom - top, right - left) < MIN_SIDE:
        return 0.0
    starts = [box[1] - ABOVE_NEAR * height, box[1] + 0.5 * height]
    ends = [box[3] + below * height for below in (0.0, BELOW_NEAR, BELOW_FAR)]
    bounds = [top, *(min(max(int(mark), top), bottom) for mark in (*starts, *ends)), bottom]
    # Rows are taken in pairs, counted from the top.
    pairs = [max((last - first) / 2, 1.0) for first, last in itertools.pairwise(bounds)]
    lines = len(SLOPES)

    def votes(part: int) -> NDArray[np.signedinteger]:
        """(slopes, columns + 2 * PADDING): how many of a part's edges lie on each line."""
        first, last = (top + (bound - top + 1) // 2 * 2 for bound in bounds[part : part + 2])
        ys, xs = _edges(gray[first : min(last, bottom), left:right])
        lean = STEEPEST * aspect * max(abs(first - centre_y), abs(last - centre_y))
        # What lies within the face is on no side.
        inner = NEAR * unit - lean - 3
        beside = (xs < centre_x - left - inner) | (xs > centre_x - left + inner)
        spare = int(lean) + 2  # columns for lines that leave the picture further than PADDING, cut off again
        width = columns + 2 * (PADDING + spare)
        shift = SLOPES[:, None] * np.float32(aspect) * (np.arange(first, last, 2, dtype=np.float32) - centre_y)
        table = np.rint(shift).astype(np.intp)
        table -= np.arange(lines)[:, None] * width + (left + PADDING + spare)
        where = np.subtract(xs[beside], table.take(ys[beside], axis=1))
        count = np.bincount(where.ravel(), minlength=lines * width).reshape(lines, width)[:, spare : width - spare]
        near = count[:, :-2] + count[:, 1:-1]
        near += count[:, 2:]
        count[:, 1:-1] = near
        return count

    def sides(lines: Numbers, reach: float) -> float:
        return _pair(
            _best(lines, centre_x - reach * unit, centre_x - NEAR * unit),
            _best(lines, centre_x + NEAR * unit, centre_x + reach * unit),
        )

    cheek = votes(2) / pairs[2]
    if not sides(cheek, FAR):
        return 0.0  # most live faces end here, and only these rows were looked at
    above, forehead = votes(0), votes(1)
    near = np.minimum(cheek, forehead / pairs[1])
    upper = np.minimum(cheek, (above + forehead) / (pairs[0] + pairs[1]))
    if not (sides(near, MIDDLE) or sides(upper, FAR)):
        return 0.0
    chin, below, more = votes(3), votes(4), votes(5)
    near = np.minimum(near, chin / pairs[3])
    far = np.minimum(upper, (chin + below) / (pairs[3] + pairs[4]))
    # A device may end soon after, or go on below the fingers that hold it.
    longer = np.minimum(upper, (chin + below + more) / (pairs[3] + pairs[4] + pairs[5]))
    return max(sides(near, MIDDLE), sides(far, FAR), sides(longer, FAR))


def _edges(gray: Gray) -> tuple[NDArray[np.intp], ...]:
    """Pairs of rows, and columns, of the pixels where brightness changes most along a row."""
    rows = len(gray) // 2 * 2
    luma = np.add(gray[:rows:2], gray[1:rows:2], dtype=np.int16)
    change = np.abs(luma[:, 2:] - luma[:, :-2])
    middle = change[:, 1:-1]
    found = middle > 2 * STEP
    found &= middle >= change[:, :-2]
    found &= middle > change[:, 2:]
    ys, xs = np.nonzero(found)
    return ys, xs + 2


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

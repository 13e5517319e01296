"""Which parts of a picture differ from the one before. Pure numpy, and quick when little changed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Rectangle = tuple[int, int, int, int]  # x, y, width, height


def changes(before: Picture | None, after: Picture) -> Iterator[Rectangle]:
    """Rectangles that hold every differing pixel of (H, W, 3), one for each run of changed rows; everything for None.

    A clock at the top and a number at the bottom cost two small rectangles.
    """
    height, width = after.shape[:2]
    if before is None:
        yield 0, 0, width, height
        return
    # Whole rows first: comparing them as bytes is what numpy does fastest, and most are equal.
    rows = (before.reshape(height, -1) != after.reshape(height, -1)).any(axis=1)
    bounded = np.concatenate(([False], rows, [False]))
    edges = np.flatnonzero(bounded[1:] != bounded[:-1])
    for top, bottom in zip(edges[::2], edges[1::2], strict=True):
        differs = (before[top:bottom] != after[top:bottom]).any(axis=0).any(axis=1)
        columns = np.flatnonzero(differs)
        left, right = int(columns[0]), int(columns[-1]) + 1
        yield left, int(top), right - left, int(bottom - top)


def bounding_box(before: Picture | None, after: Picture) -> Rectangle | None:
    """The smallest rectangle that holds every differing pixel; None when none does."""
    parts = list(changes(before, after))
    if not parts:
        return None
    left, top = min(x for x, _, _, _ in parts), parts[0][1]
    right = max(x + width for x, _, width, _ in parts)
    return left, top, right - left, parts[-1][1] + parts[-1][3] - top

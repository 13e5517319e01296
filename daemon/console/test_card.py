"""A test card for the display: eight colours, sixteen greys, and a frame one pixel wide at the very edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

COLOURS = (
    (255, 255, 255), (255, 255, 0), (0, 255, 255), (0, 255, 0), (255, 0, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0),
)  # fmt: skip
GREYS = 16


def test_card(size: tuple[int, int]) -> NDArray[np.uint8]:
    """`size` is (width, height); the card (height, width, 3) RGB. A missing side of the frame shows an overscan."""
    width, height = size
    card = np.zeros((height, width, 3), np.uint8)
    split = height * 3 // 4
    columns = np.arange(width)
    card[:split] = np.array(COLOURS, np.uint8)[columns * len(COLOURS) // width]
    card[split:] = (columns * GREYS // width * 255 // (GREYS - 1)).astype(np.uint8)[None, :, None]
    card[[0, -1]] = 255
    card[:, [0, -1]] = 255
    card[[2, -3], 2:-2] = (255, 0, 0)
    card[2:-2, [2, -3]] = (255, 0, 0)
    return card

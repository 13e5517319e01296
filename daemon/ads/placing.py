"""Where an advertisement stands in a view: all of an idle screen; a corner beside a payment that needs the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.screen.views import Approved, Idle, Processing, View
from mqtt.campaigns import Slot

Pixels = NDArray[np.uint8]

VIEW_OF: dict[Slot, type[View]] = {Slot.IDLE: Idle, Slot.PAYING: Processing, Slot.SUCCESS: Approved}
CORNER_WIDTH, CORNER_HEIGHT = 0.26, 0.44  # of the display: right of the ring, above the amount
MARGIN = 0.025
COVERABLE = frozenset({"key_beside_data"})  # true of a box as long as it stands, and nothing a payer could act on
LANDSCAPE = 1.3


def slot_of(view: View | None) -> Slot | None:
    """Which slot this view has room for. An idle screen that has something to say to a payer keeps its place."""
    match view:
        case Idle(conditions=conditions) if COVERABLE.issuperset(conditions):
            return Slot.IDLE
        case Processing():
            return Slot.PAYING
        case Approved():
            return Slot.SUCCESS
        case _:
            return None


def has_room(slot: Slot, size: tuple[int, int]) -> bool:
    """On an upright display only the idle screen has room. `size` is (width, height)."""
    return slot is Slot.IDLE or size[0] >= LANDSCAPE * size[1]


def placed(slot: Slot, pixels: Pixels, size: tuple[int, int]) -> tuple[Pixels, tuple[int, int]]:
    """The picture as large as its place, and its left upper corner (x, y). `pixels` is (H, W, 3) RGB."""
    if slot is Slot.IDLE:
        return pixels, (0, 0)
    width, height = round(size[0] * CORNER_WIDTH), round(size[1] * CORNER_HEIGHT)
    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    fitted = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = np.asarray(Image.fromarray(pixels).resize(fitted, Image.Resampling.LANCZOS, reducing_gap=2.0))
    margin = round(size[0] * MARGIN)
    return small, (size[0] - margin - fitted[0], margin)

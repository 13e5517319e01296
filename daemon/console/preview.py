"""A camera picture as 64 x 24 characters: enough to see that the lens is open and points the right way, too coarse to
know anybody by. Nothing finer ever leaves the process for a technician.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLUMNS, ROWS = 64, 24
SHADES = " .:-=+*#%@"


def ascii_preview(image: NDArray[np.uint8]) -> list[str]:
    """`image` (H, W, 3) RGB, 0..255, whole and not cropped; 24 lines of 64 characters, dark to light."""
    small = np.asarray(Image.fromarray(image).convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX))
    levels = small.astype(np.int32) * len(SHADES) // 256
    return ["".join(SHADES[level] for level in row) for row in levels]


def brightness(image: NDArray[np.uint8]) -> str:
    """A word for it: dark, dim, good, glaring."""
    mean = float(image.mean())
    return "dark" if mean < 20 else "dim" if mean < 60 else "good" if mean < 215 else "glaring"

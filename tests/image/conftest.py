"""The builder's and the emulator's modules are scripts beside each other, not an installed package."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parents[2] / "image-build"
for folder in ("builder", "emulator"):
    sys.path.append(str(HERE / folder))

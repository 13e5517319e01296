"""Whether a file is there, answered so that a card that fails is never taken for one on which it never was."""

from __future__ import annotations

import os
from pathlib import Path


def is_absent(path: Path | str) -> bool:
    """Whether there is certainly nothing at `path`. A link is something, wherever it leads.

    Ask this where something is made, forgotten or begun anew because a file is missing: `os.path.exists` says no to
    every error, and so does `Path.exists` from Python 3.14 on.

    Raises:
        OSError: it can't be told (an I/O error, a folder that may not be looked into).
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return True
    return False

"""A console that nobody looks at lets the daemon start first: loading its program costs a small box seconds."""

from __future__ import annotations

import select
import time
from pathlib import Path

LOOK_EVERY_S = 0.5


def wait_for_somebody(line: int, after: Path, at_most_s: float) -> None:
    """Until something comes over `line` (a descriptor), the file `after` is there, or `at_most_s` are over.

    What came stays unread.
    """
    until_s = time.monotonic() + at_most_s
    while not after.exists() and time.monotonic() < until_s:
        ready, _, _ = select.select([line], [], [], LOOK_EVERY_S)
        if ready:
            return

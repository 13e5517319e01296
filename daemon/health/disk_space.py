"""Says in time that the data partition is full: a payment must never be the first to find out."""

from __future__ import annotations

import shutil
from pathlib import Path

# Below this the box can't be sure of its next few hundred payments, their journal lines and the database's own log.
FULL_BYTES = 8 * 1024 * 1024
LOOK_EVERY_S = 60.0


class DiskSpace:
    """The main loop's: `work` whenever something happened; it looks once a minute and costs one system call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._due_s = 0.0

    def work(self, now: float) -> tuple[bool, str] | None:
        """Whether it is full, and why; None when it is not time to look. `now`: monotonic seconds."""
        if now < self._due_s:
            return None
        self._due_s = now + LOOK_EVERY_S
        try:
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            return True, f"{self._folder}: {error.strerror}"
        return free < FULL_BYTES, f"only {free // 1024} KiB are free at {self._folder}"

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
        self._full = False

    def work(self, now: float) -> str | None:
        """Why it is full, once it has become so; "" when that is over; else None. `now`: monotonic seconds."""
        if now < self._due_s:
            return None
        self._due_s = now + LOOK_EVERY_S
        was, self._full = self._full, False
        try:
            free = shutil.disk_usage(self._folder).free
            self._full, why = free < FULL_BYTES, f"only {free // 1024} KiB are free at {self._folder}"
        except OSError as error:
            self._full, why = True, f"{self._folder}: {error.strerror}"
        return None if was == self._full else why if self._full else ""

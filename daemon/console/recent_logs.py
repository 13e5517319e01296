"""The last log lines, kept in memory for whoever asks over the control socket. They never hold a face, PIN or key."""

from __future__ import annotations

import logging
import time
from collections import deque

from daemon.logs import KeyValueFormatter
from secure_store.hardening import SecretFilter

LINES = 500
LONGEST = 1000


class RecentLogs(logging.Handler):
    """A handler for the root logger; safe to read from any thread."""

    def __init__(self, lines: int = LINES) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(KeyValueFormatter())
        self.addFilter(SecretFilter())
        self._lines: deque[str] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        at = time.strftime("%H:%M:%S", time.localtime(record.created))
        self._lines.append(f"{at} {self.format(record)}"[:LONGEST])

    def last(self, count: int) -> list[str]:
        self.acquire()
        try:
            return list(self._lines)[-count:]
        finally:
            self.release()

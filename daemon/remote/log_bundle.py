"""The newest log lines as they may leave the box: redacted by construction.

Of each line only the facts named here are kept, and only where they look like a machine's word or a number. What a line
says beyond that (an error's text, a path, whoever it was about) never gets into the bundle, so it can't be forgotten to
be taken out of it.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from typing import Any

from daemon.logs import facts_of
from secure_store.hardening import SecretFilter

KEPT = frozenset(
    {
        "event", "reason", "name", "count", "code", "status", "attempt", "outcome", "version", "restart", "condition",
        "view", "signal", "order", "amount", "total_ms", "compute_ms", "frames", "unsettled", "open_orders", "payers",
        "port", "session_present", "unacked", "command", "id", "corrected", "size", "check", "beginnings",
    }
)  # fmt: skip
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
LINES = 500

Line = dict[str, str | int | float | bool]


class LogBundle(logging.Handler):
    """A handler for the root logger; safe to read from any thread."""

    def __init__(self, lines: int = LINES) -> None:
        super().__init__(logging.INFO)
        self.addFilter(SecretFilter())  # a phone number looks like a machine's word too
        self._lines: deque[Line] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(redacted(record))

    def last(self, count: int) -> list[Line]:
        self.acquire()
        try:
            return list(self._lines)[-count:]
        finally:
            self.release()


def redacted(record: logging.LogRecord) -> Line:
    """What of a line may leave the box; `at` is Unix seconds."""
    line: Line = {"at": int(record.created), "level": record.levelname.lower(), "logger": record.name}
    for name, value in facts_of(record).items():
        kept = _plain(value) if name in KEPT else None
        if kept is not None:
            line[name] = kept
    return line


def _plain(value: Any) -> str | int | float | bool | None:
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return text if WORD.fullmatch(text) else None

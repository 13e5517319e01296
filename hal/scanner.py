"""A barcode scanner gives what it read, one code at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

MAX_CODE = 512  # characters; a QR code of a payer has some dozens


@dataclass(frozen=True, slots=True)
class Scan:
    """One code without its end; `at_s` is `time.monotonic()` when it ended. Never logged: it may let someone pay."""

    text: str = field(repr=False)
    at_s: float


class Scanner(Protocol):
    """What every scanner driver promises."""

    @property
    def name(self) -> str:
        """How the scanner is called in logs and conditions."""

    def open(self) -> None:
        """Take the scanner for us alone; does nothing on an open one. Raises HalError."""

    def read(self, timeout_s: float) -> Scan | None:
        """The next code, or None when none came within `timeout_s`. What is too long to be a code, or not text, comes
        as it is, shortened: that a scan went wrong is for the caller to say. Raises DeviceGone."""

    def close(self) -> None:
        """Release the scanner. May be called twice, and on one that never opened."""


def as_code(raw: bytes) -> str:
    """What came over a wire as text, at most MAX_CODE long; a byte that is no UTF-8 becomes U+FFFD."""
    return raw.decode("utf-8", "replace").strip("\x00\x02\x03 \t\r\n")[:MAX_CODE]

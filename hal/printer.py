"""A receipt printer takes bytes, in whatever language it speaks; what they mean is the caller's."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class Paper(StrEnum):
    """UNKNOWN: the printer does not say."""

    OK = "ok"
    LOW = "low"
    OUT = "out"
    UNKNOWN = "unknown"


class Printer(Protocol):
    """What every printer driver promises."""

    @property
    def name(self) -> str:
        """How the printer is called in logs and conditions."""

    def open(self) -> None:
        """Take the printer for us alone; does nothing on an open one. Raises HalError."""

    def paper(self, timeout_s: float) -> Paper:
        """Whether there is paper. Raises DeviceGone."""

    def print(self, data: bytes, timeout_s: float) -> None:
        """Hands over everything. Raises DeadlineExceeded when the printer takes nothing, DeviceGone."""

    def close(self) -> None:
        """Release the printer. May be called twice, and on one that never opened."""

"""A scanner on a serial line (RS-232, or USB as a virtual serial port): each code is a line."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hal.errors import DeadlineExceeded
from hal.scanner import MAX_CODE, Scan, as_code


class SerialScannerOptions(BaseModel):
    """A serial scanner; it must end each code with CR, LF or both, as most do out of the box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["serial"] = "serial"
    path: Path = Field(description="such as /dev/serial/by-id/usb-…")
    baud: int = Field(default=9600, ge=300, le=4_000_000)
    parity: Literal["none", "even", "odd"] = "none"


class SerialScanner:
    """Implements `hal.scanner.Scanner`."""

    def __init__(self, options: SerialScannerOptions) -> None:
        self.name = f"serial scanner {options.path}"
        from hal.serial_line import SerialLine, SerialOptions  # brings pyserial, which other boxes need not load

        line = SerialOptions(path=options.path, baud=options.baud, parity=options.parity, max_line_bytes=MAX_CODE)
        self._line = SerialLine(line)

    def open(self) -> None:
        """Raises DeviceGone."""
        self._line.open()

    def read(self, timeout_s: float) -> Scan | None:
        """The next code, or None. Raises DeviceGone."""
        try:
            raw = self._line.read_line(timeout_s)
        except DeadlineExceeded:
            return None
        return Scan(as_code(raw), time.monotonic())

    def close(self) -> None:
        """May be called twice."""
        self._line.close()

"""A receipt printer on a serial line, or behind a USB port as the kernel's usblp device. Asks its paper in ESC/POS."""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hal.errors import DeadlineExceeded, DeviceGone
from hal.printer import Paper

ASK_PAPER = b"\x10\x04\x04"  # DLE EOT 4: transmit the paper sensor's state, at once, whatever is being printed
FIXED_BITS, FIXED_VALUE = 0b1001_0011, 0b0001_0010  # what is the same in each answer to it
PAPER_END, PAPER_NEAR_END = 0b0110_0000, 0b0000_1100


def paper_of(answer: int) -> Paper:
    """What the paper sensor's byte says (ESC/POS, DLE EOT n = 4)."""
    if answer & FIXED_BITS != FIXED_VALUE:
        return Paper.UNKNOWN
    if answer & PAPER_END:
        return Paper.OUT
    return Paper.LOW if answer & PAPER_NEAR_END else Paper.OK


class SerialPrinterOptions(BaseModel):
    """A printer on RS-232 or on a virtual serial port. `asks_paper`: whether it answers questions about its paper."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["serial"] = "serial"
    path: Path
    baud: int = Field(default=9600, ge=300, le=4_000_000)
    asks_paper: bool = True


class SerialPrinter:
    """Implements `hal.printer.Printer`."""

    def __init__(self, options: SerialPrinterOptions) -> None:
        from hal.serial_line import SerialLine, SerialOptions  # brings pyserial, which other boxes need not load

        self.name = f"serial printer {options.path}"
        self._asks = options.asks_paper
        self._line = SerialLine(SerialOptions(path=options.path, baud=options.baud))

    def open(self) -> None:
        """Raises DeviceGone."""
        self._line.open()

    def paper(self, timeout_s: float) -> Paper:
        """UNKNOWN where the printer gives no answer. Raises DeviceGone."""
        if not self._asks:
            return Paper.UNKNOWN
        try:
            self._line.write(ASK_PAPER, timeout_s)
            answers = self._line.read(timeout_s)
        except DeadlineExceeded:
            return Paper.UNKNOWN
        return paper_of(answers[-1])

    def print(self, data: bytes, timeout_s: float) -> None:
        """Raises DeadlineExceeded, DeviceGone."""
        self._line.write(data, timeout_s)

    def close(self) -> None:
        """May be called twice."""
        self._line.close()


class FilePrinterOptions(BaseModel):
    """A printer that the kernel shows as a file, such as /dev/usb/lp0."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["file"] = "file"
    path: Path = Path("/dev/usb/lp0")
    asks_paper: bool = True


class FilePrinter:
    """Implements `hal.printer.Printer`."""

    def __init__(self, options: FilePrinterOptions) -> None:
        self.name = f"printer {options.path}"
        self._options = options
        self._fd: int | None = None

    def open(self) -> None:
        """Raises DeviceGone."""
        if self._fd is not None:
            return
        try:
            self._fd = os.open(self._options.path, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as why:
            hint = "is it plugged in and switched on, and is the user in the group lp?"
            raise DeviceGone(self.name, why.strerror or str(why), hint) from why

    def paper(self, timeout_s: float) -> Paper:
        """UNKNOWN where the printer gives no answer. Raises DeviceGone."""
        if not self._options.asks_paper:
            return Paper.UNKNOWN
        try:
            self.print(ASK_PAPER, timeout_s)
        except DeadlineExceeded:
            return Paper.UNKNOWN
        fd = self._open_fd()
        try:
            ready, _, _ = select.select([fd], [], [], timeout_s)
            answer = os.read(fd, 64) if ready else b""
        except OSError as why:
            raise self._gone(why) from why
        return paper_of(answer[-1]) if answer else Paper.UNKNOWN

    def print(self, data: bytes, timeout_s: float) -> None:
        """Raises DeadlineExceeded, DeviceGone."""
        fd = self._open_fd()
        deadline = time.monotonic() + timeout_s
        left = memoryview(data)
        while left:
            try:
                _, ready, _ = select.select([], [fd], [], max(deadline - time.monotonic(), 0))
                if not ready:
                    raise DeadlineExceeded(self.name, f"{len(left)} bytes were not taken within {timeout_s:g} s")
                left = left[os.write(fd, left) :]
            except BlockingIOError:
                continue
            except OSError as why:
                raise self._gone(why) from why

    def close(self) -> None:
        """May be called twice."""
        fd, self._fd = self._fd, None
        if fd is not None:
            with contextlib.suppress(OSError):
                os.close(fd)

    def _open_fd(self) -> int:
        if self._fd is None:
            raise DeviceGone(self.name, "it was not opened", "open it")
        return self._fd

    def _gone(self, why: OSError) -> DeviceGone:
        self.close()
        return DeviceGone(self.name, f"it went away: {why.strerror}", "is it plugged in and switched on?")

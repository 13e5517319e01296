"""A serial line with deadlines: tills, scanners, the technician's console."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Literal

import serial
from pydantic import BaseModel, ConfigDict, Field

from hal.errors import DeadlineExceeded, DeviceGone

CHUNK_BYTES = 4096


class SerialOptions(BaseModel):
    """A serial port, 8 data bits; `max_line_bytes` bounds what a noisy line can make us keep."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["serial"] = "serial"
    path: Path
    baud: int = Field(default=115200, ge=300, le=4_000_000)
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    max_line_bytes: int = Field(default=4096, ge=16, le=1 << 20)


class SerialLine:
    """One port, taken for us alone. One thread reads; another may write."""

    def __init__(self, options: SerialOptions) -> None:
        self.name = f"serial line {options.path}"
        self._options = options
        self._port: serial.Serial | None = None
        self._kept = bytearray()

    def open(self) -> None:
        """Does nothing on an open one. Raises DeviceGone."""
        if self._port is not None:
            return
        try:
            self._port = serial.Serial(
                str(self._options.path),
                self._options.baud,
                parity={"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}[
                    self._options.parity
                ],
                stopbits=self._options.stop_bits,
                exclusive=True,
            )
        except (OSError, serial.SerialException) as why:
            hint = "is it plugged in and unused, and is the user in the group dialout?"
            raise DeviceGone(self.name, str(why), hint) from why
        self._kept.clear()

    def read(self, timeout_s: float) -> bytes:
        """What came, at least one byte. Raises DeadlineExceeded, DeviceGone."""
        if self._kept:
            kept, self._kept = bytes(self._kept), bytearray()
            return kept
        return self._receive(timeout_s)

    def read_line(self, timeout_s: float) -> bytes:
        """The next line without its end (CR, LF or both); empty lines are passed over.

        What came of an unfinished line is kept for the next call. A line over `max_line_bytes` is given in pieces
        of that length. Raises DeadlineExceeded, DeviceGone.
        """
        deadline = time.monotonic() + timeout_s
        while (line := self._line()) is None:
            self._kept += self._receive(max(deadline - time.monotonic(), 0))
        return line

    def _line(self) -> bytes | None:
        while True:
            ends = [place for end in b"\r\n" if (place := self._kept.find(end)) >= 0]
            if not ends or min(ends) > self._options.max_line_bytes:
                break
            line, self._kept = bytes(self._kept[: min(ends)]), self._kept[min(ends) + 1 :]
            if line:
                return line
        if len(self._kept) >= self._options.max_line_bytes:
            length = self._options.max_line_bytes
            piece, self._kept = bytes(self._kept[:length]), self._kept[length:]
            return piece
        return None

    def _receive(self, timeout_s: float) -> bytes:
        port = self._open_port()
        try:
            port.timeout = timeout_s
            first: bytes = port.read(1)
            more: bytes = port.read(min(port.in_waiting, CHUNK_BYTES)) if first else b""
        except (OSError, TypeError, serial.SerialException) as why:  # TypeError: closed by another thread meanwhile
            self.close()
            raise DeviceGone(self.name, f"it was unplugged: {why}", "plug it in again") from why
        if not first:
            raise DeadlineExceeded(self.name, f"nothing came within {timeout_s:g} s")
        return first + more

    def write(self, data: bytes, timeout_s: float) -> None:
        """Sends everything. Raises DeadlineExceeded when the other side takes nothing, DeviceGone."""
        port = self._open_port()
        try:
            port.write_timeout = timeout_s
            port.write(data)
        except serial.SerialTimeoutException as why:
            raise DeadlineExceeded(self.name, f"not everything was sent within {timeout_s:g} s") from why
        except (OSError, TypeError, serial.SerialException) as why:
            self.close()
            raise DeviceGone(self.name, f"it was unplugged: {why}", "plug it in again") from why

    def _open_port(self) -> serial.Serial:
        if self._port is None:
            raise DeviceGone(self.name, "it was not opened", "open it")
        return self._port

    def close(self) -> None:
        """Lets the port go. May be called twice, and on one that never opened."""
        port, self._port = self._port, None
        if port is not None:
            with contextlib.suppress(OSError):
                port.close()

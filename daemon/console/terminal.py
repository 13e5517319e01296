"""The line itself: a serial port or whatever standard input is, in raw mode, and never blocked by it.

Software flow control is off: a stray XOFF of the noise would silence the console for good. A BREAK is ignored. A line
that takes nothing any more loses what is written to it after some seconds, instead of holding the console up.
"""

from __future__ import annotations

import os
import select
import termios
import time
from pathlib import Path
from types import TracebackType
from typing import Self

WRITE_S = 5.0
READ_BYTES = 4096


class HungUp(Exception):
    """Nobody is at the other end any more."""


class Terminal:
    """A context manager: the line's settings are put back at the end."""

    def __init__(self, reading: int, writing: int, *, owned: bool = False) -> None:
        self._reading, self._writing, self._owned = reading, writing, owned
        self._before: list[object] | None = None
        self._stuck = False

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises OSError."""
        handle = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        return cls(handle, handle, owned=True)

    def __enter__(self) -> Self:
        if os.isatty(self._reading):
            self._before = termios.tcgetattr(self._reading)
            settings = termios.tcgetattr(self._reading)
            iflag, oflag, cflag, lflag = settings[:4]
            iflag &= ~(
                termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR | termios.ICRNL
                | termios.IXON | termios.IXOFF | termios.IXANY
            )  # fmt: skip
            iflag |= termios.IGNBRK | termios.IGNPAR
            oflag &= ~termios.OPOST
            cflag = (cflag & ~(termios.PARENB | termios.CSIZE | termios.HUPCL)) | termios.CS8 | termios.CLOCAL
            cflag |= termios.CREAD
            lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
            settings[:4] = [iflag, oflag, cflag, lflag]
            settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._reading, termios.TCSANOW, settings)
            termios.tcflush(self._reading, termios.TCIFLUSH)  # of before: an end of file among it would end the console
        os.set_blocking(self._writing, False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.set_blocking(self._writing, True)
        if self._before is not None:
            try:
                termios.tcsetattr(self._reading, termios.TCSANOW, self._before)  # type: ignore[arg-type]
            except termios.error:
                self._before = None  # the line has gone
        if self._owned:
            os.close(self._reading)

    def read(self, timeout_s: float) -> bytes:
        """What came within the time, b"" when nothing did. Raises HungUp."""
        try:
            ready, _, _ = select.select([self._reading], [], [], max(0.0, timeout_s))
            if not ready:
                return b""
            data = os.read(self._reading, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise HungUp from error
        if not data:
            raise HungUp
        return data

    def write(self, text: str) -> None:
        """Newlines become CR LF; what is not ASCII becomes `?`. Raises HungUp."""
        data = text.replace("\r\n", "\n").replace("\n", "\r\n").encode("ascii", "replace")
        until_s = time.monotonic() + (0.1 if self._stuck else WRITE_S)
        while data:
            try:
                data = data[os.write(self._writing, data) :]
                self._stuck = False
            except BlockingIOError:
                left = until_s - time.monotonic()
                if left <= 0:
                    self._stuck = True
                    return
                select.select([], [self._writing], [], left)
            except OSError as error:
                raise HungUp from error

    def drop_input(self) -> None:
        """Forgets what was typed and not read yet."""
        try:
            while self.read(0.0):
                pass
        except HungUp:
            return

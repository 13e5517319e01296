"""A relay on a serial line that speaks as the LCUS-1 USB relay modules do: four bytes to switch one contact.

A0, the relay's number, 01 for on and 00 for off, and the low byte of the sum of these three. It answers nothing, so
that a cable pulled behind the module goes unnoticed; one pulled before it does not.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from hal.errors import HalError

START = 0xA0
CLOSE_S = 0.5


class RelayGateOptions(BaseModel):
    """`normally`: whether the contact that is switched on lets people through, or holds them."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["relay"] = "relay"
    path: Path
    baud: int = Field(default=9600, ge=300, le=4_000_000)
    relay: int = Field(default=1, ge=1, le=8)
    normally: Literal["shut", "open"] = Field(default="shut", description="how the gate stands while the relay is off")


class RelayGate:
    """Implements `hal.gate.Gate`."""

    def __init__(self, options: RelayGateOptions) -> None:
        from hal.serial_line import SerialLine, SerialOptions  # brings pyserial, which other boxes need not load

        self.name = f"gate relay {options.path}"
        self._line = SerialLine(SerialOptions(path=options.path, baud=options.baud))
        self._relay, self._on_is_open = options.relay, options.normally == "shut"

    def open(self) -> None:
        self._line.open()
        self.shut(CLOSE_S)

    def release(self, timeout_s: float) -> None:
        self._switch(self._on_is_open, timeout_s)

    def shut(self, timeout_s: float) -> None:
        self._switch(not self._on_is_open, timeout_s)

    def close(self) -> None:
        with contextlib.suppress(HalError):
            self.shut(CLOSE_S)
        self._line.close()

    def _switch(self, on: bool, timeout_s: float) -> None:
        said = bytes((START, self._relay, int(on)))
        self._line.write(said + bytes((sum(said) & 0xFF,)), timeout_s)

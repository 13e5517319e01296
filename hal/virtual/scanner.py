"""The virtual scanner: a code typed into the page's field, or sent by a script."""

from __future__ import annotations

import time
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hal.scanner import Scan
from hal.virtual.input_device import VirtualInput

MAX_WAITING = 64


class VirtualScannerOptions(BaseModel):
    """The scanner of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["virtual"] = "virtual"


class VirtualScanner(VirtualInput[Scan]):
    """Implements `hal.scanner.Scanner`; `scan` acts on the hardware's side."""

    def __init__(self) -> None:
        super().__init__("virtual scanner", MAX_WAITING)

    def scan(self, text: str) -> bool:
        """Hold a code before the scanner. False when nobody reads it."""
        return self.put(Scan(text, time.monotonic()))

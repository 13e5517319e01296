"""The virtual printer: receipts come out on the page. Made for plain text in UTF-8, as no page speaks ESC/POS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hal.errors import DeviceGone
from hal.printer import Paper


class VirtualPrinterOptions(BaseModel):
    """The printer of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["virtual"] = "virtual"


class VirtualPrinter:
    """Implements `hal.printer.Printer`; `take_paper` and `unplug` act on the hardware's side."""

    name = "virtual printer"

    def __init__(self, publish: Callable[[dict[str, object]], None]) -> None:
        self._publish = publish
        self._opened = False
        self.fault = "none"
        self.newest: dict[str, object] | None = None  # receipt, for a page that is opened later

    def make_fault(self, state: str) -> None:
        """`none`, `unplugged` or `no_paper`."""
        self.fault = state
        if state == "unplugged":
            self.close()

    def open(self) -> None:
        """Raises DeviceGone while unplugged."""
        if self.fault == "unplugged":
            raise DeviceGone(self.name, "it is unplugged", "plug it in on the virtual box's page")
        self._opened = True

    def paper(self, timeout_s: float) -> Paper:
        """Raises DeviceGone."""
        self._require()
        return Paper.OUT if self.fault == "no_paper" else Paper.OK

    def print(self, data: bytes, timeout_s: float) -> None:
        """Raises DeviceGone."""
        self._require()
        self.newest = {"receipt": {"text": data.decode("utf-8", "replace")}}
        self._publish(self.newest)

    def close(self) -> None:
        """May be called twice."""
        self._opened = False

    def _require(self) -> None:
        if not self._opened or self.fault == "unplugged":
            raise DeviceGone(self.name, "it is unplugged or was not opened", "open it again")

"""The virtual gate: the page shows whether it is open, and its cable can be pulled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hal.errors import DeviceGone

Publish = Callable[[dict[str, object]], None]


class VirtualGateOptions(BaseModel):
    """The gate of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["virtual"] = "virtual"


class VirtualGate:
    """Implements `hal.gate.Gate`. Safe from any thread. `there` once a box has taken it."""

    name = "virtual gate"

    def __init__(self, publish: Publish = lambda message: None) -> None:
        self._publish = publish
        self.there = self.is_open = self._unplugged = False

    @property
    def fault(self) -> str:
        return "unplugged" if self._unplugged else "none"

    def unplug(self, unplugged: bool) -> None:
        """Pull its cable, or plug it in; a gate without power is shut."""
        self._unplugged = unplugged
        if unplugged:
            self._move(False)

    def open(self) -> None:
        self._check()
        self.there = True
        self._move(False)

    def release(self, timeout_s: float) -> None:
        self._check()
        self._move(True)

    def shut(self, timeout_s: float) -> None:
        self._check()
        self._move(False)

    def close(self) -> None:
        self._move(False)

    def message(self) -> dict[str, object]:
        """What the page is told."""
        return {"gate": {"there": self.there, "open": self.is_open}}

    def _check(self) -> None:
        if self._unplugged:
            raise DeviceGone(self.name, "its cable was pulled", "plug it in on the page")

    def _move(self, is_open: bool) -> None:
        self.is_open = is_open
        self._publish(self.message())

"""A lamp tells from across the counter what the box is doing."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class LampColour(StrEnum):
    """The colours every lamp can show; a driver with fewer takes the nearest."""

    OFF = "off"
    WHITE = "white"
    GREEN = "green"
    RED = "red"
    AMBER = "amber"
    BLUE = "blue"


class Lamp(Protocol):
    """What every lamp driver promises."""

    @property
    def name(self) -> str:
        """How the lamp is called in logs and conditions."""

    def open(self) -> None:
        """Take the lamp; does nothing on an open one. Raises DeviceGone."""

    def set(self, colour: LampColour, blink: bool = False) -> None:
        """Show the colour until the next call. Raises DeviceGone."""

    def close(self) -> None:
        """Release the lamp. May be called twice, and on one that never opened."""

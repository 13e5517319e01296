"""A keypad gives key presses; a held key is one press."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Key(StrEnum):
    """The keys a face-pay box has. Digits carry their own character."""

    D0 = "0"
    D1 = "1"
    D2 = "2"
    D3 = "3"
    D4 = "4"
    D5 = "5"
    D6 = "6"
    D7 = "7"
    D8 = "8"
    D9 = "9"
    OK = "ok"
    CANCEL = "cancel"
    BACK = "back"
    DOT = "dot"
    MENU = "menu"


@dataclass(frozen=True, slots=True)
class KeyPress:
    """One press; `at_s` is `time.monotonic()` when it happened."""

    key: Key
    at_s: float


class Keypad(Protocol):
    """What every keypad driver promises."""

    @property
    def name(self) -> str:
        """How the keypad is called in logs and conditions."""

    def open(self) -> None:
        """Take the keypad for us alone; does nothing on an open one. Raises HalError."""

    def read(self, timeout_s: float) -> KeyPress | None:
        """The next press in the order they happened, or None when none came within `timeout_s`. Raises DeviceGone."""

    def close(self) -> None:
        """Release the keypad. May be called twice, and on one that never opened."""

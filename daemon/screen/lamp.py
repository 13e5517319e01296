"""The lamp's colour for each view: it says across the room what the screen says up close."""

from __future__ import annotations

from typing import Literal

from daemon.screen.views import (
    Approved,
    Checking,
    Declined,
    EnrolDone,
    EnrolLook,
    GateOpen,
    GateReady,
    GateShut,
    Look,
    Smile,
    Trouble,
    Verified,
    View,
)

Lamp = Literal["white", "green", "red", "amber", "off"]


def lamp(view: View) -> Lamp:
    """White lights the face, green means paid or done, red means not paid, amber means wait or out of order."""
    match view:
        case Look() | EnrolLook() | Smile() | GateReady():
            return "white"
        case Approved() | EnrolDone() | Verified() | GateOpen():
            return "green"
        case Declined() | GateShut():
            return "red"
        case Checking() | Trouble():
            return "amber"
        case _:
            return "off"

"""What a client may say to the virtual box. Pure: the text of one JSON object in, a typed message or BadMessage out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Literal

from hal.errors import HalError
from hal.keypad import Key

MAX_MESSAGE_BYTES = 1024
EXAMPLES = (
    '{"key":"1"}, {"key":"ok"}, {"camera":"nobody"}, {"scan":"6901234567892"}, {"fault":"camera","state":"unplugged"}'
)
FAULTS: dict[str, tuple[str, ...]] = {
    "camera": ("none", "unplugged", "frozen"),
    "keypad": ("none", "unplugged"),
    "display": ("none", "unplugged"),
    "scanner": ("none", "unplugged"),
    "printer": ("none", "unplugged", "no_paper"),
    "gate": ("none", "unplugged"),
}


class BadMessage(HalError):
    """A client's message is none that the box knows."""


@dataclass(frozen=True, slots=True)
class PressKey:
    """A key of the keypad was pressed."""

    key: Key


@dataclass(frozen=True, slots=True)
class ScanCode:
    """A barcode or QR code was held before the scanner."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChoosePicture:
    """Another picture is to stand in front of the camera."""

    name: str


@dataclass(frozen=True, slots=True)
class MakeFault:
    """A cable is pulled or plugged in, or the sensor hangs."""

    device: Literal["camera", "keypad", "display", "scanner", "printer", "gate"]
    state: str


Message = PressKey | ScanCode | ChoosePicture | MakeFault


def parse(text: str) -> Message:
    """The message in `text`. Raises BadMessage, which says what would have been right."""
    if len(text) > MAX_MESSAGE_BYTES:
        raise _bad(f"the message is longer than {MAX_MESSAGE_BYTES} characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as why:
        raise _bad(f"the message is not JSON: {why}") from why
    match value:
        case {"key": str(key), **rest} if not rest:
            if key not in {known.value for known in Key}:
                raise _bad("there is no such key", "keys: " + " ".join(Key))
            return PressKey(Key(key))
        case {"scan": str(text), **rest} if not rest:
            return ScanCode(text)
        case {"camera": str(name), **rest} if not rest:
            return ChoosePicture(name)
        case {
            "fault": "camera" | "keypad" | "display" | "scanner" | "printer" | "gate" as device,
            "state": str(state), **rest,
        } if not rest:  # fmt: skip
            if state not in FAULTS[device]:
                raise _bad(f"the {device} cannot be {state!r}", "states: " + " ".join(FAULTS[device]))
            return MakeFault(device, state)
    raise _bad("the message is none that the box knows")


def _bad(why: str, hint: str = f"such as {EXAMPLES}") -> BadMessage:
    return BadMessage("virtual box", why, hint)

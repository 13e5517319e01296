"""The virtual lamp and voice: the page glows, and shows (or speaks) what is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from hal.lamp import LampColour

Publish = Callable[[dict[str, object]], None]


class VirtualLampOptions(BaseModel):
    """The lamp of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["virtual"] = "virtual"


class VirtualVoiceOptions(BaseModel):
    """The voice of the virtual box."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    type: Literal["virtual"] = "virtual"


class VirtualLamp:
    """Implements `hal.lamp.Lamp`. Safe from any thread."""

    name = "virtual lamp"

    def __init__(self, publish: Publish = lambda message: None) -> None:
        self._publish = publish
        self.colour = LampColour.OFF
        self.blink = False

    def open(self) -> None:
        """Nothing to take."""

    def set(self, colour: LampColour, blink: bool = False) -> None:
        """Never fails."""
        if (colour, blink) != (self.colour, self.blink):
            self.colour, self.blink = colour, blink
            self._publish(self.message())

    def close(self) -> None:
        """A lamp without power is dark."""
        self.set(LampColour.OFF)

    def message(self) -> dict[str, object]:
        """What the page is told."""
        return {"lamp": {"colour": self.colour.value, "blink": self.blink}}


class VirtualVoice:
    """Implements `hal.voice.Voice`. Safe from any thread."""

    name = "virtual voice"

    def __init__(self, publish: Publish = lambda message: None) -> None:
        self._publish = publish
        self.said: tuple[str, str] | None = None

    def open(self) -> None:
        """Nothing to take."""

    def say(self, text: str, locale: str) -> None:
        """Never fails."""
        self.said = (text, locale)
        self._publish({"voice": {"text": text, "locale": locale}})

    def close(self) -> None:
        """Nothing to release."""

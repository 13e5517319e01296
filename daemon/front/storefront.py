"""What people see and hear: the view goes to the painter, its lamp and voice line to theirs, each only on a change."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from daemon.front.painter import Painter
from daemon.logs import note
from daemon.screen import lamp as lamps
from daemon.screen import views, voice
from daemon.uplink.clock import TrustedClock
from hal.errors import HalError
from hal.lamp import Lamp, LampColour
from hal.voice import Voice

log = logging.getLogger("daemon.front.storefront")

COUNTING = (
    views.Look, views.EnterPin, views.EnterPhone, views.EnterCard, views.Choose, views.Review, views.ShowCode,
    views.ScanCode, views.Smile,
)  # fmt: skip


class Storefront:
    """Not thread-safe: the main loop's."""

    def __init__(
        self, *, painter: Painter, lamp: Lamp, voice: Voice, clock: TrustedClock, shop: str, box_id: str, locale: str
    ) -> None:
        self._painter, self._lamp, self._voice, self._clock = painter, lamp, voice, clock
        self._shop, self._box_id, self._locale = shop, box_id, locale
        self._view: views.View | None = None

    def adopt(self, shop: str, locale: str) -> None:
        """From the next view on."""
        self._shop, self._locale = shop, locale

    @property
    def counts_down(self) -> bool:
        """Whether the view shows seconds that pass."""
        return isinstance(self._view, COUNTING)

    @property
    def view(self) -> views.View | None:
        """What stands there now."""
        return self._view

    def show(self, view_of: Callable[[views.Idle], views.View], conditions: tuple[str, ...]) -> None:
        """`view_of(idle)` says what is to be seen; `conditions` are what the idle screen mentions."""
        view = view_of(views.Idle(self._shop, self._clock_text(), self._box_id[-6:], conditions))
        if view == self._view:
            return
        before, self._view = self._view, view
        if type(before) is not type(view):
            note(log, "screen", view=type(view).__name__)
        self._painter.show(view)
        try:
            if before is None or lamps.lamp(before) != lamps.lamp(view):
                self._lamp.set(LampColour(lamps.lamp(view)))
            spoken = voice.on_change(before, view, self._locale)
            if spoken:
                self._voice.say(spoken, self._locale)
        except HalError as error:
            note(log, "lamp_or_voice_failed", logging.WARNING, why=error.why)

    def _clock_text(self) -> str | None:
        return time.strftime("%H:%M", time.localtime(self._clock.now())) if self._clock.trusted else None

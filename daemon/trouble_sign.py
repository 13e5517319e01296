"""The one screen of a box whose main loop does not run: what is wrong, by name, for as long as it takes."""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Self

from daemon.config.model import Config
from daemon.health.standing_faults import leave_fault
from daemon.logs import note
from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.theme import DAY
from daemon.screen.views import Trouble
from hal.display import Display
from hal.drivers import Rig, open_display
from hal.errors import HalError
from mqtt.errors import MqttError
from mqtt.identity import box_id_from_key, load_private_key

if TYPE_CHECKING:
    from hal.virtual.box import VirtualBox

log = logging.getLogger("daemon.trouble_sign")


class TroubleSign:
    """`keep_up` draws it, or tries again: a display may come later than the daemon. The picture outlives the sign."""

    def __init__(self, config: Config, condition: str) -> None:
        self._config, self._condition = config, condition
        self._parts = ExitStack()
        self._rig: Rig | None = None
        self._drawn = self._said = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self._parts.close()

    def keep_up(self) -> None:
        """Raises nothing: without a display there is still the console."""
        if self._drawn:
            return
        try:
            self._rig = self._rig or Rig(_virtual_box(self._config, self._parts))
            display = open_display(self._config.devices.display, self._rig)
            self._parts.callback(display.close)
            self._draw(display)
            self._drawn = True
        except HalError as error:
            if not self._said:
                self._said = True
                note(log, "no_display", logging.ERROR, why=error.why, hint=error.hint)
                leave_fault("no_display", str(error))

    def _draw(self, display: Display) -> None:
        """Raises HalError."""
        box_id = ""
        with suppress(MqttError):
            box_id = box_id_from_key(load_private_key(self._config.box.state / "box.key").public_key())
        view = Trouble(self._condition, None, box_id)
        drawn = scene(view, self._config.box.locale, DAY, display.size, 0.0)
        display.show(Renderer(display.size).render(drawn, None))


def _virtual_box(config: Config, parts: ExitStack) -> VirtualBox | None:
    if config.virtual is None:
        return None
    from hal.virtual.box import VirtualBox  # brings a web server along, which a real box need not load

    return parts.enter_context(VirtualBox.from_options(config.virtual))

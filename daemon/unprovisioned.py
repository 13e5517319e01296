"""A box that belongs to nobody yet: it stays up, says so on its display, and goes on once it is provisioned."""

from __future__ import annotations

import logging
import signal
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.config.load import parse, read_values
from daemon.config.model import Config
from daemon.logs import note
from daemon.notify import Notify
from daemon.screen.render import Renderer
from daemon.screen.scene import scene
from daemon.screen.theme import DAY
from daemon.screen.views import Condition, Trouble
from hal.display import Display
from hal.drivers import Rig, open_display
from hal.errors import HalError
from mqtt.errors import MqttError
from mqtt.identity import box_id_from_key, load_private_key

if TYPE_CHECKING:
    from hal.virtual.box import VirtualBox

log = logging.getLogger("daemon.unprovisioned")

LOOK_EVERY_S = 1.0


def wait_until_provisioned(path: Path) -> bool:
    """Returns at once for a box that knows its fleet. False when it was asked to stop before it came to know one.

    Raises:
        ConfigRefused: box.toml has errors beside the fleet that is missing.
    """
    values = read_values(path)
    if "fleet" in values:
        return True
    config = parse({**values, "fleet": {"key": "none"}}, str(path), path.resolve().parent)
    note(log, "not_provisioned", logging.WARNING, why="no fleet is known", hint="kingfisher console: provision")
    notify, stop = Notify.from_environment(), threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with ExitStack() as parts, suppress(HalError):  # without a display there is still the console
            _show(config, parts)
            return _wait(path, notify, stop)
        return _wait(path, notify, stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(path: Path, notify: Notify, stop: threading.Event) -> bool:
    notify.ready()
    notify.status("not provisioned: waiting for a technician")
    every_s = min(LOOK_EVERY_S, notify.ping_every_s or LOOK_EVERY_S)
    while not stop.wait(every_s):
        notify.ping()
        if "fleet" in read_values(path):
            note(log, "provisioned")
            return True
    notify.stopping()
    return False


def _show(config: Config, parts: ExitStack) -> None:
    """Raises HalError."""
    display: Display = open_display(config.devices.display, Rig(_virtual_box(config, parts)))
    parts.callback(display.close)
    box_id = ""
    with suppress(MqttError):
        box_id = box_id_from_key(load_private_key(config.box.state / "box.key").public_key())
    drawn = scene(Trouble(Condition.NOT_PROVISIONED, None, box_id), config.box.locale, DAY, display.size, 0.0)
    display.show(Renderer(display.size).render(drawn, None))


def _virtual_box(config: Config, parts: ExitStack) -> VirtualBox | None:
    if config.virtual is None:
        return None
    from hal.virtual.box import VirtualBox  # brings a web server along, which a real box need not load

    return parts.enter_context(VirtualBox.from_options(config.virtual))

"""A box that belongs to nobody yet: it stays up, says so on its display, and goes on once it is provisioned."""

from __future__ import annotations

import logging
import signal
import threading
from pathlib import Path

from daemon.config.load import parse, read_values
from daemon.health.standing_faults import forget_faults, standing_faults
from daemon.logs import note
from daemon.notify import Notify
from daemon.screen.views import Condition
from daemon.trouble_sign import TroubleSign

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
    forget_faults()
    faults = standing_faults()
    for name, why in faults.items():
        note(log, "condition", logging.WARNING, name=name, why=why)
    # A ruined card comes first: it is why the box knows nothing, and provisioning it would be in vain.
    condition = Condition.NO_DATA if Condition.NO_DATA in faults else Condition.NOT_PROVISIONED
    notify, stop = Notify.from_environment(), threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with TroubleSign(config, condition) as sign:
            return _wait(path, sign, notify, stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(path: Path, sign: TroubleSign, notify: Notify, stop: threading.Event) -> bool:
    sign.keep_up()
    notify.ready()
    notify.status("not provisioned: waiting for a technician")
    every_s = min(LOOK_EVERY_S, notify.ping_every_s or LOOK_EVERY_S)
    while not stop.wait(every_s):
        notify.ping()
        sign.keep_up()
        if "fleet" in read_values(path):
            note(log, "provisioned")
            return True
    notify.stopping()
    return False

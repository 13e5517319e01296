"""What the console can find out about its box without the daemon: read anew whenever it is asked, for it may change.

It must find something even when much is broken, and it fails closed: only a box that was certainly never provisioned
lets anybody in without a log-in.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from daemon.books.box_db import open_reader
from daemon.config.load import PROVISIONED_FILE, ConfigRefused, locate_state, read_values
from daemon.errors import DaemonError
from daemon.uplink.clock import RELEASED_AT, load_floor
from mqtt.errors import MqttError
from mqtt.identity import box_id_from_key, load_private_key, load_public_key
from mqtt.presence import is_absent

GENERATIONS = "provisioned"  # folder of the state: one folder for each provisioning, the newest counts
FLEET_KEY_FILE, PIN_FILE = "fleet.pem", "console-pin"
USUAL_STATE = Path("/var/lib/kingfisher")


@dataclass(frozen=True)
class Place:
    """`config_error` is why the settings can't be read, None when they can. `open`: nobody needs to log in, because
    there is nobody yet whom the box could believe."""

    config_path: Path
    state: Path
    values: dict[str, Any]
    config_error: str | None
    box_id: str | None
    fleet_key: Ed25519PublicKey | None
    pin_hash: str | None
    open: bool

    @property
    def name(self) -> str:
        return self.box_id or "(no key yet)"


def look_around(config_path: Path) -> Place:
    """Raises nothing."""
    values: dict[str, Any] = {}
    error: str | None = None
    state = USUAL_STATE
    try:
        state = locate_state(config_path)
        values = read_values(config_path)
    except ConfigRefused as refused:
        error = "; ".join(refused.errors)
    fleet_file, pin_file = _files(values, config_path, state)
    box_id = None
    with suppress(MqttError, OSError):
        box_id = box_id_from_key(load_private_key(state / "box.key").public_key())
    fleet_key = None
    with suppress(MqttError, OSError):
        fleet_key = load_public_key(fleet_file) if fleet_file else None
    pin_hash = None
    with suppress(OSError, ValueError):
        pin_hash = pin_file.read_text(encoding="ascii").strip() if pin_file else None
    is_open = error is None and "fleet" not in values and _never_provisioned(state)
    return Place(config_path, state, values, error, box_id, fleet_key, pin_hash, is_open)


def trusted_now(state: Path) -> int | None:
    """Unix seconds, or None when the clock stands before a time that is certainly past."""
    floor = RELEASED_AT
    with suppress(DaemonError, sqlite3.Error), closing(open_reader(state / "box.db")) as reader:
        floor = max(floor, load_floor(reader))
    now = int(time.time())
    return now if now >= floor else None


def _never_provisioned(state: Path) -> bool:
    """False where that can't be told: a card that fails must not open the console to everybody."""
    with suppress(OSError):
        return is_absent(state / PROVISIONED_FILE) and is_absent(state / GENERATIONS)
    return False


def _files(values: dict[str, Any], config_path: Path, state: Path) -> tuple[Path | None, Path | None]:
    """Where the fleet's key and the PIN's hash lie; with a damaged config, those of the newest provisioning."""
    folder = config_path.resolve().parent
    fleet, console = values.get("fleet"), values.get("console")
    key = fleet.get("key") if isinstance(fleet, dict) else None
    pin = console.get("pin") if isinstance(console, dict) else None
    if isinstance(key, str):
        return folder / key, folder / pin if isinstance(pin, str) else None
    with suppress(OSError):
        generations = sorted((state / GENERATIONS).iterdir(), key=lambda path: path.stat().st_mtime)
        if generations:
            return generations[-1] / FLEET_KEY_FILE, generations[-1] / PIN_FILE
    return None, None

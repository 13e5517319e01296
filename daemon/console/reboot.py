"""The wish to reboot. Neither the daemon nor the console may reboot the machine: they leave a file, and a small path
unit of systemd (`kingfisher-reboot.path`) does it.
"""

from __future__ import annotations

import os
from pathlib import Path

from daemon.console.errors import Refused

FILE_NAME = "reboot"


def ask_for_reboot() -> Path:
    """Leaves the file. Raises Refused where there is no such unit to see it."""
    # systemd names the folder; without it, where the unit looks
    path = Path(os.environ.get("RUNTIME_DIRECTORY") or "/run/kingfisher") / FILE_NAME
    try:
        path.touch(mode=0o600)
    except OSError as error:
        hint = "this needs systemd's kingfisher-reboot.path; pulling the plug is safe at any time"
        raise Refused("no_reboot_unit", f"{path}: {error.strerror}", hint) from error
    return path

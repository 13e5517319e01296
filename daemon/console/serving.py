"""The console from the open line to the line that is gone."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path

from daemon.console.errors import Refused
from daemon.console.guest_book import GuestBook
from daemon.console.place import look_around
from daemon.console.provisioning import Provisioner
from daemon.console.session import converse
from daemon.console.terminal import HungUp, Terminal
from daemon.logs import note, set_up

log = logging.getLogger("daemon.console")


def serve(config: Path, tty: Path | None) -> int:
    """On `tty`, or on standard input and output. The exit status, once nobody is at the other end any more."""
    set_up("INFO" if tty or not sys.stderr.isatty() else "ERROR")
    place = look_around(config)
    if place.open:
        with suppress(Refused):  # said by `provision` when it matters
            Provisioner(config, place.state).box_id()  # so that the banner can name the box
    GuestBook(place.state).prepare()
    try:
        terminal = Terminal.open(tty) if tty else Terminal(sys.stdin.fileno(), sys.stdout.fileno())
    except OSError as error:
        print(f"kingfisher: {tty}: {error.strerror}", file=sys.stderr)
        return 1
    try:
        with terminal:
            converse(terminal, lambda: look_around(config))
    except HungUp:
        note(log, "line_gone")
    return 0

"""`kingfisher console`: the technician's console, on a serial line in place of a getty, or on this terminal."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.console.errors import Refused
from daemon.console.place import look_around
from daemon.console.provisioning import Provisioner
from daemon.console.session import converse
from daemon.console.terminal import HungUp, Terminal
from daemon.logs import note, set_up

log = logging.getLogger("daemon.console")


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("console", help="the technician's console on a line")
    parser.add_argument("--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="default: %(default)s")
    parser.add_argument("--tty", type=Path, metavar="DEVICE", help="default: standard input and output")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    set_up("INFO" if options.tty or not sys.stderr.isatty() else "ERROR")
    place = look_around(options.config)
    if place.open:
        with suppress(Refused):  # said by `provision` when it matters
            Provisioner(options.config, place.state).box_id()  # so that the banner can name the box
    try:
        terminal = Terminal.open(options.tty) if options.tty else Terminal(sys.stdin.fileno(), sys.stdout.fileno())
    except OSError as error:
        print(f"kingfisher: {options.tty}: {error.strerror}", file=sys.stderr)
        return 1
    try:
        with terminal:
            converse(terminal, lambda: look_around(options.config))
    except HungUp:
        note(log, "line_gone")
    return 0

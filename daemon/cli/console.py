"""`kingfisher console`: the technician's console, on a serial line in place of a getty, or on this terminal."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from daemon.console.patience import wait_for_somebody

LONGEST_WAIT_S = 60.0


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("console", help="the technician's console on a line")
    parser.add_argument("--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="default: %(default)s")
    parser.add_argument("--tty", type=Path, metavar="DEVICE", help="default: standard input and output")
    parser.add_argument(
        "--after", type=Path, metavar="FILE",
        help="wait until it is there, somebody presses Enter, or a minute is over: so that the daemon starts first",
    )  # fmt: skip
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    if options.after is not None:
        wait_for_somebody(sys.stdin.fileno(), options.after, LONGEST_WAIT_S)
    from daemon.console.serving import serve  # not before: loading it is what the daemon must not wait for

    return serve(options.config, options.tty)

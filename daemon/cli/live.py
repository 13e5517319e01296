"""`kingfisher status`, `net`, `logs`, `camera`, `refund` and the like: asked of the running daemon, over its socket."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json
from daemon.config.load import locate_state
from daemon.console import pages
from daemon.console.wire import ControlClient

HELP = {
    "status": "what the box does, its link, conditions, versions",
    "net": "addresses, route, and whether the broker answers",
    "logs": "the daemon's last log lines",
    "camera": "a coarse picture in characters; refused while a payer may be there",
    "keypad": "shows the keys that are pressed, for some seconds",
    "display": "shows a test card for some seconds",
    "refund": "pays an approved order back, whole",
    "restart": "begin anew with the same settings, read again",
    "reboot": "reboot the machine",
}


def add(subparsers: Any) -> None:
    for name, text in HELP.items():
        parser = subparsers.add_parser(name, help=text, description=text)
        parser.add_argument(
            "--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="default: %(default)s"
        )
        if name == "refund":
            parser.add_argument("order", metavar="ORDER")
        if name == "logs":
            parser.add_argument("--last", type=int, default=50, metavar="N", help="default: %(default)s")
        if name in ("keypad", "display"):
            parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="default: %(default)g")
        if name in ("restart", "reboot"):
            parser.add_argument("--force", action="store_true", help="even while an order is open")
        add_json(parser)
        parser.set_defaults(call=call, live=name)


def call(options: argparse.Namespace) -> int:
    command = options.live
    args = {name: getattr(options, name) for name in ("last", "seconds", "force", "order") if hasattr(options, name)}
    client = ControlClient(locate_state(options.config), timeout_s=30 + args.get("seconds", 0))
    for over, said in client.follow(command, **args):
        if options.json:
            print_json(said)
        elif over:
            print("\n".join(pages.end(command, said)))
        else:
            print(pages.printable(pages.part(command, said)))
        sys.stdout.flush()
    return 0

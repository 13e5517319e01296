"""`kingfisher journal show|verify`: what the box did, and that nobody changed it afterwards."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from daemon import journal
from daemon.box_db import open_reader
from daemon.cli.output import add_json, print_json


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("journal", help="show or verify the journal of a box")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (("show", "the last entries"), ("verify", "walk the whole chain")):
        action = actions.add_parser(name, help=text)
        action.add_argument("--db", type=Path, default=Path("/var/lib/kingfisher/box.db"), help="default: %(default)s")
        add_json(action)
        action.set_defaults(call=show if name == "show" else verify)
        if name == "show":
            action.add_argument("--last", type=int, default=20, help="default: %(default)s")


def show(options: argparse.Namespace) -> int:
    reader = open_reader(options.db)
    entries = list(journal.entries(reader, options.last))
    if options.json:
        print_json(
            [{"seq": e.seq, "at": e.at, "name": e.name, "facts": dict(e.facts), "hash": e.hash} for e in entries]
        )
        return 0
    for entry in entries:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at))
        facts = " ".join(f"{key}={value}" for key, value in entry.facts.items() if value != "")
        print(f"{entry.seq:6} {at} {entry.name:18} {facts}")
    return 0


def verify(options: argparse.Namespace) -> int:
    count, head = journal.verify(open_reader(options.db))
    if options.json:
        print_json({"ok": True, "entries": count, "head": head})
    else:
        print(f"{count} entries, unbroken; head {head}")
    return 0

"""`kingfisher-fleet roster`: its grammar. `fleet.boxes.roster_actions` does it."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds these commands to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    roster = command(
        "roster",
        "People whom you enrolled elsewhere, sealed for one box.",
        "  kingfisher-fleet roster make --box counter-1 --people staff.jsonl --to counter-1.roster\n"
        "  kingfisher-fleet roster key",
    )
    within = roster.add_subparsers(dest="roster_command", required=True, metavar="make|key")
    make = command(
        "make",
        "Seal the people of a file of JSON lines for one box, which takes them in with `kingfisher store import`.",
        "  kingfisher-fleet roster make --box counter-1 --people staff.jsonl --to counter-1.roster",
        within,
    )
    make.add_argument("--box", help="id or name; may be left out where there is one box")
    make.add_argument("--people", type=Path, required=True, metavar="FILE", help="one person a line; - for stdin")
    make.add_argument("--to", type=Path, required=True, metavar="FILE", help="written whole or not at all")
    make.add_argument("--box-key", type=_key, metavar="HEX", help="where the box has not said its key yet")
    make.add_argument("--balance", metavar="AMOUNT", help="opens an account with so much for whoever has none")
    make.add_argument("--currency", default="CNY", help="of --balance, ISO 4217 (default: %(default)s)")
    make.add_argument(
        "--without-tenant-key", action="store_true", help="for a box that has people under a key of its own"
    )
    make.set_defaults(act=of("boxes.roster_actions", "make"))
    key = command("key", "Whom the box is to take rosters from.", "  kingfisher-fleet roster key", within)
    key.set_defaults(act=of("boxes.roster_actions", "key"))


def _key(text: str) -> bytes:
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise argparse.ArgumentTypeError("a box's key is 64 hex digits, as its `kingfisher store status` shows it")
    return found

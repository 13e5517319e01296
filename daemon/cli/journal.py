"""`kingfisher journal show|verify|export|attempts`: what the box did, and that nobody changed it afterwards."""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

from daemon.books import journal
from daemon.books.box_db import open_reader
from daemon.cli.output import add_json, print_json
from daemon.console.pages import printable

EXAMPLES = """examples:
  kingfisher journal show --last 50
  kingfisher journal verify                                  the chain, and every checkpoint that the box signed
  kingfisher journal verify --checkpoint 412:5b5b...         and one that the fleet holds (kingfisher-fleet audit)
  kingfisher journal export --out journal.jsonl              signed, to be checked elsewhere
  kingfisher journal attempts --day 2026-11-21 --out day.jsonl   for `kingfisher-fleet reconcile --with`
  kingfisher journal verify --file journal.jsonl --box-key box_public.pem [--checkpoint ...]
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "journal", help="show, verify or export the journal of a box", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    calls = {
        "show": (show, "the last entries"),
        "verify": (verify, "walk the whole chain and hold it against the checkpoints"),
        "export": (export, "all of it as JSON lines, signed by the box"),
        "attempts": (attempts, "a day's payments, signed, to be held against the fleet's ledger"),
    }
    for name, (call, text) in calls.items():
        action = actions.add_parser(name, help=text)
        action.add_argument("--db", type=Path, default=Path("/var/lib/kingfisher/box.db"), help="default: %(default)s")
        add_json(action)
        action.set_defaults(call=call)
        match name:
            case "show":
                action.add_argument("--last", type=int, default=20, help="default: %(default)s")
            case "verify":
                action.add_argument(
                    "--checkpoint", metavar="SEQ:HASH", type=_checkpoint, help="one that the fleet holds"
                )
                action.add_argument("--file", type=Path, help="an export instead of a box.db")
                action.add_argument(
                    "--box-key",
                    type=Path,
                    metavar="PEM",
                    help="the box's (default: from box.key beside the database)",
                )
            case "attempts":
                action.add_argument("--day", required=True, metavar="YYYY-MM-DD")
                action.add_argument(
                    "--utc-offset",
                    type=int,
                    default=480,
                    metavar="MIN",
                    help="of the day's clock (default: %(default)s)",
                )
                action.add_argument("--out", type=Path, required=True, metavar="FILE")
                action.add_argument("--key", type=Path, help="the box's key (default: box.key beside the database)")
            case "export":
                action.add_argument(
                    "--out", type=Path, required=True, metavar="FILE", help="written whole or not at all"
                )
                action.add_argument("--key", type=Path, help="the box's key (default: box.key beside the database)")
                action.add_argument(
                    "--fleet-key", type=Path, required=True, metavar="PEM", help="for whom it is signed"
                )
                action.add_argument("--first", type=int, default=1, metavar="SEQ", help="default: %(default)s")


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
        print(printable(f"{entry.seq:6} {at} {entry.name:18} {facts}"))
    return 0


def verify(options: argparse.Namespace) -> int:
    if options.file is not None:
        return _verify_file(options)
    from daemon.books import checkpoints

    reader = open_reader(options.db)
    count, head = journal.verify(reader)
    begin = journal.anchor(reader)
    if begin is not None:
        _believe_anchor(options, begin)
    try:
        signed = checkpoints.compare_own(reader)
    except sqlite3.OperationalError:  # a file of a release that made none
        signed = 0
    if options.checkpoint is not None:
        checkpoints.compare(reader, *options.checkpoint)
    if options.json:
        print_json({
            "ok": True, "entries": count, "head": head, "checkpoints": signed,
            "from": 1 if begin is None else begin.seq + 1,
        })  # fmt: skip
        return 0
    since = "" if begin is None else f" since entry {begin.seq + 1} (those before it were pruned, as the box signed)"
    print(f"{count} entries, unbroken{since}; {signed} signed checkpoints hold; head {head}")
    return 0


def _believe_anchor(options: argparse.Namespace, begin: journal.Anchor) -> None:
    """By the box's public key, or by the private one that lies beside the database. Raises JournalBroken, MqttError."""
    from daemon.books import checkpoints
    from mqtt.envelope import read_unverified
    from mqtt.identity import load_private_key, load_public_key

    if options.box_key is not None:
        key = load_public_key(options.box_key)
    else:
        key = load_private_key(options.db.parent / "box.key").public_key()
    to = read_unverified(begin.token.encode("ascii", "replace")).get("aud")  # whichever fleet it was told
    checkpoints.believe_anchor(begin, key, str(to))


def _verify_file(options: argparse.Namespace) -> int:
    from daemon.books import journal_export
    from mqtt.identity import load_public_key

    if options.box_key is None:
        print("kingfisher journal verify: --file needs --box-key, the box's public key", file=sys.stderr)
        return 2
    checked = journal_export.check(options.file, load_public_key(options.box_key), options.checkpoint)
    if options.json:
        print_json({"ok": True, "box": checked.box, "from": checked.first, "to": checked.last, "head": checked.head})
    else:
        print(f"entries {checked.first} to {checked.last} of {checked.box}, unbroken and signed; head {checked.head}")
    return 0


def export(options: argparse.Namespace) -> int:
    from daemon.books import journal_export
    from mqtt.envelope import Signer
    from mqtt.identity import box_id_from_key, fleet_id_from_key, load_private_key, load_public_key, write_file

    key = load_private_key(options.key or options.db.parent / "box.key")
    box, fleet = box_id_from_key(key.public_key()), fleet_id_from_key(load_public_key(options.fleet_key))
    signer = Signer(key, box, box)
    lines = list(journal_export.lines(open_reader(options.db), signer, fleet, int(time.time()), options.first))
    write_file(options.out, ("\n".join(lines) + "\n").encode(), mode=0o640)
    facts = {"file": os.fspath(options.out), "box": box, "entries": len(lines) - 2}
    if options.json:
        print_json(facts)
    else:
        print(f"{facts['entries']} entries of {box} in {options.out}")
    return 0


def attempts(options: argparse.Namespace) -> int:
    from daemon.books import attempts_export
    from mqtt.identity import load_private_key, write_file

    key = load_private_key(options.key or options.db.parent / "box.key")
    try:
        data, count = attempts_export.export(open_reader(options.db), key, options.day, options.utc_offset)
    except ValueError:
        print(f"kingfisher journal: {options.day!r} is not a day: write it as 2026-11-21", file=sys.stderr)
        return 2
    write_file(options.out, data, mode=0o640)
    if options.json:
        print_json({"file": os.fspath(options.out), "day": options.day, "attempts": count})
    else:
        print(f"{count} attempts of {options.day} in {options.out}")
    return 0


def _checkpoint(text: str) -> tuple[int, str]:
    seq, _, head = text.partition(":")
    if not seq.isdigit() or len(head) != 64:
        raise argparse.ArgumentTypeError("SEQ:HASH, as `kingfisher-fleet audit` prints it")
    return int(seq), head

"""`kingfisher verify-evidence`: whether the box's signed word on a payment holds. Needs the box's public key only."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from daemon.cli.output import add_json, print_json
from daemon.console.pages import printable
from daemon.errors import DaemonError
from daemon.evidence.verify import EvidenceDoubted, verify

EXAMPLES = """examples:
  kingfisher verify-evidence evidence.txt --box-key box_public.pem
  kingfisher verify-evidence - --box-key box_public.pem --order order.json < evidence.txt
  kingfisher verify-evidence --db /var/lib/kingfisher/box.db --box-key box_public.pem     what the box itself keeps

The file has one evidence (a compact JWS) a line. exit codes: 0 all hold, 1 one does not, 2 wrong call.
"""


class Unreadable(DaemonError):
    """A file that is not what was asked for."""

    def __init__(self, path: Path, why: str, hint: str) -> None:
        self.path, self.why, self.hint = path, why, hint
        super().__init__(f"{path}: {why}. {hint}")


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "verify-evidence", help="whether the signed word of a box on a payment holds", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("file", type=Path, nargs="?", help="one evidence a line; - is stdin")
    parser.add_argument("--db", type=Path, help="a box.db instead of a file")
    parser.add_argument("--box-key", type=Path, required=True, metavar="PEM", help="the box's public key")
    parser.add_argument("--order", type=Path, metavar="JSON", help="order_id, amount_minor, currency, title: compared")
    add_json(parser)
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    if (options.file is None) == (options.db is None):
        print("kingfisher verify-evidence: give a file, or --db", file=sys.stderr)
        return 2
    key = _key(options.box_key)
    order = _order(options.order) if options.order else None
    found: list[dict[str, Any]] = []
    for number, token in enumerate(_tokens(options), start=1):
        try:
            proven = verify(token, key, order)
        except EvidenceDoubted as doubted:
            found.append({"line": number, "ok": False, "why": doubted.why})
        else:
            found.append({
                "line": number, "ok": True, "box": proven.box, "decision": dict(proven.decision),
                "end": dict(proven.end), "summary": proven.summary,
            })  # fmt: skip
    if options.json:
        print_json(found)
    else:
        for one in found:
            said = f"holds    {one['summary']}" if one["ok"] else f"DOUBTED  {one['why']}"
            print(printable(f"{one['line']:4} {said}"))
        print(f"{sum(one['ok'] for one in found)} of {len(found)} hold")
    return 0 if found and all(one["ok"] for one in found) else 1


def _tokens(options: argparse.Namespace) -> Iterator[str]:
    if options.db is not None:
        from daemon.books.box_db import open_reader
        from daemon.evidence import shelf

        yield from shelf.all_evidence(open_reader(options.db))
        return
    try:
        text = sys.stdin.read() if str(options.file) == "-" else options.file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(options.file, f"can't be read ({error})", "One evidence a line, as exported.") from error
    yield from (line for line in text.splitlines() if line.strip())


def _key(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Unreadable(
            path, f"no public key in PEM ({error})", "The box's is shown by `kingfisher-fleet box list`."
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise Unreadable(path, "not an Ed25519 key", "Boxes sign with Ed25519.")
    return key


def _order(path: Path) -> Mapping[str, Any]:
    try:
        order = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Unreadable(path, f"no JSON ({error})", "It has order_id, amount_minor, currency and title.") from error
    if not isinstance(order, dict):
        raise Unreadable(path, "no JSON object", "It has order_id, amount_minor, currency and title.")
    return order

"""`kingfisher receipt ORDER`: the receipt of a sale once more, as text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from daemon.books.box_db import open_reader
from daemon.cli.output import add_json, print_json
from daemon.config.load import load
from daemon.receipts import receipt as receipts
from daemon.receipts.text import WIDTHS, lines_of
from mqtt.identity import box_id_from_key, load_or_create_private_key

EXAMPLES = """examples:
  kingfisher receipt kf-…-1800000000-5f2c81a09be4 --config box/box.toml
  kingfisher receipt ORDER --config box/box.toml --width 48 > /dev/usb/lp0
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "receipt", help="the receipt of a sale once more", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("order", metavar="ORDER")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--width", type=int, choices=WIDTHS, help="columns; default: the config's")
    add_json(parser)
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    config = load(options.config)
    box_id = box_id_from_key(load_or_create_private_key(config.box.state / "box.key").public_key())
    found = receipts.of(open_reader(config.box.state / "box.db"), options.order, config.box.shop, box_id)
    lines = lines_of(found, options.width or config.receipts.width, config.box.locale)
    if options.json:
        print_json({"order_id": found.order_id, "text": lines, "qr": found.qr_text})
    else:
        print("\n".join(lines))
    return 0

"""`kingfisher catalogue check|install`: the goods that a box sells."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json
from daemon.config.load import load
from daemon.counter import catalogue as catalogues
from daemon.counter import catalogue_file
from daemon.counter.catalogue import Catalogue
from daemon.counter.errors import CatalogueRefused
from daemon.payment.money import plain
from mqtt.identity import box_id_from_key, load_or_create_private_key, load_public_key

EXAMPLES = """examples:
  kingfisher catalogue check goods.json                        before it is signed
  kingfisher catalogue check goods.jwt --config box/box.toml   what the fleet signed for this box
  kingfisher catalogue install goods.jwt --config box/box.toml
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "catalogue", help="check or install the goods that a box sells", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="say everything that is wrong with a catalogue")
    check.add_argument("file", type=Path, metavar="FILE", help="JSON, or signed by the fleet")
    check.add_argument("--config", type=Path, help="the box.toml of the box that a signed one is for")
    check.set_defaults(call=call_check)
    install = actions.add_parser(
        "install", help="put a signed catalogue into force at the next start; a connected box gets it from the fleet"
    )
    install.add_argument("file", type=Path, metavar="FILE")
    install.add_argument("--config", type=Path, required=True)
    install.set_defaults(call=call_install)
    for action in (check, install):
        add_json(action)


def call_check(options: argparse.Namespace) -> int:
    raw = _read(options.file)
    if raw.lstrip()[:1] == b"{":
        return _say(options, catalogues.parse(raw, str(options.file)), signed=False)
    if options.config is None:
        raise CatalogueRefused(options.file, ["is signed, or no JSON: name the box that it is for with --config"])
    return _say(options, catalogue_file.believe(raw, options.file, *_parties(options.config)), signed=True)


def call_install(options: argparse.Namespace) -> int:
    state = load(options.config).box.state
    found = catalogue_file.install(state, _read(options.file), options.file, *_parties(options.config))
    return _say(options, found, signed=True)


def _parties(config_path: Path) -> tuple[Any, str]:
    config = load(config_path)
    box = load_or_create_private_key(config.box.state / "box.key")
    return load_public_key(config.fleet.key), box_id_from_key(box.public_key())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CatalogueRefused(path, [f"can't be read: {error.strerror or error}"]) from error


def _say(options: argparse.Namespace, found: Catalogue, *, signed: bool) -> int:
    facts = {
        "ok": True, "version": found.version, "currency": found.currency, "items": len(found.items),
        "tax_included": found.tax_included, "signed": signed,
    }  # fmt: skip
    if options.json:
        print_json(facts)
        return 0
    tax = "with tax in the prices" if found.tax_included else "tax comes on top, each line rounded half up"
    prices = [item.price_minor for item in found.items.values()]
    span = f"{plain(min(prices), found.currency)} to {plain(max(prices), found.currency)} {found.currency}"
    print(f"version {found.version}: {len(prices)} items, {span}, {tax}{'; signed by the fleet' if signed else ''}")
    return 0

"""`kingfisher init`: a folder with a key and a box.toml, for a box that is not provisioned by a technician."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json
from daemon.config.load import load
from daemon.console.errors import Refused
from daemon.errors import DaemonError
from mqtt.identity import (
    NOTHING_MADE,
    box_id_from_key,
    load_or_create_private_key,
    load_public_key,
    public_pem,
    write_file,
)
from mqtt.presence import is_absent

VIRTUAL = """
[virtual]
port = {port}
pictures = "{pictures}"
{till}
[devices]
camera = {{ type = "virtual" }}
keypad = {{ type = "virtual" }}
display = {{ type = "virtual" }}
lamp = {{ type = "virtual" }}
voice = {{ type = "virtual" }}
scanner = {{ type = "virtual" }}
printer = {{ type = "virtual" }}
gate = {{ type = "virtual" }}

[receipts]
language = "text"
encoding = "utf-8"
width = 42
"""

BOX = """# A Kingfisher box. `kingfisher config check --config {path}` says what is wrong with this file.
[box]
shop = "{shop}"
locale = "{locale}"
{profile}state = "state"

[fleet]
key = "{fleet_key}"

[broker]
host = "{host}"
port = {broker_port}

[face]
models = "{models}"
"""

OPEN_LOOP = 'profile = "open-loop"\n'
MATCHER = """
[matcher]
key = "{key}"
"""


class BoxExists(DaemonError):
    """The folder has a box.toml already; it is never overwritten."""

    def __init__(self, path: Path) -> None:
        self.hint = "Choose another folder, or edit the file."
        super().__init__(f"{path} exists already. {self.hint}")


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("init", help="make a box: a key and a box.toml")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--fleet-key", type=Path, required=True, help="the fleet's public key, PEM")
    parser.add_argument("--broker", default="127.0.0.1:1883", metavar="HOST:PORT")
    parser.add_argument("--shop", default="Kingfisher")
    parser.add_argument("--locale", choices=("zh-CN", "en"), default="zh-CN")
    parser.add_argument("--models", type=Path, help="default: $KINGFISHER_STATE/models")
    parser.add_argument("--virtual", action="store_true", help="a box on a page in the browser")
    parser.add_argument("--virtual-port", type=int, default=8700)
    parser.add_argument("--pictures", type=Path, help="folder of portraits; default: $KINGFISHER_STATE/pictures")
    parser.add_argument("--till-url", help="the till's page, shown beside the box")
    parser.add_argument(
        "--open-loop", metavar="KEY", help="keep no face: ask the gateway's matcher, whose key `face key` shows"
    )
    add_json(parser)
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    folder: Path = options.folder.resolve()
    path = folder / "box.toml"
    try:
        if not is_absent(path):
            raise BoxExists(path)
    except OSError as error:
        raise Refused("not_told", f"whether {path} is there can't be told ({error.strerror})", NOTHING_MADE) from error
    load_public_key(options.fleet_key)
    host, _, port = options.broker.rpartition(":")
    state = Path(os.environ.get("KINGFISHER_STATE", ".kingfisher")).resolve()
    text = BOX.format(
        path=path, shop=_quoted(options.shop), locale=options.locale, profile=OPEN_LOOP if options.open_loop else "",
        fleet_key=options.fleet_key.resolve(),
        host=host or "127.0.0.1", broker_port=port, models=(options.models or state / "models").resolve(),
    )  # fmt: skip
    if options.open_loop:
        text += MATCHER.format(key=_quoted(options.open_loop))
    if options.virtual:
        till = f'till_url = "{options.till_url}"\n' if options.till_url else ""
        pictures = (options.pictures or state / "pictures").resolve()
        text += VIRTUAL.format(port=options.virtual_port, pictures=pictures, till=till)
    key = load_or_create_private_key(folder / "state" / "box.key")
    box_id = box_id_from_key(key.public_key())
    write_file(folder / "box.pem", public_pem(key.public_key()), mode=0o644)
    write_file(path, text.encode(), mode=0o644)
    load(path)
    if options.json:
        print_json({"box": box_id, "config": str(path), "public_key": str(folder / "box.pem")})
    else:
        print(f"box {box_id}\nconfig {path}\npublic key {folder / 'box.pem'}, for the fleet: kingfisher-fleet box add")
    return 0


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')

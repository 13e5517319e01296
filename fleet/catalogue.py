"""`kingfisher-fleet catalogue`: signs the goods of a shop for one box. What they must look like is the box's to say
(`kingfisher catalogue check`); here they only have to be one JSON object.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.errors import RequestRefused
from fleet.state import StateFolder
from mqtt.identity import fleet_id_from_key, write_file

TYP = "catalogue"
LIFE_S = 24 * 3600  # of the envelope; the box does not look at it, as a catalogue holds until the next one
MAX_BYTES = 6 * 1024 * 1024


def add(command: Callable[..., ArgumentParser]) -> None:
    """The command's grammar."""
    parser = command(
        "catalogue", "Sign a catalogue of goods for a box; carry it there with `kingfisher catalogue install`.",
        "  kingfisher-fleet catalogue goods.json --box counter-1 --out goods.jwt",
    )  # fmt: skip
    parser.add_argument("file", type=Path, metavar="GOODS.json")
    parser.add_argument("--box", required=True, help="id or name")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.set_defaults(act=sign)


def sign(args: Namespace) -> int:
    """Raises RequestRefused, BoxUnknown, StateMissing."""
    from fleet import boxes
    from fleet.actions import reading, say
    from mqtt.envelope import Signer  # the other commands need not wait for it

    body = _object(args.file)
    state = StateFolder(args.state)
    key = state.load_key()
    fleet = fleet_id_from_key(key.public_key())
    with reading(args.state) as connection:
        box = str(boxes.choose(connection, args.box)["id"])
    sealed = Signer(key, fleet, fleet).seal(TYP, box, body, LIFE_S)
    write_file(args.out, sealed.token + b"\n", mode=0o644)
    return say(args, {"box": box, "file": str(args.out)}, f"{args.out}: signed for {box}")


def _object(path: Path) -> dict[str, Any]:
    what = f"signing {path}"
    try:
        raw = path.read_bytes()
        body = json.loads(raw)
    except OSError as error:
        raise RequestRefused(what, error.strerror or "unreadable") from error
    except (ValueError, RecursionError) as error:
        raise RequestRefused(what, f"not JSON: {error}") from error
    if len(raw) > MAX_BYTES:
        raise RequestRefused(what, f"{len(raw)} bytes; a catalogue has at most {MAX_BYTES}")
    if not isinstance(body, dict):
        raise RequestRefused(what, "not one JSON object", "see `kingfisher catalogue check`")
    return body

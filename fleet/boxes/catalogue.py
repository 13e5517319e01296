"""`kingfisher-fleet catalogue sign|push|status`: the goods of a shop, for boxes. What they must look like is the box's
to say (`kingfisher catalogue check`); here they only have to be one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleet.errors import RequestRefused, WaitedInVain
from fleet.state import StateFolder
from mqtt.identity import fleet_id_from_key, write_file

TYP = "catalogue"
LIFE_S = 24 * 3600  # of the envelope; the box does not look at it, as a catalogue holds until the next one
MAX_BYTES = 6 * 1024 * 1024


def add(command: Callable[..., ArgumentParser]) -> None:
    """The commands' grammar."""
    top = command(
        "catalogue", "The goods that boxes sell.",
        "  kingfisher-fleet catalogue push goods.json --box counter-1 --wait\n"
        "  kingfisher-fleet catalogue status",
    )  # fmt: skip
    within = top.add_subparsers(dest="catalogue_command", required=True, metavar="sign|push|status")
    signing = command(
        "sign", "Sign a catalogue for a box that is not connected; `kingfisher catalogue install` takes it there.",
        "  kingfisher-fleet catalogue sign goods.json --box counter-1 --out goods.jwt", within,
    )  # fmt: skip
    signing.add_argument("file", type=Path, metavar="GOODS.json")
    signing.add_argument("--box", required=True, help="id or name")
    signing.add_argument("--out", type=Path, required=True, metavar="FILE")
    signing.set_defaults(act=sign)
    pushing = command(
        "push", "Send a catalogue to boxes: it counts there between two carts; a wrong one changes nothing.",
        "  kingfisher-fleet catalogue push goods.json --box counter-1 --wait\n"
        "  kingfisher-fleet catalogue push goods.json --group canteen",
        within,
    )  # fmt: skip
    pushing.add_argument("file", type=Path, metavar="GOODS.json")
    whom = pushing.add_mutually_exclusive_group(required=True)
    whom.add_argument("--box", help="id or name")
    whom.add_argument("--group")
    whom.add_argument("--tenant")
    pushing.add_argument("--wait", action="store_true", help="until each of these boxes has taken or refused it")
    pushing.add_argument("--timeout-s", type=float, default=120.0, metavar="S", help="of --wait (default: %(default)g)")
    pushing.set_defaults(act=push)
    asking = command(
        "status", "What became of the newest catalogue at each box, with every error.",
        "  kingfisher-fleet catalogue status --json", within,
    )  # fmt: skip
    asking.set_defaults(act=status)


def sign(args: Namespace) -> int:
    """Raises RequestRefused, BoxUnknown, StateMissing."""
    from fleet.actions import reading, say
    from fleet.boxes import register as boxes
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


def push(args: Namespace) -> int:
    """Raises RequestRefused, BoxUnknown, StateMissing, GatewayUnreachable, WaitedInVain."""
    from fleet.actions import reading
    from fleet.boxes import register as boxes
    from fleet.client import GatewayClient

    state = StateFolder(args.state)
    raw = json.dumps(_object(args.file), ensure_ascii=False).encode()
    sha256 = hashlib.sha256(raw).hexdigest()
    client = GatewayClient.of(state)
    scope, name = next((scope, given) for scope in ("box", "group", "tenant") if (given := getattr(args, scope)))
    if scope == "box":
        with reading(args.state) as connection:
            name = str(boxes.choose(connection, name)["id"])
    documents = state.catalogues_folder / "documents"
    documents.mkdir(parents=True, exist_ok=True)
    write_file(documents / f"{sha256}.json", raw, mode=0o600)
    rows = client.post("/v1/catalogues", {"scope": scope, "name": name, "document": sha256})
    until_s = time.monotonic() + args.timeout_s
    ids = {row["command_id"] for row in rows}
    while args.wait and any(not row["final"] for row in rows):
        if time.monotonic() > until_s:
            raise WaitedInVain("waiting for the boxes", f"not all have answered after {args.timeout_s:g} s")
        time.sleep(0.2)
        rows = [row for row in client.get("/v1/catalogues") if row["command_id"] in ids]
    return _say(args, rows)


def status(args: Namespace) -> int:
    from fleet.actions import reading
    from fleet.boxes import catalogues

    with reading(args.state) as connection:
        return _say(args, catalogues.standing(connection, int(time.time())))


def _say(args: Namespace, rows: list[dict[str, Any]]) -> int:
    from fleet.actions import say, table

    lines = [(r["name"], f"version {r['version']}", r["status"], r["reason"] or "") for r in rows]
    text = table(("BOX", "CATALOGUE", "STATE", "REASON"), lines)
    text += "".join(f"\n{r['name']}: {error}" for r in rows for error in r["errors"])
    say(args, rows, text if rows else "no catalogue was pushed yet")
    return 1 if any(r["status"] == "failed" for r in rows) else 0


def _object(path: Path) -> dict[str, Any]:
    what = f"reading {path}"
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

"""`kingfisher-fleet verify`: who stands before a box? No money moves."""

from __future__ import annotations

import argparse
import base64
import json
import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from fleet.actions import say
from fleet.client import GatewayClient
from fleet.state import StateFolder

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds the command to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    verify = command(
        "verify", "Ask a box to prove who stands before it, for a hotel, a ward or a gate. No money moves.",
        "  kingfisher-fleet verify --box counter-1 --title 'Room 1204'\n"
        "  kingfisher-fleet verify --flow id_card --json",
    )  # fmt: skip
    verify.add_argument("--box", help="id or name; may be left out where there is one box")
    verify.add_argument("--title", help="what the person reads, up to 64 characters")
    verify.add_argument("--flow", choices=("identity", "phone_first", "id_card"), default="identity")
    verify.add_argument("--expires-s", type=int, default=120, metavar="S", help="default: %(default)s")
    verify.set_defaults(act=of("boxes.verify_cli", "verify"))


def verify(args: Namespace) -> int:
    """Waits for the box's word: the person's handle and what was proven, or why nobody."""
    client = GatewayClient.of(StateFolder(args.state))
    wanted: dict[str, Any] = {"expires_at": int(time.time()) + args.expires_s, "flow": args.flow}
    if args.title:
        wanted["title"] = args.title
    view = client.post(
        "/v1/remote", {"box": args.box, "command": "verify", "args": wanted, "expires_in_s": args.expires_s}
    )
    view = client.follow(f"/v1/remote/{view['command_id']}", frozenset(), args.expires_s + 10.0, lambda _: None)
    result = json.loads(base64.b64decode(view["result"]["data"])) if view["result"] else None
    line = f"{result['handle']}  by {result['factors']}" if result else f"{view['status']}  {view['reason'] or ''}"
    say(args, view | {"result": result}, line)
    return 0 if view["status"] == "done" else 1

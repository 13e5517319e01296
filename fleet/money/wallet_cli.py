"""`kingfisher-fleet wallet`: a payer's app, for demonstrations and tests."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable

from fleet.actions import say
from fleet.client import GatewayClient
from fleet.state import StateFolder

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds the command to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    wallet = command(
        "wallet", "A payer's own app, simulated: pays the code a box shows, or shows one for the box's scanner.",
        "  kingfisher-fleet wallet --payer grace --code 00020101021226...   pays what the code asks for\n"
        "  kingfisher-fleet wallet --payer grace                            a code to be scanned, good for a minute",
    )  # fmt: skip
    wallet.add_argument("--payer", required=True, metavar="HANDLE", help="whose app it is")
    wallet.add_argument("--code", metavar="TEXT", help="what stands in the code on the display")
    wallet.set_defaults(act=of("money.wallet_cli", "wallet"))


def wallet(args: Namespace) -> int:
    client = GatewayClient.of(StateFolder(args.state))
    if args.code is None:
        view = client.post("/v1/wallet/codes", {"payer": args.payer})
        return say(args, view, view["auth_code"])
    view = client.post("/v1/wallet/payments", {"payer": args.payer, "code": args.code})
    say(args, view, f"{view['status']}  {view['reason']}  {view['reference'] or ''}".rstrip())
    return 0 if view["status"] == "approved" else 1

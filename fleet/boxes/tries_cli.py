"""`kingfisher-fleet tries`: who typed a PIN wrong, at all boxes together, and the end of a lock."""

from __future__ import annotations

import argparse
import time
from argparse import Namespace
from collections.abc import Callable

from fleet.actions import reading, say, table
from fleet.state import StateFolder

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds the command to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    tries = command(
        "tries", "Wrong PINs, phone and card numbers of payers, at all boxes of a tenant together.",
        "  kingfisher-fleet tries                    who was wrong since they were last right, who is locked\n"
        "  kingfisher-fleet tries --unlock grace     ends the locks of whoever proved to you who they are\n"
        "  kingfisher-fleet tries --unlock-box BOX   what this box told counts no more, at any box; a revoked one's"
        " does so by itself",
    )  # fmt: skip
    one = tries.add_mutually_exclusive_group()
    one.add_argument("--unlock", metavar="HANDLE", help="end this payer's locks at every box")
    one.add_argument(
        "--unlock-box", metavar="BOX", help="take back what this box told of wrong tries; what others told stays"
    )
    tries.set_defaults(act=of("boxes.tries_cli", "tries"))


def tries(args: Namespace) -> int:
    from fleet.boxes import tries as counts  # slow to import, and no other command needs it
    from fleet.client import GatewayClient

    if args.unlock_box is not None:
        found = GatewayClient.of(StateFolder(args.state)).post("/v1/tries/unlock-box", {"box": args.unlock_box})
        still = sum(one["wrong"] > 0 for one in found)
        counts_are = "1 count rests" if len(found) == 1 else f"{len(found)} counts rest"
        return say(
            args, found,
            f"{counts_are} no more on the word of {args.unlock_box}; what other boxes told still counts in {still}",
        )  # fmt: skip
    if args.unlock is not None:
        ended = GatewayClient.of(StateFolder(args.state)).post("/v1/tries/unlock", {"handle": args.unlock})
        return say(args, ended, f"{args.unlock} is unlocked at every box that the gateway reaches")
    now = int(time.time())
    with reading(args.state) as tx:
        found = counts.listing(tx, now)
    lines = [
        (one["tenant"], one["handle"], one["factor"], str(one["wrong"]),
         f"{-(-(one['locked_until'] - now) // 60)} min" if one["locked"] else "-")
        for one in found
    ]  # fmt: skip
    return say(args, found, table(("TENANT", "HANDLE", "FACTOR", "WRONG", "LOCKED FOR"), lines))

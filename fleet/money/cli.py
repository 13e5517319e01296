"""`kingfisher-fleet refund|cancel|attempt|attempts|reconcile`: the grammar. `fleet.money.actions` and
`fleet.money.reconcile_actions` do it."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Callable
from pathlib import Path

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]

DECISIONS = ("sold", "reverse", "returned", "retry")


def add(command: Command, of: Act) -> None:
    """Adds these commands to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    refund = command(
        "refund", "Give back part or all of a paid order. With the same --id, once.",
        "  kingfisher-fleet refund o1800000000-5f2c81a09be4 --why 'wrong drink' --wait\n"
        "  kingfisher-fleet refund o1800000000-5f2c81a09be4 --amount 5.00 --id r-2026-11-21-7 --why 'cup broke'",
    )  # fmt: skip
    refund.add_argument("order", metavar="ORDER")
    refund.add_argument("--amount", help="exact decimal, like 5.00 (default: all that is left)")
    refund.add_argument("--id", metavar="REFUND", help="the refund's own name (default: a new one)")
    _who_and_why(refund)
    refund.add_argument("--wait", action="store_true", help="until the provider has said its last word")
    refund.add_argument("--timeout-s", type=float, default=300.0, metavar="S", help="of --wait (default: %(default)g)")
    refund.set_defaults(act=of("money.actions", "refund"))

    cancel = command(
        "cancel", "An open order is not to be paid any more. A paid one is refunded instead.",
        "  kingfisher-fleet cancel o1800000000-5f2c81a09be4",
    )  # fmt: skip
    cancel.add_argument("order", metavar="ORDER")
    cancel.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who (default: %(default)s)")
    cancel.add_argument("--wait", action="store_true", help="until the box has taken it off its display")
    cancel.add_argument("--timeout-s", type=float, default=60.0, metavar="S", help="of --wait (default: %(default)g)")
    cancel.set_defaults(act=of("money.actions", "cancel"))

    attempt = command(
        "attempt", "One attempt at paying an order; and what a person decides where nobody else can.",
        "  kingfisher-fleet attempt o1800000000-5f2c81a09be4 1\n"
        "  kingfisher-fleet attempt o1800000000-5f2c81a09be4 1 --resolve sold --why 'clerk says the goods went'\n"
        "  kingfisher-fleet attempt o1800000000-5f2c81a09be4 1 --resolve returned --why 'paid out in cash, slip 12'",
    )  # fmt: skip
    attempt.add_argument("order", metavar="ORDER")
    attempt.add_argument("number", type=int, metavar="N")
    attempt.add_argument(
        "--resolve", choices=DECISIONS,
        help="sold: the goods have gone, keep the money; reverse: they have not, give it back; returned: it was given"
        " back by hand; retry: ask the provider again",
    )  # fmt: skip
    _who_and_why(attempt, required=False)
    attempt.set_defaults(act=of("money.actions", "attempt"))

    attempts = command(
        "attempts", "Every attempt that waits for a person, and what was accepted offline and never paid.",
        "  kingfisher-fleet attempts\n  kingfisher-fleet attempts --json",
    )  # fmt: skip
    attempts.set_defaults(act=of("money.actions", "attempts"))

    reconcile = command(
        "reconcile", "Compare a day of the ledger with a box's own list, or with a payment provider's.",
        "  kingfisher-fleet reconcile --box counter-1 --day 2026-11-21 --with counter-1.jsonl\n"
        "  kingfisher-fleet reconcile --box counter-1 --day 2026-11-21 --export ledger.jsonl\n"
        "  kingfisher-fleet reconcile --channel alipay-like --day 2026-11-21 --json",
    )  # fmt: skip
    reconcile.add_argument("--box", help="id or name")
    reconcile.add_argument("--day", required=True, metavar="YYYY-MM-DD")
    reconcile.add_argument("--with", dest="file", type=Path, metavar="FILE", help="the list that the box exported")
    reconcile.add_argument("--export", type=Path, metavar="FILE", help="write the ledger's list instead, signed")
    reconcile.add_argument("--channel", metavar="NAME", help="compare with this provider's list")
    reconcile.add_argument(
        "--utc-offset", type=int, default=480, metavar="MIN", help="of the day's clock (default: %(default)s)"
    )
    reconcile.set_defaults(act=of("money.reconcile_actions", "run"))


def _who_and_why(to: argparse.ArgumentParser, *, required: bool = True) -> None:
    to.add_argument("--by", default=getpass.getuser(), metavar="NAME", help="who decides it (default: %(default)s)")
    to.add_argument("--why", required=required, metavar="TEXT", help="kept in the ledger for good")

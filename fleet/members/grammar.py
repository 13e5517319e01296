"""`kingfisher-fleet member|coupon|topup`: the grammar. `fleet.members.actions` does it."""

from __future__ import annotations

import argparse
from collections.abc import Callable

Command = Callable[..., argparse.ArgumentParser]
Act = Callable[[str, str], Callable[[argparse.Namespace], int]]


def add(command: Command, of: Act) -> None:
    """Adds these commands to the parser that `command` belongs to; `of(module, name)` is an action, imported late."""
    member = command(
        "member", "Members of the shop: who has coupons and points.",
        "  kingfisher-fleet member add grace --uid 0042\n  kingfisher-fleet member show grace --json",
    )  # fmt: skip
    within = member.add_subparsers(dest="member_command", required=True, metavar="add|show")
    joins = command("add", "A payer becomes a member.", "  kingfisher-fleet member add grace --uid 0042", within)
    joins.add_argument("handle", metavar="HANDLE")
    joins.add_argument("--uid", required=True, help="the shop's own name of the member; it stays in the fleet's ledger")
    joins.set_defaults(act=of("members.actions", "member_add"))
    show = command("show", "Coupons and points of a member.", "  kingfisher-fleet member show grace", within)
    show.add_argument("handle", metavar="HANDLE")
    show.set_defaults(act=of("members.actions", "member_show"))

    coupon = command(
        "coupon", "Kinds of coupons, and who gets one.",
        "  kingfisher-fleet coupon kind tenth --title '10% off' --percent 10 --min-spend 20.00\n"
        "  kingfisher-fleet coupon kind again --title 'See you: 2.00' --off 2.00 --on-success\n"
        "  kingfisher-fleet coupon give tenth --payer grace",
    )  # fmt: skip
    within = coupon.add_subparsers(dest="coupon_command", required=True, metavar="kind|stop|give|claim")
    kind = command(
        "kind", "Make a kind of coupon. One that is made is not changed.",
        "  kingfisher-fleet coupon kind tenth --title '10% off' --percent 10 --min-spend 20.00", within,
    )  # fmt: skip
    kind.add_argument("kind", metavar="KIND")
    kind.add_argument("--title", required=True, help="what the payer reads")
    kind.add_argument("--off", metavar="AMOUNT", help="takes off this much")
    kind.add_argument("--percent", metavar="P", help="takes off this part of the order, rounded down")
    kind.add_argument("--min-spend", default="0", metavar="AMOUNT", help="of the order (default: %(default)s)")
    kind.add_argument("--max-off", metavar="AMOUNT", help="at most this much")
    kind.add_argument("--alone", action="store_true", help="not together with other coupons")
    kind.add_argument("--days", type=int, default=30, help="how long one lasts (default: %(default)s)")
    kind.add_argument("--on-success", action="store_true", help="offer one on the success screen of each payment")
    kind.add_argument("--on-smile", action="store_true", help="offer one to who has paid and smiles for it")
    kind.add_argument(
        "--red-packet", action="store_true", help="money: --off goes onto the account of whoever claims it"
    )
    kind.add_argument("--currency", default="CNY", help="ISO 4217 (default: %(default)s)")
    kind.set_defaults(act=of("members.actions", "coupon_kind"))
    stop = command(
        "stop", "Offer no more coupons of a kind after payments. Those that are out stay good.",
        "  kingfisher-fleet coupon stop again", within,
    )  # fmt: skip
    stop.add_argument("kind", metavar="KIND")
    stop.set_defaults(act=of("members.actions", "coupon_stop"))
    give = command("give", "Give a member a coupon.", "  kingfisher-fleet coupon give tenth --payer grace", within)
    give.add_argument("kind", metavar="KIND")
    give.add_argument("--payer", required=True, metavar="HANDLE")
    give.set_defaults(act=of("members.actions", "coupon_give"))
    claim = command(
        "claim", "A member shows the code of a coupon from a success screen.",
        "  kingfisher-fleet coupon claim c0123456789abcdef01234567 --payer grace", within,
    )  # fmt: skip
    claim.add_argument("code", metavar="CODE")
    claim.add_argument("--payer", required=True, metavar="HANDLE")
    claim.set_defaults(act=of("members.actions", "coupon_claim"))

    topup = command(
        "topup", "Money a payer has brought, onto his account. With the same --id, once.",
        "  kingfisher-fleet topup --payer grace --amount 50.00 --id slip-1207\n"
        "  kingfisher-fleet topup --payer grace --amount 50.00 --id slip-1208 --box counter-1",
    )  # fmt: skip
    topup.add_argument("--payer", required=True, metavar="HANDLE")
    topup.add_argument("--amount", required=True, help="exact decimal, like 50.00")
    topup.add_argument("--currency", default="CNY", help="ISO 4217 (default: %(default)s)")
    topup.add_argument("--id", metavar="TOPUP", help="its own name, like a slip's number (default: a new one)")
    topup.add_argument("--box", help="the member looks and confirms there; a clerk has taken the money")
    topup.set_defaults(act=of("members.actions", "top_up"))

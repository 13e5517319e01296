"""What `kingfisher-fleet member|coupon|topup` do: the books themselves, in one transaction."""

from __future__ import annotations

import secrets
import time
from argparse import Namespace
from typing import Any

from daemon.payment.money import AmountRefused as BadAmount
from daemon.payment.money import decimals
from fleet.actions import reading, say, table, writing
from fleet.client import GatewayClient
from fleet.errors import RequestRefused
from fleet.members import book
from fleet.money.amounts import format_amount, parse_amount
from fleet.state import StateFolder

DAY_S = 24 * 3600


def member_add(args: Namespace) -> int:
    with writing(args.state) as tx:
        fresh = book.add(tx, args.handle, args.uid, int(time.time()))
    return say(args, {"handle": args.handle, "new": fresh}, f"{args.handle} {'joined' if fresh else 'is a member'}")


def member_show(args: Namespace) -> int:
    with reading(args.state) as connection:
        view = book.view(connection, args.handle, int(time.time()))
    rows = [(c["code"], c["title"], time.strftime("%Y-%m-%d", time.gmtime(c["expires_at"]))) for c in view["coupons"]]
    return say(args, view, f"{args.handle}  {view['points']} points\n" + table(("COUPON", "TITLE", "UNTIL"), rows))


def coupon_kind(args: Namespace) -> int:
    if (args.off is None) is (args.percent is None):
        raise RequestRefused("a kind of coupon", "it takes off either an amount or a percentage", "--off or --percent")
    kind = book.CouponKind(
        kind=args.kind, title=args.title, currency=args.currency,
        off_minor=parse_amount(args.off, args.currency) if args.off else 0,
        permyriad=_permyriad(args.percent) if args.percent else 0,
        min_spend_minor=parse_amount(args.min_spend, args.currency, allow_zero=True),
        max_off_minor=parse_amount(args.max_off, args.currency) if args.max_off else None,
        combines=not args.alone, lives_s=args.days * DAY_S, on_success=args.on_success,
        red_packet=args.red_packet, on_smile=args.on_smile,
    )  # fmt: skip
    _known(args.currency)
    if not 1 <= len(kind.title) <= 64:
        raise RequestRefused("a kind of coupon", "its title has 1 to 64 characters")
    with writing(args.state) as tx:
        book.add_kind(tx, kind, int(time.time()))
    return say(args, {"kind": args.kind}, f"{args.kind}: {args.title}")


def coupon_stop(args: Namespace) -> int:
    with writing(args.state) as tx:
        book.stop_offering(tx, args.kind)
    return say(args, {"kind": args.kind}, f"{args.kind} is offered no more")


def coupon_give(args: Namespace) -> int:
    with writing(args.state) as tx:
        code = book.give(tx, args.kind, args.payer, int(time.time()))
    return say(args, {"code": code, "payer": args.payer}, code)


def coupon_claim(args: Namespace) -> int:
    with writing(args.state) as tx:
        book.claim(tx, args.code, args.payer, int(time.time()))
    return say(args, {"code": args.code, "payer": args.payer}, f"{args.code} is {args.payer}'s")


def top_up(args: Namespace) -> int:
    amount_minor = parse_amount(args.amount, args.currency)
    key = args.id or f"t{int(time.time()):010d}-{secrets.token_hex(6)}"
    if args.box is not None:
        wanted = {"id": key, "payer": args.payer, "amount": args.amount, "currency": args.currency, "box": args.box}
        order = GatewayClient.of(StateFolder(args.state)).post("/v1/topups", wanted)
        return say(args, order | {"id": key}, f"{key}  order {order['order_id']}: {args.payer} confirms it at the box")
    with writing(args.state) as tx:
        fresh = book.top_up(tx, args.payer, amount_minor, args.currency, key, int(time.time()))
    facts: dict[str, Any] = {"id": key, "payer": args.payer, "amount_minor": amount_minor, "new": fresh}
    word = "topped up" if fresh else "was topped up before; nothing was added"
    return say(args, facts, f"{key}  {args.payer} {word}: {args.currency} {format_amount(amount_minor, args.currency)}")


def _permyriad(text: str) -> int:
    """`12.5` -> 1250."""
    whole, _, part = text.partition(".")
    if not (
        whole.isascii() and whole.isdigit() and len(whole) <= 3 and (not part or (part.isdigit() and len(part) <= 2))
    ):
        raise RequestRefused(f"percentage {text[:20]!r}", "write 10 or 12.5, up to two decimals")
    return int(whole) * 100 + int(part.ljust(2, "0") or 0)


def _known(currency: str) -> None:
    try:
        decimals(currency)
    except BadAmount as refused:
        raise RequestRefused(f"currency {currency[:10]!r}", refused.why, refused.hint) from refused

"""`kingfisher-fleet order|enrol|till`: what the running gateway is asked for, as only it speaks to the boxes."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from fleet.actions import say
from fleet.client import GatewayClient
from fleet.money.amounts import parse_amount
from fleet.state import StateFolder


def order(args: Namespace) -> int:
    parse_amount(args.amount, args.currency)  # a clear refusal here, before anything is asked for
    client = GatewayClient.of(StateFolder(args.state))
    wanted = {
        "box": args.box,
        "amount": args.amount,
        "currency": args.currency,
        "title": args.title,
        "expires_in_s": args.expires_s,
        "flow": args.flow,
        "phone": args.phone,
        "key": args.key,
    }
    view = client.post("/v1/orders", wanted)
    if not args.wait:
        return say(args, view, _order_line(view))
    view = client.follow(
        f"/v1/orders/{view['order_id']}",
        frozenset({"declined"}),
        args.timeout_s,
        lambda now: _progress(args, _order_line(now)),
    )
    say(args, view, "")
    return 0 if view["status"] == "approved" else 1


def enrol(args: Namespace) -> int:
    parse_amount(args.balance, args.currency, allow_zero=True)
    client = GatewayClient.of(StateFolder(args.state))
    view = client.post(
        "/v1/enrolments",
        {
            "box": args.box, "payer": args.payer, "balance": args.balance, "currency": args.currency,
            "purposes": args.purpose or ["pay"], "notice_version": args.notice_version, "expires_in_s": args.expires_s,
            "under_14": args.under_14, "authority": "clerk" if args.clerk else "fleet",
        },
    )  # fmt: skip
    if not view["account_opened"]:
        print(f"account of {args.payer} is open already; its balance stays as it is", file=sys.stderr)
    if not args.wait:
        return say(args, view, f"{view['command_id']}  {view['status']}")
    opened = view["account_opened"]
    view = client.follow(
        f"/v1/enrolments/{view['command_id']}",
        frozenset(),
        args.timeout_s,
        lambda now: _progress(args, f"{now['command_id']}  {now['status']}  {now['reason'] or ''}"),
    )
    say(args, view | {"account_opened": opened}, "")
    return 0 if view["status"] == "done" else 1


def till(args: Namespace) -> int:
    """The one place where the till's token is shown."""
    state = StateFolder(args.state)
    link = f"{GatewayClient.of(state).address}/till#{state.token(state.till_token_file)}"
    return say(args, {"till": link}, link)


def _progress(args: Namespace, line: str) -> None:
    print(line, file=sys.stderr if args.json else sys.stdout, flush=True)


def _order_line(view: dict[str, Any]) -> str:
    reason = f"  ({view['reason']})" if view["reason"] and view["status"] != "approved" else ""
    return f"{view['order_id']}  {view['currency']} {view['amount']}  {view['status']}{reason}"

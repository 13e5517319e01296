"""What `kingfisher-fleet refund|cancel|attempt|attempts` do. The running gateway does the first three: only it speaks
to the providers."""

from __future__ import annotations

import secrets
import sys
import time
from argparse import Namespace
from typing import Any

from fleet.actions import reading, say, table
from fleet.client import GatewayClient
from fleet.errors import RequestRefused
from fleet.money import resolutions
from fleet.money.amounts import format_amount
from fleet.state import StateFolder

_ENDS = frozenset({"refunded", "declined", "settled"})


def refund(args: Namespace) -> int:
    client = GatewayClient.of(StateFolder(args.state))
    wanted = {
        "refund_id": args.id or f"r{int(time.time()):010d}-{secrets.token_hex(6)}", "order_id": args.order,
        "amount": args.amount, "who": args.by, "why": args.why,
    }  # fmt: skip
    view = client.post("/v1/refunds", wanted)
    if args.wait and not view["final"]:
        view = client.follow(
            f"/v1/refunds/{view['refund_id']}", _ENDS, args.timeout_s, lambda now: _progress(args, now)
        )
        say(args, view, "")
    else:
        say(args, view, _line(view))
    return 1 if view["status"] == "declined" else 0


def cancel(args: Namespace) -> int:
    client = GatewayClient.of(StateFolder(args.state))
    view = client.post(f"/v1/orders/{args.order}/cancel", {"who": args.by})
    if not args.wait or view["command_id"] is None:
        return say(args, view, f"{args.order}  cancelled")
    told = client.follow(f"/v1/remote/{view['command_id']}", frozenset(), args.timeout_s, lambda _: None)
    at_box = told["reason"] or told["status"]
    return say(args, view | {"box": at_box}, f"{args.order}  cancelled; at the box: {at_box}")


def attempt(args: Namespace) -> int:
    client = GatewayClient.of(StateFolder(args.state))
    path = f"/v1/attempts/{args.order}/{args.number}"
    if args.resolve is None:
        return say(args, view := client.get(path), _attempt_text(view))
    if args.why is None:
        raise RequestRefused("resolving an attempt", "say why", "--why TEXT; it is kept in the ledger")
    view = client.post(path, {"decision": args.resolve, "who": args.by, "why": args.why})
    return say(args, view, _attempt_text(view))


def attempts(args: Namespace) -> int:
    with reading(args.state) as connection:
        found = resolutions.waiting(connection, int(time.time()))
    rows = [
        (f"{a['order_id']} {a['attempt']}", a["why"], a["currency"], format_amount(a["minor"], a["currency"]),
         a["channel"] or "", time.strftime("%Y-%m-%d %H:%M", time.localtime(a["since"])))
        for a in found
    ]  # fmt: skip
    text = (
        table(("ORDER N", "WAITS AS", "", "AMOUNT", "CHANNEL", "SINCE"), rows) if rows else "nothing waits for a person"
    )
    return say(args, found, text)


def _progress(args: Namespace, view: dict[str, Any]) -> None:
    print(_line(view), file=sys.stderr if args.json else sys.stdout, flush=True)


def _line(view: dict[str, Any]) -> str:
    reason = "" if view["status"] == "refunded" else f"  ({view['reason']})"
    return f"{view['refund_id']}  {view['order_id']}  {view['amount_minor']} minor units  {view['status']}{reason}"


def _attempt_text(view: dict[str, Any]) -> str:
    confirmed = "confirmed by its box" if view["confirmed_at"] else "not confirmed by its box"
    lines = [
        ("attempt", f"{view['order_id']}/{view['attempt']}"),
        ("status", f"{view['status']} ({view['reason']}), {confirmed}"),
        ("channel", f"{view['channel']}  {view['provider_key'] or ''}"),
        ("reference", view["reference"] or ""),
    ]
    lines += [("refund", _line(refund)) for refund in view["refunds"]]
    lines += [
        ("decided", f"{r['decision']} by {r['who']}: {r['why']} (was {r['before']})") for r in view["resolutions"]
    ]
    return table(("", ""), lines).lstrip()

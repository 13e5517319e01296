"""What each `kingfisher-fleet` command does. Each takes the parsed arguments and gives the exit code.

Keys, boxes and the books are read and written in the state folder itself; orders and enrolments go through the
running gateway, for only it speaks to the boxes.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fleet import boxes, door, ledger_check, order_view, service
from fleet.acquirer import FailMode, SimulatedAcquirer
from fleet.broker import EmbeddedBroker, parse_address, run_until, stop_signals
from fleet.client import GatewayClient
from fleet.database import open_database
from fleet.errors import RequestRefused, StateMissing
from fleet.money import parse_amount
from fleet.state import StateFolder
from mqtt.identity import box_id_from_key, load_public_key
from mqtt.link import TlsOptions


def init(args: Namespace) -> int:
    state = StateFolder(args.state)
    fleet = state.init()
    open_database(state.database_file).close()
    facts = {"fleet": fleet, "state": str(args.state), "public_key": str(state.public_key_file)}
    return say(args, facts, f"fleet {fleet}\npublic key for the boxes: {state.public_key_file}")


def box_add(args: Namespace) -> int:
    public = load_public_key(args.public_key)
    if not args.name.strip() or len(args.name) > 64:
        raise RequestRefused("adding a box", "its name has 1 to 64 characters")
    with writing(args.state) as tx:
        box = boxes.add(tx, public, args.name.strip(), args.merchant, int(time.time()))
    return say(args, {"id": box_id_from_key(public), "name": args.name.strip()}, f"{box}  {args.name.strip()}")


def box_revoke(args: Namespace) -> int:
    with writing(args.state) as tx:
        box = boxes.choose(tx, args.box)["id"]
        boxes.revoke(tx, box, int(time.time()))
    return say(args, {"id": box, "revoked": True}, f"{box} is not believed any more")


def box_list(args: Namespace) -> int:
    with reading(args.state) as connection:
        rows = boxes.listing(connection)
    lines = [
        (
            box["id"],
            box["name"],
            "revoked" if box["revoked_at"] else "online" if box["online"] else "offline",
            _ago(box["seen_at"]),
        )
        for box in rows
    ]
    return say(args, rows, table(("BOX", "NAME", "STATE", "SEEN"), lines))


def broker(args: Namespace) -> int:
    host, port = parse_address(args.listen, loopback_only=True, default_port=1883)
    args.state.mkdir(parents=True, exist_ok=True)
    asked = stop_signals()
    embedded = EmbeddedBroker(args.state, host, port)
    embedded.start()
    address = f"{embedded.host}:{embedded.port}"
    StateFolder(args.state).write_broker(address)
    say(args, {"event": "ready", "broker": address}, f"broker ready on {address} (MQTT 5, loopback; Ctrl+C stops it)")
    try:
        return 0 if run_until(asked, embedded) else 1
    finally:
        embedded.stop()


def gateway(args: Namespace) -> int:
    tls = None
    if args.ca or args.cert or args.key:
        if args.ca is None or (args.cert is None) != (args.key is None):
            raise RequestRefused("TLS options", "--ca, and --cert with --key, belong together")
        tls = TlsOptions(args.ca, args.cert, args.key)
    state = StateFolder(args.state)
    host, port = parse_address(args.broker, loopback_only=False, default_port=8883 if tls else 1883)
    group = args.group
    if group is None and not state.is_embedded_broker(f"{host}:{port}"):
        group = "gateway"
    options = service.ServiceOptions(
        state, (host, port), parse_address(args.http, loopback_only=True, default_port=8780), tls, group or None
    )
    acquirer = SimulatedAcquirer(args.delay_s, FailMode(args.fail_mode), args.fail_first)
    service.run(options, acquirer, lambda facts: _announce(args, facts))
    return 0


def order(args: Namespace) -> int:
    parse_amount(args.amount, args.currency)  # a clear refusal here, before anything is asked for
    client = GatewayClient.of(StateFolder(args.state))
    wanted = {
        "box": args.box,
        "amount": args.amount,
        "currency": args.currency,
        "title": args.title,
        "expires_in_s": args.expires_s,
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


def orders(args: Namespace) -> int:
    with reading(args.state) as connection:
        rows = order_view.recent(connection, args.limit, int(time.time()))
    lines = [
        (v["order_id"], v["currency"], v["amount"], v["status"], v["reason"] or "", v["title"] or "") for v in rows
    ]
    return say(args, rows, table(("ORDER", "", "AMOUNT", "STATUS", "REASON", "TITLE"), lines))


def accounts(args: Namespace) -> int:
    with reading(args.state) as connection:
        rows = door.account_listing(connection)
    return say(
        args,
        rows,
        table(("ACCOUNT", "", "BALANCE"), [(row["account"], row["currency"] or "", row["balance"]) for row in rows]),
    )


def ledger_verify(args: Namespace) -> int:
    with reading(args.state) as connection:
        report = ledger_check.verify(connection, int(time.time()))
    lines = [f"FAULT {fault['what']}: {fault['where']}" for fault in report["faults"]]
    verdict = "the ledger is right" if report["ok"] else f"{len(report['faults'])} faults"
    lines.append(
        f"{verdict}: {report['orders']} orders, {report['captures']} captures, {report['reversals']} reversals,"
        f" {report['unsettled']} unsettled, {report['captured_unconfirmed']} captured and not confirmed by their box"
    )
    say(args, report, "\n".join(lines))
    return 0 if report["ok"] else 1


def ledger_show(args: Namespace) -> int:
    with reading(args.state) as connection:
        rows = ledger_check.entries(connection, args.limit)
    lines = [
        (str(r["id"]), r["kind"], r["debit"], r["credit"], r["currency"], str(r["amount_minor"]), r["order_id"] or "")
        for r in rows
    ]
    return say(args, rows, table(("ENTRY", "KIND", "FROM", "TO", "", "MINOR", "ORDER"), lines))


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """The books, open for reading. Raises StateMissing."""
    state = StateFolder(folder)
    if not state.database_file.exists():
        raise StateMissing(f"state folder {folder}", "has no ledger", "run `kingfisher-fleet init` first")
    with closing(open_database(state.database_file)) as connection:
        yield connection


@contextmanager
def writing(folder: Path) -> Iterator[sqlite3.Connection]:
    """The books in one transaction: all of it or nothing. Raises StateMissing."""
    with reading(folder) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def say(args: Namespace, facts: Any, text: str) -> int:
    """`facts` as one JSON line with --json, else `text`; the exit code of success."""
    if args.json:
        print(json.dumps(facts, ensure_ascii=False), flush=True)
    elif text:
        print(text, flush=True)
    return 0


def _announce(args: Namespace, facts: dict[str, Any]) -> None:
    say(args, {"event": "ready"} | facts, f"gateway ready on {facts['http']}\ntill: {facts['till']}")


def _progress(args: Namespace, line: str) -> None:
    print(line, file=sys.stderr if args.json else sys.stdout, flush=True)


def _order_line(view: dict[str, Any]) -> str:
    reason = f"  ({view['reason']})" if view["reason"] and view["status"] != "approved" else ""
    return f"{view['order_id']}  {view['currency']} {view['amount']}  {view['status']}{reason}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns under their heads."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *rows]
    )


def _ago(seen_at: int | None) -> str:
    return "never" if seen_at is None else f"{max(0, int(time.time()) - seen_at)} s ago"

"""What each `kingfisher-fleet` command does. Each takes the parsed arguments and gives the exit code.

These read and write the state folder itself: keys, boxes, books. What goes through the running gateway is in
`fleet.asking`, what runs until it is stopped in `fleet.serving`: a command pays for the imports it needs.
"""

from __future__ import annotations

import sqlite3
import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fleet.boxes import register as boxes
from fleet.database import open_database
from fleet.errors import RequestRefused, StateMissing
from fleet.money import accounts as account_book
from fleet.money import ledger_check, order_view
from fleet.money.amounts import parse_amount
from fleet.printable import printable, printable_json
from fleet.state import StateFolder
from mqtt.identity import box_id_from_key, load_public_key
from mqtt.presence import is_absent


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
    told = "the gateway takes back what it told of wrong PINs"
    return say(args, {"id": box, "revoked": True}, f"{box} is not believed any more; {told}")


def box_allow_orders(args: Namespace) -> int:
    from fleet.money import box_orders  # the bodies of messages take their time

    up_to_minor = parse_amount(args.up_to, args.currency, allow_zero=True)
    with writing(args.state) as tx:
        box = box_orders.choose_and_allow(tx, args.box, args.currency, up_to_minor)
    facts = {"id": box, "currency": args.currency, "up_to_minor": up_to_minor}
    word = f"may make orders of up to {args.currency} {args.up_to} each" if up_to_minor else "makes no orders"
    return say(args, facts, f"{box} {word}" + ("" if up_to_minor else f" in {args.currency}"))


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


def orders(args: Namespace) -> int:
    with reading(args.state) as connection:
        rows = order_view.recent(connection, args.limit, int(time.time()))
    lines = [
        (v["order_id"], v["currency"], v["amount"], "DURESS " * v["duress"] + v["status"], v["reason"] or "",
         v["title"] or "")
        for v in rows
    ]  # fmt: skip
    return say(args, rows, table(("ORDER", "", "AMOUNT", "STATUS", "REASON", "TITLE"), lines))


def accounts(args: Namespace) -> int:
    with reading(args.state) as connection:
        rows = account_book.listing(connection)
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
        f" {report['refunds']} refunds, {report['unsettled']} unsettled, {report['refunding']} being refunded,"
        f" {report['captured_unconfirmed']} captured and not confirmed by their box, {report['manual']} for a person,"
        f" {report['written_off']} accepted offline and never paid"
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
    if is_absent(state.database_file):
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
        print(printable_json(facts), flush=True)
    elif text:
        print(printable(text), flush=True)
    return 0


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns under their heads."""
    widths = [max(len(line[i]) for line in [head, *rows]) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *rows]
    )


def _ago(seen_at: int | None) -> str:
    return "never" if seen_at is None else f"{max(0, int(time.time()) - seen_at)} s ago"

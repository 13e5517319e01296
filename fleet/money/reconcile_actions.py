"""What `kingfisher-fleet reconcile` does. Exit code 1 where money is in question."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from daemon.payment.reconcile import Head, write
from fleet.actions import reading, say, table
from fleet.boxes import register as boxes
from fleet.client import GatewayClient
from fleet.errors import RequestRefused
from fleet.money import reconcile
from fleet.state import StateFolder
from mqtt.identity import fleet_id_from_key, write_file


def run(args: Namespace) -> int:
    if args.channel is not None:
        return _channel(args)
    if args.box is None:
        raise RequestRefused(
            "reconciling", "say with whom", "--box BOX with --with FILE or --export FILE, or --channel NAME"
        )
    if args.export is not None:
        return _export(args)
    if args.file is None:
        raise RequestRefused("reconciling a box", "its own list is needed", "--with FILE, as the box exported it")
    return _box(args)


def _box(args: Namespace) -> int:
    try:
        data = args.file.read_bytes()
    except OSError as error:
        raise RequestRefused(f"reading {args.file}", error.strerror or "unreadable") from error
    with reading(args.state) as connection:
        connection.execute("BEGIN")
        box = boxes.choose(connection, args.box)["id"]
        _, count, found = reconcile.against_box(connection, data, box, args.day)
        connection.execute("ROLLBACK")
    money = sum(difference.money for difference in found)
    facts = {
        "box": box, "day": args.day, "attempts": count, "ok": not found, "money_in_question": money,
        "differences": [reconcile.as_json(difference) for difference in found],
    }  # fmt: skip
    rows = [(d.kind, f"{d.order_id}/{d.attempt}", d.here, d.there, "MONEY" if d.money else "") for d in found]
    text = f"{box}  {args.day}: {count} attempts on the box, {len(found)} differences, {money} of them about money"
    if found:
        text += "\n" + table(("DIFFERENCE", "ATTEMPT", "LEDGER", "BOX", ""), rows)
    say(args, facts, text)
    return 1 if money else 0


def _export(args: Namespace) -> int:
    key = StateFolder(args.state).load_key()
    with reading(args.state) as connection:
        box = boxes.choose(connection, args.box)["id"]
        found = reconcile.lines(connection, box, args.day, args.utc_offset)
    head = Head(fleet_id_from_key(key.public_key()), box, args.day, args.utc_offset)
    write_file(args.export, write(head, found.values(), key.sign), mode=0o600)
    facts = {"box": box, "day": args.day, "attempts": len(found), "file": str(args.export)}
    return say(args, facts, f"{len(found)} attempts of {box} on {args.day} in {args.export}")


def _channel(args: Namespace) -> int:
    client = GatewayClient.of(StateFolder(args.state))
    report: dict[str, Any] = client.post(
        f"/v1/reconcile/{args.channel}", {"day": args.day, "utc_offset_min": args.utc_offset}
    )
    found = report["differences"]
    money = sum(bool(d["money"]) for d in found)
    text = f"{args.channel}  {args.day}: {report['trades']} lines of the provider, {len(found)} differences"
    text += f", {money} of them about money"
    if found:
        rows = [
            (d["kind"], f"{d['order_id']}/{d['attempt']}" if d["order_id"] else d["provider_key"], d["currency"],
             str(d["here_minor"]), str(d["there_minor"]),
             "late success: asked again" if d["looked_at"] else "MONEY" if d["money"] else "")
            for d in found
        ]  # fmt: skip
        text += "\n" + table(("KIND", "ATTEMPT", "", "LEDGER", "PROVIDER", ""), rows)
    say(args, report, text)
    return 1 if money else 0

"""`kingfisher-fleet ca|ticket|tickets|sign|login`: what a technician brings to a box and carries back."""

from __future__ import annotations

import argparse
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fleet.actions import reading, say, table, writing
from fleet.boxes import authority, tickets
from fleet.boxes import register as boxes
from fleet.broker import parse_address
from fleet.errors import RequestRefused
from fleet.state import StateFolder
from mqtt.armour import armour
from mqtt.identity import BOX_ID, fleet_id_from_key, write_file

Command = Callable[..., argparse.ArgumentParser]


def add(command: Command) -> None:
    """Adds these commands to the parser that `command` belongs to."""
    ca = command(
        "ca",
        "The fleet's certificate authority.",
        "  kingfisher-fleet ca init\n  kingfisher-fleet ca broker --host mqtt.example --out broker/\n"
        "  kingfisher-fleet ca gateway --out gateway/",
    )
    within = ca.add_subparsers(dest="ca_command", required=True, metavar="init|broker|gateway")
    init = command("init", "Make the authority; what is there stays.", "  kingfisher-fleet ca init", within)
    init.set_defaults(act=ca_init)
    broker = command(
        "broker", "A broker's certificate, with mosquitto's settings and access rules.",
        "  kingfisher-fleet ca broker --host mqtt.example --host 10.0.2.2 --out broker/", within,
    )  # fmt: skip
    broker.add_argument(
        "--host", action="append", required=True, metavar="NAME", help="name or address; may be given again"
    )
    broker.add_argument("--port", type=int, default=8883, help="default: %(default)s")
    broker.add_argument("--out", type=Path, required=True, metavar="DIR")
    broker.set_defaults(act=ca_broker)
    gateway = command(
        "gateway", "The gateway's client certificate; its key is the fleet's.",
        "  kingfisher-fleet ca gateway --out gateway/", within,
    )  # fmt: skip
    gateway.add_argument("--out", type=Path, required=True, metavar="DIR")
    gateway.set_defaults(act=ca_gateway)

    ticket = command(
        "ticket", "Make a ticket with which a technician provisions one box, once.",
        "  kingfisher-fleet ticket --box counter-2 --broker mqtt.example:8883 --out counter-2.ticket\n"
        "  kingfisher-fleet ticket --box counter-2 --broker 10.0.2.2:8883 --tenant canteen --for-box kf-...",
    )  # fmt: skip
    ticket.add_argument("--box", required=True, metavar="NAME", help="what people will call it")
    ticket.add_argument("--broker", required=True, metavar="HOST:PORT", help="as the box will reach it, over TLS")
    ticket.add_argument("--tenant", default="default", help="default: %(default)s")
    ticket.add_argument("--merchant", default="main", help="whose account its payments go to (default: %(default)s)")
    ticket.add_argument("--for-box", metavar="KF-ID", help="only this box may use it (default: the first that does)")
    ticket.add_argument("--valid-h", type=_hours, default=24.0, metavar="H", help="up to 720 (default: %(default)g)")
    ticket.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    ticket.set_defaults(act=make_ticket)

    listing = command("tickets", "All provisioning tickets.", "  kingfisher-fleet tickets")
    listing.set_defaults(act=list_tickets)

    sign = command(
        "sign", "Answer a box's signing request: certify it, trust its key, use up the ticket.",
        "  kingfisher-fleet sign counter-2.csr --out counter-2.answer\n"
        "  kingfisher-fleet sign - --ticket-id 3f0c... < pasted.txt",
    )  # fmt: skip
    sign.add_argument("request", metavar="CSR", help="file with the request; - reads standard input")
    sign.add_argument("--ticket-id", metavar="ID", help="refuse it if it was made with another ticket")
    sign.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    sign.set_defaults(act=sign_request)

    login = command(
        "login", "Make a ticket that logs a technician in at one box, once.",
        "  kingfisher-fleet login --box counter-2 --technician wei",
    )  # fmt: skip
    login.add_argument("--box", help="id or name; may be left out where there is one box")
    login.add_argument("--technician", required=True, metavar="NAME", help="goes into the box's journal")
    login.add_argument("--valid-min", type=_minutes, default=30.0, metavar="MIN", help="default: %(default)g")
    login.add_argument("--out", type=Path, metavar="FILE", help="default: standard output")
    login.set_defaults(act=make_login)


def ca_init(args: Namespace) -> int:
    certificate = authority.Authority.open_or_create(StateFolder(args.state)).certificate
    facts = {
        "certificate": str(args.state / "ca.pem"), "subject": certificate.subject.rfc4514_string(),
        "until": certificate.not_valid_after_utc.isoformat(),
    }  # fmt: skip
    return say(
        args, facts, f"{facts['subject']}, until {certificate.not_valid_after_utc:%Y-%m-%d}\n{args.state / 'ca.pem'}"
    )


def ca_broker(args: Namespace) -> int:
    files = authority.write_broker_folder(StateFolder(args.state), args.host, args.port, args.out)
    return say(args, {"files": [str(file) for file in files]}, "\n".join(str(file) for file in files))


def ca_gateway(args: Namespace) -> int:
    state = StateFolder(args.state)
    path = authority.write_gateway_certificate(state, args.out)
    facts = {"certificate": str(path), "key": str(state.key_file), "ca": str(state.folder / "ca.pem")}
    options = f"--ca {facts['ca']} --cert {path} --key {state.key_file}"
    return say(args, facts, f"kingfisher-fleet gateway --broker HOST:PORT {options}")


def make_ticket(args: Namespace) -> int:
    if args.for_box is not None and BOX_ID.fullmatch(args.for_box) is None:
        raise RequestRefused(
            "--for-box", f"{args.for_box[:40]!r} is no box id", "the console's banner shows it: kf-..."
        )
    state = StateFolder(args.state)
    address = parse_address(args.broker, loopback_only=False, default_port=8883)
    life_s = round(args.valid_h * 3600)
    wanted = tickets.TicketWanted(args.box.strip(), args.merchant, args.tenant, address, life_s, args.for_box)
    key, certifier = state.load_key(), authority.Authority.open_or_create(state)
    with writing(args.state) as tx, _named_errors():
        ticket_id, token = tickets.make(tx, key, certifier, wanted, int(time.time()))
        namesakes = [box["id"] for box in boxes.listing(tx) if box["name"] == wanted.box_name and not box["revoked_at"]]
    fleet = fleet_id_from_key(key.public_key())
    facts = {"ticket_id": ticket_id, "fleet": fleet, "ticket": token, "valid_s": wanted.life_s}
    hint = f"ticket {ticket_id} for {wanted.box_name}; the box will show this fleet's fingerprint, compare it: {fleet}"
    if namesakes:
        hint += f"\nthere is a {wanted.box_name} already, {', '.join(namesakes)}: revoke it if this one takes its place"
    return _hand_over(args, facts, armour("TICKET", token), hint)


def list_tickets(args: Namespace) -> int:
    with reading(args.state) as connection:
        rows = tickets.listing(connection, int(time.time()))
    lines = [(row["id"], row["box_name"], row["status"], row["used_by"] or row["for_box"] or "") for row in rows]
    return say(args, rows, table(("TICKET", "NAME", "STATUS", "BOX"), lines))


def sign_request(args: Namespace) -> int:
    what = "reading the signing request"
    try:
        text = sys.stdin.buffer.read(64 * 1024) if args.request == "-" else Path(args.request).read_bytes()
    except OSError as error:
        raise RequestRefused(what, f"{args.request}: {error.strerror}") from error
    state = StateFolder(args.state)
    key, certifier = state.load_key(), authority.Authority.open(state)
    with writing(args.state) as tx:
        signed = tickets.sign(tx, key, certifier, text, args.ticket_id, int(time.time()))
    facts = {"box": signed.box, "answer": signed.answer, "pin": signed.pin}
    hint = f"{signed.box} is trusted now" + (
        f"; its console's offline PIN, shown this once: {signed.pin}"
        if signed.pin
        else "; the same answer as before (the PIN was shown then)"
    )
    return _hand_over(args, facts, armour("ANSWER", signed.answer), hint)


def make_login(args: Namespace) -> int:
    with reading(args.state) as connection:
        box = str(boxes.choose(connection, args.box)["id"])
    key = StateFolder(args.state).load_key()
    with _named_errors():
        token = tickets.make_login(key, box, args.technician, round(args.valid_min * 60), int(time.time()))
    facts = {"box": box, "technician": args.technician, "ticket": token}
    return _hand_over(args, facts, armour("LOGIN", token), f"for {box}, once, within {args.valid_min:g} minutes")


def _hand_over(args: Namespace, facts: dict[str, Any], block: str, hint: str) -> int:
    """The block to standard output or a file, what a person should know to standard error."""
    if args.out is not None:
        write_file(args.out, block.encode() + b"\n", mode=0o600)
        facts = facts | {"file": str(args.out)}
    if args.json:
        return say(args, facts, "")
    print(hint + (f"\nwritten to {args.out}" if args.out else ""), file=sys.stderr, flush=True)
    return say(args, facts, "" if args.out else block)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RequestRefused(f"{where} of the ticket", str(first["msg"])) from error


def _hours(text: str) -> float:
    value = float(text)
    if not 0 < value <= 720:
        raise argparse.ArgumentTypeError("up to 720")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value <= 24 * 60:
        raise argparse.ArgumentTypeError("up to a day")
    return value

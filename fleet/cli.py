"""`kingfisher-fleet`: the operator's command line. This page is its grammar; `fleet.actions`, `fleet.asking` and
`fleet.serving` do the work, and are imported when they are asked to, for a till's script should not wait for them.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fleet import operator_cli
from fleet.boxes import catalogue, roster_cli, tries_cli, verify_cli
from fleet.content import grammar as content_grammar
from fleet.errors import FleetError, GatewayUnreachable, StateInUse, StateMissing, WaitedInVain
from fleet.matcher import grammar as matcher_grammar
from fleet.members import grammar as member_grammar
from fleet.money import cli as money_cli
from fleet.money import wallet_cli
from fleet.money.fail_mode import FailMode
from fleet.printable import printable, printable_json
from fleet.state import default_folder
from fleet.swarm import grammar as swarm_grammar
from mqtt.errors import MqttError

EXIT_CODES = """exit codes:
  0  done; with --wait: approved, or enrolled
  1  refused, declined, expired, cancelled, or the ledger does not verify
  2  the command line is wrong
  3  no state folder, no gateway, or another one is running
  4  --wait took too long
"""

EXAMPLES = """examples:
  kingfisher-fleet init
  kingfisher-fleet box add box_public.pem --name counter-1
  kingfisher-fleet broker --listen 127.0.0.1:1883
  kingfisher-fleet gateway --broker 127.0.0.1:1883 --http 127.0.0.1:8780
  kingfisher-fleet enrol --box counter-1 --payer grace --balance 100.00 --purpose pay --wait
  kingfisher-fleet order --box counter-1 --amount 18.50 --title Latte --wait
  kingfisher-fleet ledger verify --json
"""


def _shared() -> argparse.ArgumentParser:
    """What may stand before or after each command."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--state", type=Path, metavar="DIR", default=argparse.SUPPRESS, help="default: $KINGFISHER_STATE/fleet"
    )
    shared.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document per line on stdout"
    )
    shared.add_argument("--verbose", "-v", action="store_true", default=argparse.SUPPRESS, help="log more to stderr")
    return shared


def parser(command_word: str | None = None) -> argparse.ArgumentParser:
    """Of everything; where the command is known to be one of this page's, without the technician's."""
    shared = _shared()
    top = argparse.ArgumentParser(
        prog="kingfisher-fleet",
        description="The fleet's end of Kingfisher: keys, boxes, orders, accounts and the payment gateway.",
        epilog=EXAMPLES + "\n" + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared],
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str,
        help_text: str,
        examples: str,
        within: argparse._SubParsersAction[argparse.ArgumentParser] | None = None,
    ) -> argparse.ArgumentParser:
        return (within or commands).add_parser(
            name,
            help=help_text,
            description=help_text,
            epilog=f"examples:\n{examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            parents=[shared],
        )

    init = command(
        "init",
        "Make the fleet's key and tokens; what is there stays.",
        "  kingfisher-fleet init --state /var/lib/fleet",
    )
    init.set_defaults(act=_of("actions", "init"))

    box = command(
        "box",
        "The registry of trusted boxes.",
        "  kingfisher-fleet box add box_public.pem --name counter-1\n  kingfisher-fleet box list --json",
    )
    within = box.add_subparsers(dest="box_command", required=True, metavar="add|list|revoke|allow-orders")
    add = command(
        "add", "Trust a box by its public key.", "  kingfisher-fleet box add box_public.pem --name counter-1", within
    )
    add.add_argument("public_key", type=Path, metavar="PUBLIC_KEY.pem")
    add.add_argument("--name", required=True, help="what people call it")
    add.add_argument("--merchant", default="main", help="whose account its payments go to (default: %(default)s)")
    add.set_defaults(act=_of("actions", "box_add"))
    listing = command("list", "All boxes and what they last said.", "  kingfisher-fleet box list", within)
    listing.set_defaults(act=_of("actions", "box_list"))
    grouping = command(
        "group", "Put a box into a group, and into a tenant: the layers that its config comes from.",
        "  kingfisher-fleet box group counter-1 canteen\n  kingfisher-fleet box group counter-1 canteen --tenant north",
        within,
    )  # fmt: skip
    grouping.add_argument("box", metavar="BOX")
    grouping.add_argument("group", metavar="GROUP")
    grouping.add_argument("--tenant", help="stays as it is where none is given")
    grouping.set_defaults(act=_of("rollout.actions", "box_group"))
    showing = command(
        "show", "All that is known of one box. `kingfisher-fleet box kf-...` says the same.",
        "  kingfisher-fleet box show counter-1\n  kingfisher-fleet box kf-... --json",
        within,
    )  # fmt: skip
    showing.add_argument("box", metavar="BOX")
    showing.set_defaults(act=_of("health.actions", "box_show"))
    revoke = command("revoke", "Never believe this box's key again.", "  kingfisher-fleet box revoke kf-...", within)
    revoke.add_argument("box", metavar="BOX")
    revoke.set_defaults(act=_of("actions", "box_revoke"))
    allow = command(
        "allow-orders", "Let a box make orders itself (a clerk's keypad, a cart, a till's line), up to an amount each.",
        "  kingfisher-fleet box allow-orders counter-1 --up-to 500.00\n"
        "  kingfisher-fleet box allow-orders counter-1 --currency JPY --up-to 0", within,
    )  # fmt: skip
    allow.add_argument("box", metavar="BOX")
    allow.add_argument("--up-to", required=True, metavar="AMOUNT", help="the most one order may be; 0 forbids them")
    allow.add_argument("--currency", default="CNY", help="ISO 4217 (default: %(default)s)")
    allow.set_defaults(act=_of("actions", "box_allow_orders"))

    broker = command(
        "broker",
        "Run the embedded MQTT 5 broker (loopback, for demos and tests).",
        "  kingfisher-fleet broker --listen 127.0.0.1:1883",
    )
    broker.add_argument(
        "--listen", default="127.0.0.1:1883", metavar="HOST:PORT", help="port 0 takes a free one (default: %(default)s)"
    )
    broker.set_defaults(act=_of("serving", "broker"))

    gateway = command(
        "gateway", "Run the payment gateway: the simulated provider, and those of channels.toml.",
        "  kingfisher-fleet gateway --broker 127.0.0.1:1883 --http 127.0.0.1:8780\n"
        "  kingfisher-fleet gateway --broker mqtt.example:8883 --ca ca.pem --cert fleet.pem --key fleet.key\n"
        "  kingfisher-fleet gateway --delay-s 3 --fail-mode lose-answer --fail-first 1",
    )  # fmt: skip
    gateway.add_argument("--broker", default="127.0.0.1:1883", metavar="HOST:PORT", help="default: %(default)s")
    gateway.add_argument(
        "--http",
        default="127.0.0.1:8780",
        metavar="HOST:PORT",
        help="loopback only; port 0 takes a free one (default: %(default)s)",
    )
    gateway.add_argument(
        "--group",
        metavar="NAME",
        help="share the boxes' messages with other gateways of this name, which no box may know; '' is alone"
        " (default: a name made of the fleet's key, and '' on the embedded broker, see fleet/broker.py)",
    )
    gateway.add_argument("--ca", type=Path, metavar="PEM", help="TLS: who may sign the broker's certificate")
    gateway.add_argument("--cert", type=Path, metavar="PEM", help="TLS: our certificate, made out to the fleet's id")
    gateway.add_argument("--key", type=Path, metavar="PEM", help="TLS: its key")
    gateway.add_argument(
        "--channels",
        type=Path,
        metavar="TOML",
        help="the payment providers (default: channels.toml of the state folder)",
    )
    gateway.add_argument(
        "--delay-s", type=_seconds, default=0.0, metavar="S", help="the simulated provider acts after this time"
    )
    gateway.add_argument(
        "--fail-mode", choices=[str(mode) for mode in FailMode], default="none", help="how the simulated provider fails"
    )
    gateway.add_argument("--fail-first", type=_count, metavar="N", help="only the first N charges fail (default: all)")
    gateway.set_defaults(act=_of("serving", "gateway"))

    order = command(
        "order", "Ask a box for a payment.",
        "  kingfisher-fleet order --box counter-1 --amount 18.50 --title Latte --wait\n"
        "  kingfisher-fleet order --amount 1200 --currency JPY --json\n"
        "  kingfisher-fleet order --amount 9.90 --flow phone_first --phone 13800138000",
    )  # fmt: skip
    order.add_argument("--box", help="id or name; may be left out where there is one box")
    order.add_argument("--amount", required=True, help="exact decimal, like 18.50")
    order.add_argument("--currency", default="CNY", help="ISO 4217 (default: %(default)s)")
    order.add_argument("--title", help="what the payer reads, up to 64 characters")
    order.add_argument(
        "--flow", metavar="WAY", help="how the payer is to be known: docs/paying.md (default: the box's own)"
    )
    order.add_argument("--phone", metavar="DIGITS", help="a member's number from a log-in, to be edited on the box")
    order.add_argument("--key", help="your own name for the sale: asked again with it, no second order is made")
    order.add_argument("--expires-s", type=_count, default=120, metavar="S", help="default: %(default)s")
    _add_wait(order, "until the box itself says approved, or it is declined, expired, cancelled or reversed")
    order.set_defaults(act=_of("asking", "order"))

    enrol = command(
        "enrol", "Open a payer's account and let a box enrol the face (consent and PIN happen there).",
        "  kingfisher-fleet enrol --box counter-1 --payer grace --balance 100.00 --purpose pay --wait",
    )  # fmt: skip
    enrol.add_argument("--box", help="id or name; may be left out where there is one box")
    enrol.add_argument("--payer", required=True, metavar="HANDLE", help="opaque name, never a phone number")
    enrol.add_argument("--balance", default="0", help="opening balance of a new account (default: %(default)s)")
    enrol.add_argument("--currency", default="CNY", help="ISO 4217 (default: %(default)s)")
    enrol.add_argument("--purpose", action="append", metavar="PURPOSE", help="may be given again (default: pay)")
    enrol.add_argument(
        "--notice-version", default="1", help="version of the consent notice shown (default: %(default)s)"
    )
    enrol.add_argument("--expires-s", type=_count, default=600, metavar="S", help="default: %(default)s")
    enrol.add_argument("--under-14", action="store_true", help="a child: on the box a guardian consents")
    enrol.add_argument("--clerk", action="store_true", help="only once a clerk's or technician's PIN was typed there")
    _add_wait(enrol, "until the box says how it ended")
    enrol.set_defaults(act=_of("asking", "enrol"))

    till = command("till", "The link that opens the till's page; whoever has it can charge.", "  kingfisher-fleet till")
    till.set_defaults(act=_of("asking", "till"))

    orders = command("orders", "The newest orders.", "  kingfisher-fleet orders --limit 20")
    orders.add_argument("--limit", type=_count, default=20, help="default: %(default)s")
    orders.set_defaults(act=_of("actions", "orders"))

    accounts = command("accounts", "Every account with its balance.", "  kingfisher-fleet accounts --json")
    accounts.set_defaults(act=_of("actions", "accounts"))

    audit = command(
        "audit", "What the boxes signed for the record: checkpoints of their journals, evidence of payments.",
        "  kingfisher-fleet audit\n"
        "  kingfisher-fleet audit --box counter-1 --evidence > evidence.txt    for kingfisher verify-evidence\n"
        "  kingfisher-fleet audit --box counter-1 --box-key > box_public.pem",
    )  # fmt: skip
    audit.add_argument("--box", help="id or name (default: all)")
    what = audit.add_mutually_exclusive_group()
    what.add_argument("--evidence", nargs="?", const="", metavar="ORDER", help="the signed tokens, all or one order's")
    what.add_argument("--box-key", action="store_true", help="the box's public key, PEM")
    audit.set_defaults(act=_of("boxes.audit_actions", "audit"))

    left = command(
        "departures", "Who was erased on a box, or withdrew a consent there.",
        "  kingfisher-fleet departures\n"
        "  kingfisher-fleet departures --handles > erased.txt    for kingfisher store restore --erased",
    )  # fmt: skip
    left.add_argument("--box", help="id or name (default: all)")
    left.add_argument("--handles", action="store_true", help="handles of the erased alone, one a line")
    left.set_defaults(act=_of("boxes.departures_actions", "departures"))

    ledger = command(
        "ledger", "The books.", "  kingfisher-fleet ledger verify\n  kingfisher-fleet ledger show --limit 20"
    )
    within = ledger.add_subparsers(dest="ledger_command", required=True, metavar="verify|show")
    verify = command(
        "verify", "Check that every cent is where it must be.", "  kingfisher-fleet ledger verify --json", within
    )
    verify.set_defaults(act=_of("actions", "ledger_verify"))
    show = command("show", "The newest entries.", "  kingfisher-fleet ledger show --limit 20", within)
    show.add_argument("--limit", type=_count, default=20, help="default: %(default)s")
    show.set_defaults(act=_of("actions", "ledger_show"))

    operator_cli.add(command, _of)
    roster_cli.add(command, _of)
    tries_cli.add(command, _of)
    content_grammar.add(command, _of)
    swarm_grammar.add(command, _of)
    money_cli.add(command, _of)
    wallet_cli.add(command, _of)
    verify_cli.add(command, _of)
    member_grammar.add(command, _of)
    matcher_grammar.add(command, _of)
    catalogue.add(command)
    if command_word not in commands.choices:
        from fleet.boxes import technician_cli  # the certificates' and tickets' libraries take their time

        technician_cli.add(command)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    word = _command_word(argv)
    args = parser(word).parse_args(_box_by_id(argv) if word == "box" else argv)
    args.state = getattr(args, "state", None) or default_folder()
    args.json = getattr(args, "json", False)
    verbose = getattr(args, "verbose", False)
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO if args.command == "gateway" else logging.WARNING,
        format="%(levelname)s %(name)s %(message)s",
        stream=sys.stderr,
    )
    try:
        return int(args.act(args))
    except (FleetError, MqttError) as error:
        if args.json:
            code = getattr(error, "code", type(error).__name__)
            print(printable_json({"error": {"code": code, "message": str(error)}}))
        print(printable(f"kingfisher-fleet: {error}"), file=sys.stderr)
        if isinstance(error, WaitedInVain):
            return 4
        return 3 if isinstance(error, GatewayUnreachable | StateMissing | StateInUse) else 1
    except (sqlite3.Error, OSError) as error:
        print(f"kingfisher-fleet: {args.state}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _of(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """The action of this name, imported when it is to be done."""

    def act(args: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(f"fleet.{module}"), name)(args))

    return act


def _box_by_id(argv: Sequence[str] | None) -> list[str]:
    """`box kf-...` is short for `box show kf-...`."""
    words = list(sys.argv[1:] if argv is None else argv)
    place = words.index("box") + 1
    if place < len(words) and words[place].startswith("kf-"):
        words.insert(place, "show")
    return words


def _command_word(argv: Sequence[str] | None) -> str | None:
    """The first word that is neither an option nor an option's value; None where there is no telling."""
    looker = argparse.ArgumentParser(add_help=False, exit_on_error=False, parents=[_shared()])
    looker.add_argument("command", nargs="?")
    try:
        found = looker.parse_known_args(argv)[0].command
    except argparse.ArgumentError:
        return None
    return str(found) if found is not None else None


def _add_wait(to: argparse.ArgumentParser, what: str) -> None:
    to.add_argument("--wait", action="store_true", help=f"follow it {what}")
    to.add_argument("--timeout-s", type=_seconds, default=300.0, metavar="S", help="of --wait (default: %(default)g)")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 86400:
        raise argparse.ArgumentTypeError("from 0 to 86400")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())

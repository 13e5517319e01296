"""`kingfisher policy show|check|explain`: what a box asks its payers for, whether a policy is one, and why a case got
its ruling.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from daemon.cli.output import add_json, print_json
from daemon.config.load import ConfigRefused, load
from daemon.payment.face_alone import largest_unchallenged_minor, must_be_challenged
from daemon.payment.flows import FLOWS
from daemon.payment.money import Amount, AmountRefused, parse
from daemon.payment.order import Circumstances, Identified
from daemon.payment.policy import Case, Policy, explain, facts, rule
from daemon.payment.policy_document import PolicyDocument

MAX_BYTES = 256 * 1024
EXAMPLES = """examples:
  kingfisher policy check shop.toml                    is this a policy? every error, with its path
  kingfisher policy show                               the rules this box goes by
  kingfisher policy explain --amount 12.50 --score 0.7 --margin 0.3
  kingfisher policy explain --file shop.toml --amount 12.50 --offline --ambiguous
  kingfisher policy explain --amount 12.50 --challenged no     who was not asked to turn and blink
"""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "policy", help="what payers are asked for, and why", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    check = actions.add_parser("check", help="whether a file holds a policy; changes nothing")
    check.add_argument("file", type=Path, help="TOML or JSON: the [policy] section, alone or in a whole config")
    shown = actions.add_parser("show", help="the rules in force, in their order")
    case = actions.add_parser("explain", help="which rule fires for a case, and why not those before it")
    for action in (shown, case):
        source = action.add_mutually_exclusive_group()
        source.add_argument("--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="of the box")
        source.add_argument("--file", type=Path, help="a policy that is not in force")
    _add_case(case)
    for action, call in ((check, _check), (shown, _show), (case, _explain)):
        add_json(action)
        action.set_defaults(call=call)


def _add_case(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--amount", required=True, help="like 12.50; `none` for an identity check")
    parser.add_argument("--currency", default="CNY")
    parser.add_argument("--flow", default="face_first", choices=sorted(FLOWS))
    for name, default, what in (
        ("score", 0.8, "cosine of the match, -1..1"), ("margin", 0.4, "lead over the runner-up"),
        ("liveness", 0.99, "0..1"), ("payer-sum-day", 0.0, "minor units"), ("box-sum-day", 0.0, "minor units"),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{what}; default %(default)s")
    for name in ("visits", "payer-count-day", "box-count-day"):
        parser.add_argument(f"--{name}", type=int, default=0, help="default %(default)s")
    parser.add_argument("--hour", type=int, default=time.localtime().tm_hour, choices=range(24), metavar="0..23")
    parser.add_argument(
        "--challenged", choices=("yes", "no"), help="turned and blinked; default: where this policy asks for it"
    )
    parser.add_argument("--ambiguous", action="store_true", help="a look-alike is in the gallery")
    parser.add_argument("--offline", action="store_true", help="the link is down")
    parser.add_argument("--duress", action="store_true", help="this payer was forced once")


def read(path: Path) -> PolicyDocument:
    """Raises ConfigRefused with every error, each with its path."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigRefused(str(path), [f"can't be read: {error.strerror or error}"]) from error
    if len(raw) > MAX_BYTES:
        raise ConfigRefused(str(path), [f"is {len(raw)} bytes long; a policy has at most {MAX_BYTES}"])
    try:
        text = raw.decode("utf-8")
        values = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigRefused(str(path), [f"is neither TOML nor JSON: {error}"]) from error
    values = values.get("policy", values)
    try:
        return PolicyDocument.model_validate(values)
    except ValidationError as error:
        raise ConfigRefused(str(path), [_line(item) for item in error.errors()]) from error


def _line(item: Any) -> str:
    where = ".".join(str(part) for part in ("policy", *item["loc"]))
    why = "is not a setting" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
    return f"{where}: {why}"


def _document(options: argparse.Namespace) -> PolicyDocument:
    return read(options.file) if options.file else load(options.config).policy


def _check(options: argparse.Namespace) -> int:
    document = read(options.file)
    rules = document.policy().rules
    if options.json:
        print_json({"ok": True, "rules": [r.name for r in rules], "fingerprint": document.fingerprint()})
    else:
        print(f"{options.file} is a policy of {len(rules)} rules, {document.fingerprint()[:16]}")
    return 0


def _show(options: argparse.Namespace) -> int:
    document = _document(options)
    policy = document.policy()
    if options.json:
        print_json(document.model_dump(mode="json", exclude_none=True) | {"fingerprint": policy.fingerprint})
        return 0
    print(f"policy {policy.fingerprint[:16]}; the first rule that fits decides")
    for one in policy.rules:
        when = "; ".join(f"{name} {test}" for name, test in one.when.items()) or "always"
        print(f"  {one.name:28} {one.then.value:8} when {when}")
    print(f"  {'otherwise':28} {policy.otherwise.value}")
    print("  never less than a PIN for look-alikes, while offline, and for a face that was not asked to turn and blink")
    risked = largest_unchallenged_minor(policy)
    if risked:
        print(f"  but up to {risked} (minor units) nobody is asked to, and a printed face may pay")
    return 0


def _explain(options: argparse.Namespace) -> int:
    policy = _document(options).policy()
    case, asked = _case(options, policy)
    ruling, tried = rule(policy, case, FLOWS[options.flow].at_least), explain(policy, case)
    if options.json:
        print_json(
            {
                "challenge": asked, "factor": ruling.factor, "rule": ruling.rule, "raised_by": ruling.raised_by,
                "facts": facts(case),
                "tried": [
                    {"rule": t.rule, "then": t.then, "fired": t.fired, "failed": list(t.failed)} for t in tried
                ],
            }
        )  # fmt: skip
        return 0
    if asked:
        print("first: turn and blink, as a face alone could pay this")
    for one in tried:
        print(f"{'->' if one.fired else '  '} {one.rule:28} {one.then.value}")
        for failed in one.failed:
            print(f"       no: {failed}")
    raised = f", raised from {tried[-1].then.value} by {ruling.raised_by}" if ruling.raised_by else ""
    print(f"asks for: {ruling.factor.value} ({ruling.rule}{raised})")
    return 0


def _case(options: argparse.Namespace, policy: Policy) -> tuple[Case, bool]:
    """The case, and whether the box asks its payer to turn and blink."""
    try:
        none = options.amount == "none"
        amount = None if none else Amount(parse(options.amount, options.currency), options.currency)
    except AmountRefused as refused:
        raise ConfigRefused("--amount", [str(refused)]) from refused
    around = Circumstances(
        online=not options.offline, hour=options.hour, visits=options.visits, payer_count_day=options.payer_count_day,
        payer_sum_day=int(options.payer_sum_day), box_count_day=options.box_count_day,
        box_sum_day=int(options.box_sum_day), duress=options.duress,
    )  # fmt: skip
    asked = must_be_challenged(policy, amount, options.flow, online=not options.offline, hour=options.hour)
    challenged = asked if options.challenged is None else options.challenged == "yes"
    who = Identified("payer", options.score, options.margin, options.liveness, challenged=challenged)
    return Case(amount, options.flow, who, options.ambiguous, around), asked

"""`kingfisher doctor`: what works, what doesn't, and what to do about it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json
from daemon.config.load import load, parse, read_values
from daemon.config.model import Config
from daemon.console import pages
from daemon.console.errors import NoDaemon, NotAnsweringYet
from daemon.console.wire import ControlClient


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("doctor", help="examine the box and say what to do")
    parser.add_argument("--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="default: %(default)s")
    add_json(parser)
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    config, without = _examined(options.config)
    findings: list[dict[str, Any]]
    try:
        findings = ControlClient(config.box.state).ask("doctor")  # a running daemon knows its devices and its link
    except NoDaemon as silent:
        from daemon.health.checks import NOT_PROVISIONED, Finding, examine

        found = [NOT_PROVISIONED] if without else []
        if silent.runs:  # a camera is open once: it is the daemon's
            found.append(Finding("daemon", isinstance(silent, NotAnsweringYet), silent.why, silent.hint))
            found.append(Finding("camera", True, "not asked: the daemon has it, and does not answer"))
            without |= {"daemon", "camera"}
        findings = [asdict(finding) for finding in [*found, *examine(config, without)]]
    if options.json:
        print_json(findings)
    else:
        print("\n".join(pages.end("doctor", findings)))
    return 0 if all(finding["well"] for finding in findings) else 1


def _examined(path: Path) -> tuple[Config, frozenset[str]]:
    """The config, and which checks make no sense: a new box has no fleet, and its daemon waits for the ticket."""
    values = read_values(path)
    if "fleet" in values:
        return load(path), frozenset()
    from daemon.health.checks import NEEDS_FLEET

    return parse({**values, "fleet": {"key": "none"}}, str(path), path.resolve().parent), NEEDS_FLEET

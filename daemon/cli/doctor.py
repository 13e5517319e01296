"""`kingfisher doctor`: what works, what doesn't, and what to do about it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json
from daemon.config.load import load


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("doctor", help="examine the box and say what to do")
    parser.add_argument("--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="default: %(default)s")
    add_json(parser)
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    config = load(options.config)
    from daemon.health.checks import examine

    findings = examine(config)
    if options.json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            print(f"{'well' if finding.well else 'ILL '}  {finding.check:11} {finding.detail}")
            if finding.suggestion:
                print(f"      {'':11} -> {finding.suggestion}")
    return 0 if all(finding.well for finding in findings) else 1

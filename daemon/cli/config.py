"""`kingfisher config check|show`: what a box.toml says, and everything that is wrong with it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json
from daemon.config.load import ConfigRefused, differences, load, load_all
from daemon.config.model import Config
from daemon.payment.face_alone import largest_unchallenged_minor


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("config", help="check or show a box.toml")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text in (("check", "all errors at once, each with its path"), ("show", "the effective settings")):
        action = actions.add_parser(name, help=text)
        action.add_argument(
            "--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="default: %(default)s"
        )
        add_json(action)
        action.set_defaults(call=check if name == "check" else show)
        if name == "show":
            action.add_argument("--changes", action="store_true", help="only what differs from the defaults")


def check(options: argparse.Namespace) -> int:
    try:
        loaded = load_all(options.config)
    except ConfigRefused as refused:
        if options.json:
            print_json({"ok": False, "errors": refused.errors})
            return 1
        raise
    warnings = _warnings(loaded.config)
    if options.json:
        found = {"errors": [], "warnings": warnings, "left_out": list(loaded.left_out)}
        print_json({"ok": True, "fleet_version": loaded.version, **found})
        return 0
    print(f"{options.config} is good")
    for line in warnings:
        print(f"but consider {line}")
    if loaded.version:
        print(f"over it goes version {loaded.version} of the fleet's config")
    for line in loaded.left_out:
        print(f"the fleet's config is left out: {line}")
    return 0


def _warnings(config: Config) -> list[str]:
    """What is allowed, and weakens the box: each with its path."""
    risked = largest_unchallenged_minor(config.policy.policy())
    path = "policy.unchallenged_up_to_minor"
    return [f"{path}: up to {risked} (minor units) a printed face that was cut out may pay"] if risked else []


def show(options: argparse.Namespace) -> int:
    config = load(options.config)
    values = differences(config) if options.changes else config.model_dump(mode="json")
    if options.json:
        print_json(values)
    else:
        for path, value in _flat(values):
            print(f"{path} = {value!r}")
    return 0


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    lines: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append((f"{prefix}{key}", value))
    return lines

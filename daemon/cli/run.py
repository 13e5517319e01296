"""`kingfisher run`: the daemon itself."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from daemon.config.load import load
from daemon.logs import set_up
from daemon.unprovisioned import wait_until_provisioned


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("run", help="run the box until it is told to stop")
    parser.add_argument("--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="default: %(default)s")
    parser.add_argument("--log-level", choices=("DEBUG", "INFO", "WARNING"), default="INFO")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    set_up(options.log_level)
    if not wait_until_provisioned(options.config):
        return 0
    config = load(options.config)
    from daemon.app import RESTART, run  # onnxruntime takes its time: a config with errors is refused before it

    status = run(config)
    if status == RESTART:
        # The same process begins anew: it keeps its id and its supervisor, and reads everything again.
        os.execv(sys.executable, sys.orig_argv)
    return status

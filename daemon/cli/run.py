"""`kingfisher run`: the daemon itself."""

from __future__ import annotations

import argparse
import logging
import os
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.cli.loading import loading
from daemon.config import generations
from daemon.config.load import load_all, locate_state
from daemon.errors import AlreadyRunning, DaemonError
from daemon.logs import note, set_up
from daemon.start_refused import show_refusal
from daemon.state_folder import only_one
from daemon.unprovisioned import wait_until_provisioned
from hal.errors import HalError
from mqtt.errors import MqttError
from pipeline.errors import PipelineError
from secure_store.errors import StoreError

log = logging.getLogger("daemon.config")


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("run", help="run the box until it is told to stop")
    parser.add_argument("--config", type=Path, default=Path("/etc/kingfisher/box.toml"), help="default: %(default)s")
    parser.add_argument("--log-level", choices=("DEBUG", "INFO", "WARNING"), default="INFO")
    parser.set_defaults(call=call)


def call(options: argparse.Namespace) -> int:
    set_up(options.log_level)
    if not wait_until_provisioned(options.config):
        return 0
    state = locate_state(options.config)
    try:
        with only_one(state):
            status, again = _run(options.config, state)
    except AlreadyRunning:
        raise
    except (DaemonError, HalError, MqttError, PipelineError, StoreError, sqlite3.Error, OSError) as error:
        if "NOTIFY_SOCKET" in os.environ:  # a box: nobody reads its standard error
            show_refusal(options.config, error)
        raise
    if again:
        # The same process begins anew: it keeps its id and its supervisor, and reads everything again.
        os.execv(sys.executable, sys.orig_argv)
    return status


def _run(path: Path, state: Path) -> tuple[int, bool]:
    """The exit status, and whether to begin anew. A config of the fleet that the box can't start with is given up."""
    _begin(state)
    loaded = load_all(path)
    if loaded.left_out and _give_up(state, "invalid", loaded.left_out[0]):
        return 0, True
    with loading():
        from daemon.app import RESTART, run  # takes its time: a config with errors is refused before it

    try:
        status = run(loaded, path)
    except (DaemonError, HalError, MqttError, PipelineError, StoreError) as error:
        if _give_up(state, "did_not_start", str(error)):
            return 0, True
        raise
    return status, status == RESTART


def _begin(state: Path) -> None:
    with suppress(OSError):  # a disk that can't be written has its own condition; the config is still there
        _, given_up = generations.note_beginning(state, int(time.time()))
        if given_up:
            note(log, "config_given_up", reason="crashed")


def _give_up(state: Path, reason: str, why: str) -> bool:
    with suppress(OSError):
        if generations.give_up(state, reason, why, int(time.time())):
            note(log, "config_given_up", reason=reason, why=why)
            return True
    return False

"""A daemon that can't start says why, on the display and to the console, and rests before systemd tries again."""

from __future__ import annotations

import logging
import shutil
import sqlite3
import time
from pathlib import Path

from daemon.config.load import ConfigRefused, load
from daemon.config.model import Config
from daemon.health.disk_space import FULL_BYTES
from daemon.health.standing_faults import leave_fault
from daemon.health.write_faults import FAILING, REFUSED, write_fault
from daemon.logs import note
from daemon.screen.views import Condition
from daemon.trouble_sign import TroubleSign
from hal.errors import HalError
from pipeline.errors import PipelineError
from secure_store.errors import StoreError

log = logging.getLogger("daemon.start_refused")

REST_S = 15.0


def show_refusal(path: Path, error: Exception, rest_s: float = REST_S) -> None:
    """Blocks for `rest_s`: a box that can't start shall not wear itself out trying. Raises nothing of its own."""
    try:
        config = load(path)
    except ConfigRefused:
        leave_fault(Condition.CONFIG_REFUSED, str(error))  # which display there is stands in what can't be read
        time.sleep(rest_s)
        return
    condition = condition_of(error, _free_bytes(config))
    leave_fault(condition, str(error))
    note(log, "start_refused", logging.CRITICAL, condition=condition, why=str(error))
    until_s = time.monotonic() + rest_s
    with TroubleSign(config, condition) as sign:
        while time.monotonic() < until_s:
            sign.keep_up()
            time.sleep(min(1.0, rest_s))


def condition_of(error: Exception, free_bytes: int | None) -> str:
    """The name of what keeps the box from starting. `free_bytes`: None where the disk does not even say that."""
    why = _beneath(error)
    beneath = write_fault(why)
    full = free_bytes is not None and free_bytes < FULL_BYTES
    match error:
        case ConfigRefused():
            return Condition.CONFIG_REFUSED
        case PipelineError():
            return Condition.NO_MODELS
        case HalError():
            return "no_display"  # never to be seen on one
        case _ if beneath == FAILING and not (full and isinstance(why, sqlite3.Error)):
            return FAILING  # SQLite speaks of an I/O error where a disk is full, too
        case StoreError():
            return Condition.STORE_LOCKED
        case _ if full:
            return Condition.DISK_FULL
        case _ if beneath != REFUSED:
            return beneath
        case _:
            return Condition.FAULT


def _beneath(error: Exception) -> BaseException:
    """The system's own word where one of our errors was raised because of it."""
    why = error.__cause__ or error.__context__
    return why if isinstance(why, OSError | sqlite3.OperationalError) else error


def _free_bytes(config: Config) -> int | None:
    try:
        return shutil.disk_usage(config.box.state).free
    except OSError:
        return None

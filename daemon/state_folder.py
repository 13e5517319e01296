"""The box's state folder belongs to one daemon at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.errors import AlreadyRunning


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Holds the state folder for this process alone.

    Raises:
        AlreadyRunning: when another daemon has it.
    """
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(state / "daemon.lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise AlreadyRunning(state) from error
    try:
        yield
    finally:
        os.close(handle)

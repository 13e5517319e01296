"""The box's state folder belongs to one daemon at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.errors import AlreadyRunning, StateRefused

LOCK_FILE = "daemon.lock"
LOOKS, LOOK_S = 3, 0.05


@contextmanager
def only_one(state: Path) -> Iterator[None]:
    """Holds the state folder for this process alone.

    Raises:
        AlreadyRunning: when another daemon has it.
        StateRefused: when the disk does not let it be held.
    """
    lock = state / LOCK_FILE
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise StateRefused(lock, error.strerror or str(error)) from error
    try:
        _take(handle)
    except OSError as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            raise AlreadyRunning(state) from error
        raise StateRefused(lock, error.strerror or str(error)) from error
    try:
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> None:
    """Who only looks (`is_held`) holds it for that moment, which is no reason not to start. Raises OSError."""
    for _ in range(LOOKS):
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(LOOK_S)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_held(state: Path) -> bool:
    """Whether a daemon has the state folder. Writes nothing: a folder on a card that takes nothing can be asked too.

    Raises:
        OSError: when the folder's lock may not be looked at.
    """
    try:
        handle = os.open(state / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False

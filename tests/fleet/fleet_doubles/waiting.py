"""Waiting for what will be so."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T | bool | None], timeout_s: float = 60.0, what: str = "") -> T:
    """The first truthy value of `look`."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = look()
        if value:
            return value  # type: ignore[return-value]
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Below the range from which the kernel takes ports for whoever connects: none of these takes it in between."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(10_000, 32_000))) as server:
            return int(server.getsockname()[1])

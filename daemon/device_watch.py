"""Reads a keypad or a scanner on a thread of its own; one that is unplugged is opened again for as long as it takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from daemon.logs import note
from hal.errors import HalError

log = logging.getLogger("daemon.device_watch")

READ_S = 1.0
REOPEN_S = 1.0

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Readable(Protocol[T_co]):
    """What the protocols of keypads and scanners have in common."""

    @property
    def name(self) -> str: ...
    def open(self) -> None: ...
    def read(self, timeout_s: float) -> T_co | None: ...
    def close(self) -> None: ...


class DeviceWatch(Generic[T]):
    """`on_read` and `on_state(works, why)` are called on this thread."""

    def __init__(
        self, device: Readable[T], on_read: Callable[[T], None], on_state: Callable[[bool, str], None]
    ) -> None:
        self._device, self._on_read, self._on_state = device, on_read, on_state
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{device.name}-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """May be called twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(READ_S + 2)
        self._device.close()

    def _run(self) -> None:
        works: bool | None = None
        while not self._stopping.is_set():
            try:
                if not works:
                    self._device.open()
                    works = True
                    self._on_state(True, "")
                read = self._device.read(READ_S)
                if read is not None:
                    self._on_read(read)
            except HalError as error:
                if works is not False:
                    note(log, "device_lost", logging.ERROR, name=self._device.name, why=error.why, hint=error.hint)
                    self._on_state(False, error.why)
                works = False
                self._device.close()
                self._stopping.wait(REOPEN_S)

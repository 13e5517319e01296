"""Reads the keypad on a thread of its own; one that is unplugged is opened again for as long as it takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from daemon.logs import note
from hal.errors import HalError
from hal.keypad import Keypad

log = logging.getLogger("daemon.keypad_watch")

READ_S = 1.0
REOPEN_S = 1.0


class KeypadWatch:
    """`on_key` and `on_state(present, why)` are called on this thread."""

    def __init__(self, keypad: Keypad, on_key: Callable[[str], None], on_state: Callable[[bool, str], None]) -> None:
        self._keypad, self._on_key, self._on_state = keypad, on_key, on_state
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keypad-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """May be called twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(READ_S + 2)
        self._keypad.close()

    def _run(self) -> None:
        present: bool | None = None
        while not self._stopping.is_set():
            try:
                if not present:
                    self._keypad.open()
                    present = True
                    self._on_state(True, "")
                press = self._keypad.read(READ_S)
                if press is not None:
                    self._on_key(press.key.value)
            except HalError as error:
                if present is not False:
                    note(log, "keypad_lost", logging.ERROR, why=error.why, hint=error.hint)
                    self._on_state(False, error.why)
                present = False
                self._keypad.close()
                self._stopping.wait(REOPEN_S)

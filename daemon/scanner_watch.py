"""Reads the scanner on a thread of its own; one that is unplugged is opened again for as long as it takes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from daemon.logs import note
from hal.errors import HalError
from hal.scanner import Scanner

log = logging.getLogger("daemon.scanner_watch")

READ_S = 1.0
REOPEN_S = 1.0


class ScannerWatch:
    """`on_scan` and `on_state(works, why)` are called on this thread."""

    def __init__(self, scanner: Scanner, on_scan: Callable[[str], None], on_state: Callable[[bool, str], None]) -> None:
        self._scanner, self._on_scan, self._on_state = scanner, on_scan, on_state
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scanner-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """May be called twice."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(READ_S + 2)
        self._scanner.close()

    def _run(self) -> None:
        present: bool | None = None
        while not self._stopping.is_set():
            try:
                if not present:
                    self._scanner.open()
                    present = True
                    self._on_state(True, "")
                scan = self._scanner.read(READ_S)
                if scan is not None:
                    self._on_scan(scan.text)
            except HalError as error:
                if present is not False:
                    note(log, "scanner_lost", logging.ERROR, why=error.why, hint=error.hint)
                    self._on_state(False, error.why)
                present = False
                self._scanner.close()
                self._stopping.wait(REOPEN_S)

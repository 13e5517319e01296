"""The till's line: one thread reads it, one writes it; a cable that was pulled is taken up again."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable

from daemon.logs import note
from daemon.till.protocol import TillProtocol
from daemon.till.words import Reply, Request
from hal.errors import DeadlineExceeded, HalError
from hal.serial_line import SerialLine

log = logging.getLogger("daemon.till")

READ_S = 0.5
WRITE_S = 2.0
REOPEN_S = 1.0
MAX_UNSENT = 64  # replies; a till that takes nothing asks again when it listens
MOST_PER_S = 50  # requests; what comes faster waits in the line


class SerialTill:
    """`on_request` and `on_state(works, why)` are called on the reading thread; `say` may be called from any."""

    def __init__(
        self, line: SerialLine, protocol: TillProtocol, on_request: Callable[[Request], None],
        on_state: Callable[[bool, str], None],
    ) -> None:  # fmt: skip
        self._line, self._protocol, self._on_request, self._on_state = line, protocol, on_request, on_state
        self._unsent: queue.Queue[Reply | None] = queue.Queue(MAX_UNSENT)
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._read, name="till-reader", daemon=True)
        self._writer = threading.Thread(target=self._write, name="till-writer", daemon=True)

    def start(self) -> None:
        self._reader.start()
        self._writer.start()

    def stop(self) -> None:
        """May be called twice."""
        self._stopping.set()
        self._put(None)
        for thread in (self._reader, self._writer):
            if thread.is_alive():
                thread.join(READ_S + WRITE_S + 1)
        self._line.close()

    def say(self, reply: Reply) -> None:
        """Returns at once; of too many unsent replies the oldest is dropped."""
        self._put(reply)

    def _put(self, item: Reply | None) -> None:
        while True:
            try:
                self._unsent.put_nowait(item)
                return
            except queue.Full:
                try:
                    self._unsent.get_nowait()
                except queue.Empty:
                    continue

    def _read(self) -> None:
        present: bool | None = None
        while not self._stopping.is_set():
            try:
                if not present:
                    self._line.open()
                    present = True
                    self._on_state(True, "")
                self._hand_over(self._protocol.hear(self._line.read(READ_S)))
            except DeadlineExceeded:
                continue
            except HalError as error:
                if present is not False:
                    note(log, "till_lost", logging.ERROR, why=error.why, hint=error.hint)
                    self._on_state(False, error.why)
                present = False
                self._line.close()
                self._stopping.wait(REOPEN_S)

    def _hand_over(self, requests: list[Request]) -> None:
        for request in requests:
            self._on_request(request)
            self._stopping.wait(1 / MOST_PER_S)

    def _write(self) -> None:
        while (reply := self._unsent.get()) is not None:
            began_s = time.monotonic()
            try:
                self._line.write(self._protocol.say(reply), WRITE_S)
            except HalError as error:
                note(log, "till_not_told", logging.WARNING, why=error.why, after_s=round(time.monotonic() - began_s, 1))

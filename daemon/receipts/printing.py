"""Prints receipts on a thread of its own: a printer without paper, or without power, never holds up a payment."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable

from daemon.logs import note
from daemon.receipts import receipt as receipts
from daemon.receipts.errors import ReceiptError
from daemon.receipts.printable import Paper, printed
from hal.errors import HalError
from hal.printer import Paper as PaperState
from hal.printer import Printer

log = logging.getLogger("daemon.receipts")

PRINT_S = 10.0
ASK_S = 0.5
AGAIN_S = 2.0
MAX_WAITING = 20  # receipts; of more the oldest is given up, as its payer has gone

NO_PRINTER, NO_PAPER = "no_printer", "no_paper"


class ReceiptPrinter:
    """`open_reader` gives this thread a connection of its own; `tell(condition, why)` is called on it, None: over."""

    def __init__(
        self, printer: Printer, paper: Paper, *, shop: str, box_id: str, locale: str,
        open_reader: Callable[[], sqlite3.Connection], tell: Callable[[str, str | None], None],
    ) -> None:  # fmt: skip
        self._printer, self._paper, self._shop, self._box_id, self._locale = printer, paper, shop, box_id, locale
        self._open_reader, self._tell = open_reader, tell
        self._changed = threading.Condition()
        self._waiting: deque[str] = deque()
        self._troubles: dict[str, str | None] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="receipts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was not printed is given up. May be called twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(PRINT_S + 1)
        self._printer.close()

    def print(self, order_id: str) -> None:
        """Returns at once."""
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                note(log, "receipt_given_up", logging.WARNING, order=self._waiting.popleft())
            self._waiting.append(order_id)
            self._changed.notify()

    def _run(self) -> None:
        reader = self._open_reader()
        try:
            while (order_id := self._next()) is not None:
                if self._printed(reader, order_id):
                    with self._changed:
                        if self._waiting and self._waiting[0] == order_id:
                            self._waiting.popleft()
                else:
                    with self._changed:
                        self._changed.wait_for(lambda: self._stopping, AGAIN_S)
        finally:
            reader.close()

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._stopping)
            return None if self._stopping else self._waiting[0]

    def _printed(self, reader: sqlite3.Connection, order_id: str) -> bool:
        """Whether this order is done with, printed or not to be printed at all."""
        try:
            data = printed(receipts.of(reader, order_id, self._shop, self._box_id), self._paper, self._locale)
        except ReceiptError as error:
            note(log, "receipt_refused", logging.WARNING, order=order_id, why=str(error))
            return True
        try:
            self._printer.open()
            if self._printer.paper(ASK_S) is PaperState.OUT:
                self._trouble(NO_PAPER, f"{self._printer.name} is out of paper")
                return False
            self._printer.print(data, PRINT_S)
        except HalError as error:
            self._trouble(NO_PRINTER, str(error))
            self._printer.close()
            return False
        self._trouble(NO_PAPER, None)
        self._trouble(NO_PRINTER, None)
        note(log, "receipt_printed", order=order_id)
        return True

    def _trouble(self, condition: str, why: str | None) -> None:
        if self._troubles.get(condition) != why:
            self._troubles[condition] = why
            self._tell(condition, why)

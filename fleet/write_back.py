"""Copies the ledger's write-ahead log back into its file, beside the desk: no commit waits for that.

By default SQLite does it in the commit that fills a thousand pages, which then takes some 3 ms instead of half a one
(https://www.sqlite.org/wal.html, "Performance Considerations").
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

log = logging.getLogger("fleet.write_back")

EVERY_S = 0.3
MOST_PAGES = 8000  # 32 MB: where the thread can't keep up, a commit does it after all
MOST_BYTES = 64_000_000  # of the log once it begins anew: a reader that looked on for minutes makes it longer than that


class WriteBack:
    """`desk` is the connection that commits. Nothing is lost where this fails or never runs: the log is as durable as
    the file, and the next start reads it."""

    def __init__(self, file: Path, desk: sqlite3.Connection) -> None:
        desk.execute(f"PRAGMA wal_autocheckpoint={MOST_PAGES}")
        desk.execute(f"PRAGMA journal_size_limit={MOST_BYTES}")
        self._file = file
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet-write-back", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Before the desk ends, whose last connection then leaves no log behind. May be called twice."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        told = ""
        while not self._over.wait(EVERY_S):
            try:
                connection = connection or sqlite3.connect(self._file, timeout=0, isolation_level=None)
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                told = ""
            except sqlite3.Error as error:  # a full disk: the desk hears of it too, with the commit that it concerns
                if str(error) != told:
                    told = str(error)
                    log.warning("event=write_back_failed why=%s", error)
        if connection is not None:
            connection.close()

"""`[store] witness_file`, and the journal's word on whether it was ever there: a medium that is not mounted looks just
like a file that was never made.
"""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

from daemon.books import journal
from daemon.books.box_db import BoxDb
from secure_store.witness import FileWitness

SEEN = "store_witness_file"


class RememberedFile:
    """A `secure_store.witness.Witness`. Once the file was there, one that is missing is made anew by nobody but an
    operator, who writes 0 into it."""

    def __init__(self, path: Path, db: BoxDb, now: Callable[[], int]) -> None:
        self._path, self._db, self._now = path, db, now
        self._file = FileWitness(path)
        self._seen = db.run(lambda tx: _newest(tx) == str(path))

    def read(self) -> int | None:
        said = self._file.read()
        if said is not None:
            self._remember()
        elif self._seen:
            raise OSError(errno.ENOENT, "it was there before, and is not: is its medium mounted?", str(self._path))
        return said

    def advance(self, to: int) -> None:
        self.read()
        self._file.advance(to)
        if not self._seen:
            self.read()

    def _remember(self) -> None:
        """Returns at once. A power cut before it is on disk: the next start sees the file."""
        if not self._seen:
            self._seen = True
            self._db.submit(lambda tx: journal.append(tx, SEEN, {"file": str(self._path)}, self._now()))


def _newest(tx: sqlite3.Connection) -> str | None:
    row = tx.execute("SELECT facts FROM journal WHERE name = ? ORDER BY seq DESC LIMIT 1", (SEEN,)).fetchone()
    return None if row is None else str(json.loads(row["facts"])["file"])

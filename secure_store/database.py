"""The connection to `store.db`: each statement is a transaction of its own, except within `atomic`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex


class Database(sqlite3.Connection):
    """Made by `open_database`."""

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """All of the block counts when it ends, or nothing of it; a block within a block is a part of the outer one
        that is undone alone when it fails."""
        name = f"block_{token_hex(8)}"
        begin, keep, undo = (
            (f"SAVEPOINT {name}", f"RELEASE {name}", (f"ROLLBACK TO {name}", f"RELEASE {name}"))
            if self.in_transaction
            else ("BEGIN", "COMMIT", ("ROLLBACK",))
        )
        self.execute(begin)
        try:
            yield
            self.execute(keep)
        except BaseException:
            if self.in_transaction:  # some faults of the disk have undone it already
                for statement in undo:
                    self.execute(statement)
            raise


def open_database(path: Path | str, timeout_s: float = 5.0) -> Database:
    """Opens or creates the file; ":memory:" is none. Raises sqlite3.Error."""
    return sqlite3.connect(path, factory=Database, isolation_level=None, check_same_thread=False, timeout=timeout_s)

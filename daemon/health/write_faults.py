"""Why something could not be written, as a named condition: a full card, a read-only one and a dying one want different
hands.
"""

from __future__ import annotations

import errno
import sqlite3

FULL, READ_ONLY, FAILING, REFUSED = "disk_full", "disk_read_only", "disk_failing", "write_refused"

_OF_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY, sqlite3.SQLITE_PERM: READ_ONLY, sqlite3.SQLITE_CANTOPEN: READ_ONLY,
    sqlite3.SQLITE_IOERR: FAILING, sqlite3.SQLITE_CORRUPT: FAILING, sqlite3.SQLITE_NOTADB: FAILING,
}  # fmt: skip
_OF_THE_SYSTEM = {
    errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EFBIG: FULL,
    errno.EROFS: READ_ONLY, errno.EACCES: READ_ONLY, errno.EPERM: READ_ONLY,
    errno.EIO: FAILING,
}  # fmt: skip


def write_fault(error: BaseException) -> str:
    """The condition's name; REFUSED for what no disk is to blame for."""
    match error:
        case sqlite3.Error():
            code = getattr(error, "sqlite_errorcode", None)  # an extended code carries the plain one in its low byte
            return REFUSED if code is None else _OF_SQLITE.get(code & 0xFF, REFUSED)
        case OSError():
            return _OF_THE_SYSTEM.get(error.errno or 0, REFUSED)
        case _:
            return REFUSED

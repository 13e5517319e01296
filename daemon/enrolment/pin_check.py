"""A clerk's or technician's PIN held against its hash, on a thread of its own; the try is on disk before."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from daemon.books import pin_tries
from daemon.books.box_db import BoxDb
from daemon.enrolment.authority import TRIES_OF, Authority, count_staff_try
from daemon.logs import note
from daemon.uplink.clock import TrustedClock

log = logging.getLogger("daemon.authority")


class PinDesk:
    """`tell(check, role, left)` is called on the worker's thread: whose PIN it was, None when nobody's, and how many
    tries are left."""

    def __init__(
        self, authority: Authority, db: BoxDb, clock: TrustedClock, tell: Callable[[int, str | None, int], None]
    ) -> None:
        self._authority, self._db, self._clock, self._tell = authority, db, clock, tell
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="clerk-pin")

    @property
    def anybody(self) -> bool:
        """Whether there is a PIN that could be right now; one may be set while the box runs."""
        return self._authority.anybody

    def ask(self, check: int, pin: str) -> None:
        """Returns at once."""
        self._worker.submit(lambda: self._tell(check, *self._checked(pin)))

    def stop(self) -> None:
        """Waits for what was begun."""
        self._worker.shutdown(wait=True)

    def _checked(self, pin: str) -> tuple[str | None, int]:
        """Whatever goes wrong, nobody is let through, nor left waiting."""
        try:
            tried = self._db.run(lambda tx: count_staff_try(tx, self._clock))
            role = self._authority.role_of(pin) if tried.allowed else None
            if role is not None:
                self._db.run(lambda tx: pin_tries.clear(tx, TRIES_OF))
            return role, tried.left
        except Exception as error:
            note(log, "authority_check_failed", logging.ERROR, why=type(error).__name__)
            return None, 0

"""Whether the store of templates is the newest there ever was: the box says how far it came, the fleet remembers."""

from __future__ import annotations

import logging

from daemon.books.box_db import BoxDb
from daemon.logs import note
from daemon.people import box_store
from daemon.people.members import Members
from daemon.uplink.clock import TrustedClock

log = logging.getLogger("daemon.store")


class StoreWatch:
    """On the main loop; nothing here waits."""

    def __init__(self, db: BoxDb, members: Members, clock: TrustedClock) -> None:
        self._db, self._members, self._clock = db, members, clock
        self._said = members.counter

    def moved(self) -> bool:
        """Whether the store has come further since this was asked last: then the fleet is to hear of it."""
        counter = self._members.counter
        moved, self._said = counter != self._said, counter
        return moved

    def heard(self, reached: int | None) -> str | None:
        """The fleet has seen the store's counter at `reached`; why the store is not believed any more, if so.

        It is kept, so that the next start refuses the store too until somebody accepts it.
        """
        counter = self._members.counter
        if reached is None or counter is None or not self._members.distrust(reached):
            return None
        wall = self._clock.now()
        note(log, "store_behind", logging.CRITICAL, counter=counter, reached=reached)
        self._db.submit(lambda tx: box_store.keep_fleets_floor(tx, reached, counter, wall))
        return f"its counter is {counter}, the fleet has seen {reached}: an older copy of it was put back"

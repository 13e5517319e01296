"""What is done to the store while the box serves: asked over the control socket, one thing at a time, each journaled.

Whatever needs the store for itself (restore, export, import, crypto-erase) is not here: it wants the daemon stopped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.books import journal
from daemon.books.box_db import BoxDb
from daemon.console import requests
from daemon.console.errors import Refused
from daemon.console.wire import Peer
from daemon.logs import note
from daemon.people import box_store, leaving
from daemon.people.members import Members
from daemon.uplink.clock import TrustedClock
from secure_store.errors import StoreError

log = logging.getLogger("daemon.store")

TELL_EVERY_S = 0.2

Condition = Callable[[str, bool, str], None]


class StoreDesk:
    """`condition(name, present, why)` tells the main loop how the store is after each change."""

    def __init__(self, members: Members, db: BoxDb, clock: TrustedClock, state: Path, condition: Condition) -> None:
        self._members, self._db, self._clock, self._condition = members, db, clock, condition
        self._backups = state / box_store.BACKUPS  # the daemon writes nowhere else, whoever asks
        self._one_at_a_time = threading.Lock()

    def answer(self, told: requests.StoreArgs, peer: Peer) -> Any:
        """The end of the answer; progress goes to `peer` before. Raises Refused."""
        if not self._one_at_a_time.acquire(blocking=False):
            raise Refused("store_busy", "something else is being done to the store", "wait until that has ended")
        try:
            return self._answer(told, _progress(peer))
        except StoreError as error:
            note(log, "store_refused", logging.ERROR, action=told.action, reason=self._members.reason_of(error))
            raise Refused(self._members.reason_of(error), f"{error.what}: {error.why}", error.hint) from error
        finally:
            self._one_at_a_time.release()

    def _answer(self, told: requests.StoreArgs, progress: Callable[[int, int, str], None]) -> Any:
        if told.action == "verify":
            return box_store.plain(self._members.verify(progress))
        keeper = self._members.keeper
        match told.action:
            case "status":
                return box_store.described(keeper)
            case "show":
                return box_store.plain(self._members.store.own_data(told.handle))
            case "rotate":
                rotated = keeper.rotate(progress=progress)
                self._changed("store_rotated", generation=rotated.generation, people=rotated.people)
                return box_store.plain(rotated)
            case "renew":
                store = self._members.store
                epoch = store.renew_transform(progress)
                self._members.reload()
                self._changed("store_renewed", epoch=epoch)
                return {"epoch": epoch}
            case "erase":
                leaving.erase(self._members.store, self._db, told.handle, leaving.Why.TECHNICIAN, self._clock.now())
                self._members.reload()
                self._changed("store_erased", people=1)
                return {"erased": [told.handle]}
            case "erase-expired":
                gone = leaving.erase_expired(self._members.store, self._db, self._clock.now())
                self._members.reload()
                self._changed("store_erased", people=len(gone))
                return {"erased": list(gone)}
            case "withdraw":
                leaving.withdraw(self._members.store, self._db, told.handle, told.purposes, self._clock.now())
                self._members.reload()
                self._changed("store_withdrawn", purposes=",".join(told.purposes) or "all")
                return {"withdrawn": told.handle, "purposes": list(told.purposes)}
            case "backup":
                path = box_store.new_backup(self._backups, self._clock.now())
                keeper.backup(path, progress)
                self._changed("store_backed_up", people=len(self._members))
                return {"path": str(path), "bytes": path.stat().st_size}

    def _changed(self, name: str, **facts: str | int) -> None:
        note(log, name, logging.INFO, **facts)
        now = self._clock.now()
        self._db.run(lambda tx: journal.append(tx, name, facts, now))
        present = self._members.conditions()
        for condition in box_store.CONDITIONS:
            self._condition(condition, condition in present, present.get(condition, ""))


def _progress(peer: Peer) -> Callable[[int, int, str], None]:
    """Now and then a part of the answer. Who hangs up does not stop what was begun."""
    last_s = 0.0

    def tell(done: int, total: int, label: str) -> None:
        nonlocal last_s
        if done == total or time.monotonic() - last_s > TELL_EVERY_S:
            last_s = time.monotonic()
            with suppress(OSError):
                peer.say({"done": done, "total": total, "label": label})

    return tell

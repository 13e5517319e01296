"""What boxes are told of their payers' wrong tries, put into the outbox of the transaction that changes the count."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from fleet.boxes import tries, tries_said
from fleet.errors import NotFound
from mqtt.outbox import Priority
from mqtt.schemas import Body, PayerTries, TriesBody

log = logging.getLogger("fleet.boxes.tries")

Put = Callable[[sqlite3.Connection, str, str, Body, int, Priority], int]
LIFE_S = 24 * 3600
TAKEN_BACK_AT_ONCE = 1000


class TriesDesk:
    """`put(tx, box, typ, body, expires_at, priority)` signs a message for a box and puts it into the outbox."""

    def __init__(self, put: Put, now: Callable[[], int]) -> None:
        self._put, self._now = put, now

    def note(self, tx: sqlite3.Connection, box: str, body: Body) -> None:
        if (locked := tries.note(tx, box, body, self._now())) is not None:
            self._tell(tx, tries.boxes_of(tx, box), [locked])

    def note_approved(self, tx: sqlite3.Connection, order_id: str, attempt: int) -> None:
        box, changed = tries.proven(tx, order_id, attempt, self._now())
        if changed:
            self._tell(tx, tries.boxes_of(tx, box), changed)

    def tell_standing(self, tx: sqlite3.Connection, box: str) -> None:
        """To a box that is back."""
        for body in tries.standing(tx, box, self._now()):
            self._put(tx, box, "tries", body, self._now() + LIFE_S, Priority.CONTROL)

    def unlock(self, tx: sqlite3.Connection, handle: str) -> list[dict[str, Any]]:
        """Ends a payer's locks at every box. Raises NotFound."""
        ended = tries.unlock(tx, handle, self._now())
        for box, entry in ended:
            self._tell(tx, tries.boxes_of(tx, box), [entry])
        return [entry.to_json() for _, entry in ended]

    def unlock_box(self, tx: sqlite3.Connection, wanted: str) -> list[dict[str, Any]]:
        """What this box (id or name) said counts no more: how each count stands now. Raises BoxUnknown, NotFound."""
        box = tries.any_box(tx, wanted)
        found: list[dict[str, Any]] = []
        while some := self._take_back(tx, box):
            found += some
        if not found:
            raise NotFound(f"box {box}", "no wrong try is counted on its word", "see `kingfisher-fleet tries`")
        return found

    def sweep(self, tx: sqlite3.Connection) -> None:
        """What a revoked box had said counts no more. Some at a time: others wait for this commit."""
        for box in tries_said.revoked(tx):
            self._take_back(tx, box)
        tries.forget(tx, self._now())

    def _take_back(self, tx: sqlite3.Connection, box: str) -> list[dict[str, Any]]:
        taken = tries.take_back(tx, box, TAKEN_BACK_AT_ONCE, self._now())
        if taken:
            log.warning("event=tries_taken_back box=%s counts=%d", box, len(taken))
        told: dict[str, list[PayerTries]] = {}
        for one in taken:
            told.setdefault(one.tenant, []).extend(one.told)
        for tenant, changed in told.items():
            self._tell(tx, tries.boxes_in(tx, tenant), changed)
        return [
            {
                "tenant": one.tenant, "handle": one.handle, "factor": one.factor, "wrong": one.wrong,
                "locked_until": one.locked_until,
            }
            for one in taken
        ]  # fmt: skip

    def _tell(self, tx: sqlite3.Connection, known: Sequence[str], changed: Sequence[PayerTries]) -> None:
        for one in changed:
            log.info("event=payer_tries factor=%s wrong=%d", one.factor, one.wrong)
        for begin in range(0, len(changed), tries.MOST_AT_ONCE):
            body = TriesBody(payers=changed[begin : begin + tries.MOST_AT_ONCE])
            for box in known:
                self._put(tx, box, "tries", body, self._now() + LIFE_S, Priority.CONTROL)

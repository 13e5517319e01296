"""Carries outbox rows to the link, in order of priority, a bounded number under way; sends again what a loss left open.
A fifth of the room is for money alone: a thousand configs that wait for the broker hold up no answer to a payer.

A row is read once for each connection: how far each priority has been handed over is remembered, since ids only grow.

No I/O of its own: its owner (the one thread that writes the database) calls `send`, `acked` and `reset`, and passes
what `on_acked` and `on_refused` tell (on the link's thread) back to that thread.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol

from mqtt.connection import PubAck
from mqtt.errors import PublishRefused
from mqtt.outbox import Outbox, OutboxRow, Priority

log = logging.getLogger("mqtt.courier")


class Publisher(Protocol):
    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_in_s: int | None = None,
        reference: int | None = None,
    ) -> Future[PubAck]: ...


class Courier:
    """`on_acked(id)`: call `acked` in a transaction, then `send` again. `on_refused(id, code)`: the broker does not
    take it (its ACL, its size limit); it stays in the outbox until it expires and is tried again after a reconnect, as
    is one whose `acked` was not committed."""

    def __init__(
        self,
        outbox: Outbox,
        link: Publisher,
        *,
        on_acked: Callable[[int], None],
        on_refused: Callable[[int, int], None],
        retained_kinds: frozenset[str] = frozenset({"state"}),
        window: int = 100,
    ) -> None:
        self._outbox, self._link = outbox, link
        self._on_acked, self._on_refused = on_acked, on_refused
        self._retained_kinds = retained_kinds
        self._window = window
        self._lock = threading.Lock()
        self._under_way: set[int] = set()
        self._acked: set[int] = set()  # by the broker, but not yet deleted from the outbox
        self._handed_over = dict.fromkeys(Priority, 0)  # the last id of each priority
        self._generation = 0  # of the connection
        self._more = False

    def send(self, tx: sqlite3.Connection, now: int) -> int:
        """Hand what is pending to the link, up to the window. The number handed over."""
        sent = 0
        self._more = False
        for priority in Priority:
            with self._lock:
                window = self._window if priority is Priority.MONEY else self._window - self._window // 5
                room, after = max(0, window - len(self._under_way)), self._handed_over[priority]
                generation, acked = self._generation, set(self._acked)
            for row in self._outbox.following(tx, priority, after, now, room + 1 + len(acked)):
                if row.id in acked:
                    continue
                if room == 0 or not self._hand_over(row, now, generation):
                    self._more = True
                    return sent
                room, sent = room - 1, sent + 1
        return sent

    @property
    def more(self) -> bool:
        """Whether something waits for room: then `acked` and `send` should not."""
        return self._more

    def acked(self, tx: sqlite3.Connection, message_id: int) -> None:
        """The broker has it: it leaves the outbox."""
        self._outbox.mark_acked(tx, message_id)
        with self._lock:
            self._acked.discard(message_id)

    def reset(self) -> None:
        """After `on_connected`: whatever was under way is pending again."""
        with self._lock:
            self._under_way.clear()
            self._handed_over = dict.fromkeys(Priority, 0)
            self._generation += 1

    def _hand_over(self, row: OutboxRow, now: int, generation: int) -> bool:
        with self._lock:
            self._under_way.add(row.id)
        future = self._link.publish(
            row.topic,
            row.payload,
            retain=row.kind in self._retained_kinds,
            expires_in_s=row.expires_at - now,
            reference=row.id,
        )
        if future.done() and future.exception() is not None and not isinstance(future.exception(), PublishRefused):
            with self._lock:
                self._under_way.discard(row.id)
            return False
        with self._lock:
            if self._generation == generation:  # otherwise it went to the connection before, and goes once more
                self._handed_over[Priority(row.priority)] = row.id
        future.add_done_callback(lambda done: self._done(row.id, done))
        return True

    def _done(self, message_id: int, future: Future[PubAck]) -> None:
        error = future.exception()
        with self._lock:
            self._under_way.discard(message_id)
            if error is None:
                self._acked.add(message_id)
        if error is None:
            self._on_acked(message_id)
        elif isinstance(error, PublishRefused):
            log.warning("event=publish_refused topic=%s code=%d", error.topic, error.code)
            self._on_refused(message_id, error.code)

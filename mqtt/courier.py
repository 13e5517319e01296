"""Carries outbox rows to the link, in order of priority, a bounded number under way; sends again what a loss left open.

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
from mqtt.outbox import Outbox, OutboxRow

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
    take it (its ACL, its size limit); it stays in the outbox until it expires and is tried again after a reconnect."""

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
        self._refused: set[int] = set()

    def send(self, tx: sqlite3.Connection, now: int) -> int:
        """Hand what is pending to the link, up to the window. The number handed over."""
        sent = 0
        after = (-1, 0)
        while True:
            with self._lock:
                room = self._window - len(self._under_way)
                skip = self._under_way | self._acked | self._refused
            if room <= 0:
                return sent
            rows = self._outbox.pending(tx, self._window, after=after)
            if not rows:
                return sent
            after = (rows[-1].priority, rows[-1].id)
            fresh = [row for row in rows if row.id not in skip and row.expires_at > now][:room]
            for row in fresh:
                if not self._hand_over(row, now):
                    return sent
                sent += 1

    def acked(self, tx: sqlite3.Connection, message_id: int) -> None:
        """The broker has it: it leaves the outbox. If the caller's transaction fails, it is simply sent again."""
        self._outbox.mark_acked(tx, message_id)
        with self._lock:
            self._acked.discard(message_id)

    def reset(self) -> None:
        """After `on_connected`: whatever was under way is pending again."""
        with self._lock:
            self._under_way.clear()
            self._refused.clear()

    def _hand_over(self, row: OutboxRow, now: int) -> bool:
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
        future.add_done_callback(lambda done: self._done(row.id, done))
        return True

    def _done(self, message_id: int, future: Future[PubAck]) -> None:
        error = future.exception()
        with self._lock:
            self._under_way.discard(message_id)
            if error is None:
                self._acked.add(message_id)
            elif isinstance(error, PublishRefused):
                self._refused.add(message_id)
        if error is None:
            self._on_acked(message_id)
        elif isinstance(error, PublishRefused):
            log.warning("event=publish_refused topic=%s code=%d", error.topic, error.code)
            self._on_refused(message_id, error.code)

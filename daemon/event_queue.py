"""The one queue of the main loop. Bounded; what happens when it is full is stated for each kind of event.

Keys and money are never dropped: their source waits for room (a durable row or the broker's redelivery stands behind
money). Guidance keeps only the newest: an older hint is of no use to anybody.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

E = TypeVar("E")


class EventQueue(Generic[E]):
    """`newest_only(event)` gives a key for events of which only the last counts, None for all others."""

    def __init__(self, newest_only: Callable[[E], object | None], capacity: int = 1024) -> None:
        self._newest_only = newest_only
        self._capacity = capacity
        self._urgent: deque[E] = deque()
        self._events: deque[E] = deque()
        self._newest: dict[object, E] = {}
        self._closed = False
        self._changed = threading.Condition()

    def put(self, event: E) -> None:
        """Adds an event; waits for room only where a dropped event would be a loss."""
        key = self._newest_only(event)
        with self._changed:
            if key is not None:
                self._newest[key] = event
            else:
                self._changed.wait_for(lambda: len(self._events) < self._capacity or self._closed)
                if not self._closed:
                    self._events.append(event)
            self._changed.notify_all()

    def put_urgent(self, event: E) -> None:
        """Never waits: for the database's answers and for signals, which are few and must not wait for room."""
        with self._changed:
            self._urgent.append(event)
            self._changed.notify_all()

    def close(self) -> None:
        """The loop has ended: nobody waits for room any more, and what still comes is let go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(self, until_s: float | None) -> E | None:
        """The next event, or None at `until_s` (monotonic seconds): urgent ones first, guidance last."""
        with self._changed:
            while not self._urgent and not self._events and not self._newest:
                left = None if until_s is None else until_s - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            if self._urgent:
                event = self._urgent.popleft()
            elif self._events:
                event = self._events.popleft()
            else:
                event = self._newest.pop(next(iter(self._newest)))
            self._changed.notify_all()
            return event

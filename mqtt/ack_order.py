"""Acknowledgements leave in the order in which the messages came, whatever the order of the commits.

MQTT 5 wants it so (4.6, [MQTT-4.6.0-2]); rumqttd closes the connection of a client that does otherwise.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Owed:
    """An acknowledgement that the broker waits for. `since_s`: monotonic time at which its message came."""

    packet_id: int
    since_s: float
    committed: bool = False


class AckOrder:
    """Of one connection; any thread. `send` gets a packet identifier, one call at a time and no lock held, and says
    whether it could be sent."""

    def __init__(self, send: Callable[[int], bool]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._owed: deque[Owed] = deque()
        self._sending = False

    def came(self, packet_id: int) -> Owed:
        """A message; in the order of their coming."""
        owed = Owed(packet_id, time.monotonic())
        with self._lock:
            self._owed.append(owed)
        return owed

    def committed(self, owed: Owed) -> bool:
        """It may be acknowledged, at once or when those before it are. False: one could not be sent."""
        with self._lock:
            owed.committed = True
            if self._sending:
                return True
            self._sending = True
        sent = True
        try:
            while (packet_id := self._next()) is not None:
                sent = self._send(packet_id) and sent
        except BaseException:
            with self._lock:
                self._sending = False
            raise
        return sent

    def held_up_since_s(self) -> float | None:
        """When the message came whose commit others wait for, which have theirs; None where nobody waits."""
        with self._lock:
            if any(owed.committed for owed in self._owed):
                return self._owed[0].since_s
        return None

    def _next(self) -> int | None:
        with self._lock:
            if self._owed and self._owed[0].committed:
                return self._owed.popleft().packet_id
            self._sending = False
            return None

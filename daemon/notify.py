"""What systemd hears of the daemon: ready, alive, a line of status. Without systemd every call does nothing.

The protocol is sd_notify(3): one datagram of `NAME=value` lines to the socket that $NOTIFY_SOCKET names.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress

PINGS_IN_A_PERIOD = 3.0


class Notify:
    """`ping` is called wherever the main loop has got on with something, so a loop that stalls is restarted.

    `ping_every_s` is how often systemd wants to hear from us (a third of WatchdogSec), None when it does not ask.
    """

    def __init__(self, address: str | None, watchdog_s: float | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if address else None
        self.ping_every_s = watchdog_s / PINGS_IN_A_PERIOD if address and watchdog_s else None
        self._ping_due_s = 0.0
        self._status = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Notify:
        """As systemd told this process; a WATCHDOG_PID of another process is not meant for us."""
        told = os.environ if environ is None else environ
        usec, pid = told.get("WATCHDOG_USEC", ""), told.get("WATCHDOG_PID", "")
        ours = usec.isdigit() and (not pid or pid == str(os.getpid()))
        return cls(told.get("NOTIFY_SOCKET"), int(usec) / 1e6 if ours else None)

    def ready(self) -> None:
        """The box is up: systemd goes on with what waits for it."""
        self._say("READY=1")

    def ping(self) -> None:
        """The main loop gets on. Sent no more often than systemd wants it."""
        now_s = time.monotonic()
        if self.ping_every_s is not None and now_s >= self._ping_due_s:
            self._ping_due_s = now_s + self.ping_every_s
            self._say("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent only when it changed."""
        if text != self._status:
            self._status = text
            self._say("STATUS=" + text.replace("\n", " "))

    def stopping(self) -> None:
        """An orderly end has begun."""
        self._say("STOPPING=1")

    def _say(self, line: str) -> None:
        if self._socket is None or self._address is None:
            return
        with suppress(OSError):  # a watchdog that does not hear us is all the fault report there can be
            self._socket.sendto(line.encode(), self._address)

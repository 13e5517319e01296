"""QEMU's monitor (QMP): press a key, look at the screen, hear what the machine did."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONNECT_S = 30.0
ANSWER_S = 60.0


class EmulatorFault(Exception):
    """Something in or around the emulated box did not happen."""


class Qmp:
    """A connection to one machine's monitor; `events` holds every event since the start, oldest first."""

    def __init__(self, path: Path) -> None:
        self._socket = connect(path)
        self._file = self._socket.makefile("r", encoding="utf-8")
        self._changed = threading.Condition()
        self._answers: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._closed = False
        json.loads(self._file.readline())  # the greeting
        threading.Thread(target=self._read, name="qmp", daemon=True).start()
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """The answer's `return`. Raises EmulatorFault."""
        message = {"execute": command, **({"arguments": arguments} if arguments else {})}
        with self._lock:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
            with self._changed:
                if not self._changed.wait_for(lambda: self._answers or self._closed, ANSWER_S) or not self._answers:
                    raise EmulatorFault(f"QMP {command}: no answer")
                answer = self._answers.pop(0)
        if "error" in answer:
            raise EmulatorFault(f"QMP {command}: {answer['error'].get('desc')}")
        return answer["return"]

    def press(self, *keys: str, gap_s: float = 0.25) -> None:
        """Presses and releases each key, by QEMU's names: `1`, `ret`, `esc`, `kp_enter`."""
        for key in keys:
            self.execute("send-key", keys=[{"type": "qcode", "data": key}], **{"hold-time": 80})
            time.sleep(gap_s)

    def screenshot(self, path: Path) -> Path:
        """What the framebuffer shows, as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.execute("screendump", filename=str(path), format="png")
        return path

    def count(self, event: str) -> int:
        """How often an event came: RESET, WATCHDOG, SHUTDOWN."""
        with self._changed:
            return sum(1 for e in self.events if e["event"] == event)

    def wait_event(self, event: str, more_than: int, timeout_s: float) -> bool:
        until: Callable[[], bool] = lambda: sum(1 for e in self.events if e["event"] == event) > more_than  # noqa: E731
        with self._changed:
            return bool(self._changed.wait_for(until, timeout_s))

    def close(self) -> None:
        self._socket.close()

    def _read(self) -> None:
        try:
            for line in self._file:
                message = json.loads(line)
                with self._changed:
                    (self.events if "event" in message else self._answers).append(message)
                    self._changed.notify_all()
        except (OSError, ValueError):
            pass  # the machine has gone
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def connect(path: Path) -> socket.socket:
    """Connects to a socket that QEMU is about to make. Raises EmulatorFault."""
    until_s = time.monotonic() + CONNECT_S
    while True:
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.connect(str(path))
            return link
        except OSError as error:
            link.close()
            if time.monotonic() > until_s:
                raise EmulatorFault(f"{path}: {error}") from error
            time.sleep(0.05)

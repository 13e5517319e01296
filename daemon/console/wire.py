"""The control socket's protocol: one JSON object a line, bounded; a request gets parts, then one end.

Request: `{"command": "status", "args": {}}`. Reply: any number of `{"part": ...}`, then `{"end": ...}` or
`{"refused": {"reason", "why", "hint"}}`. A connection may carry many requests, one after another.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.console.errors import NoDaemon, NotAnsweringYet, Refused, WireBroken
from daemon.state_folder import is_held

SOCKET_NAME = "control.sock"
MAX_REQUEST_BYTES = 16 * 1024
MAX_REPLY_BYTES = 1024 * 1024
ANSWER_S = 30.0
WAIT_S = 0.1


class Lines:
    """Reads a socket line by line, never more than `limit` bytes of one."""

    def __init__(self, connection: socket.socket, limit: int) -> None:
        self._connection, self._limit = connection, limit
        self._held = b""

    def read(self) -> bytes | None:
        """The next line without its end; None when the other side has gone. Raises WireBroken, OSError."""
        while b"\n" not in self._held:
            if len(self._held) > self._limit:
                raise WireBroken(f"a line of more than {self._limit} bytes")
            more = self._connection.recv(65536)
            if not more:
                return None
            self._held += more
        line, _, self._held = self._held.partition(b"\n")
        if len(line) > self._limit:
            raise WireBroken(f"a line of more than {self._limit} bytes")
        return line


def decode(line: bytes) -> dict[str, Any]:
    """Raises WireBroken."""
    try:
        value = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        raise WireBroken("a line that is not JSON") from None
    if not isinstance(value, dict):
        raise WireBroken("a line that is no object")
    return value


def encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str).encode() + b"\n"


class Peer:
    """Whom a command is answered; of the daemon's side."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def say(self, part: Any) -> None:
        """Sends a part of the answer. Raises OSError when the peer has gone."""
        self._connection.sendall(encode({"part": part}))

    def gone(self) -> bool:
        """Whether nobody waits for the answer any more."""
        try:
            readable, _, _ = select.select([self._connection], [], [], 0)
            return bool(readable) and self._connection.recv(1, socket.MSG_PEEK) == b""
        except (OSError, ValueError):
            return True


class ControlClient:
    """Speaks to the daemon whose state folder this is. Each call is a connection of its own. `on_wait` is called every
    now and then while there is no answer; what it raises ends the command."""

    def __init__(self, state: Path, timeout_s: float = ANSWER_S, on_wait: Callable[[], None] = lambda: None) -> None:
        self.path, self._timeout_s, self._on_wait = state / SOCKET_NAME, timeout_s, on_wait

    def ask(self, command: str, **args: Any) -> Any:
        """The end of the answer. Raises NoDaemon, Refused, WireBroken."""
        *_, (_, end) = self.follow(command, **args)
        return end

    def follow(self, command: str, **args: Any) -> Iterator[tuple[bool, Any]]:
        """`(False, part)` for each part as it comes, `(True, end)` at last. Closing the iterator ends the command.
        Raises NoDaemon, Refused, WireBroken."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(WAIT_S)
            try:
                connection.connect(str(self.path))
                connection.sendall(encode({"command": command, "args": args}))
                lines = Lines(connection, MAX_REPLY_BYTES)
                while True:
                    line = self._wait_for(lines)
                    if line is None:
                        raise NoDaemon(self.path, "it hung up")
                    reply = decode(line)
                    if "part" in reply:
                        yield False, reply["part"]
                    elif "refused" in reply:
                        raise _refused(reply["refused"])
                    else:
                        yield True, reply.get("end")
                        return
            except TimeoutError as error:
                why = f"no answer within {self._timeout_s:.0f} s"
                hint = "it runs, but is busy or hangs: try again, then `logs`"
                raise NoDaemon(self.path, why, hint, runs=True) from error
            except (FileNotFoundError, ConnectionRefusedError) as error:
                raise self._nobody() from error
            except OSError as error:
                raise NoDaemon(self.path, error.strerror or str(error)) from error

    def _nobody(self) -> NoDaemon:
        with suppress(OSError):  # what may not be looked at is nobody's
            if is_held(self.path.parent):
                return NotAnsweringYet(self.path)
        return NoDaemon(self.path, "it is not running")

    def _wait_for(self, lines: Lines) -> bytes | None:
        """Raises TimeoutError."""
        until_s = time.monotonic() + self._timeout_s
        while True:
            try:
                return lines.read()
            except TimeoutError:
                if time.monotonic() > until_s:
                    raise
                self._on_wait()


def _refused(told: Any) -> Refused:
    facts = told if isinstance(told, dict) else {}
    return Refused(*(str(facts.get(name, "")) for name in ("reason", "why", "hint")))

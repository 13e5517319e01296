"""The control socket: `<state>/control.sock`, for root, the daemon's own user, and the group `kingfisher`.

One thread accepts, each connection has one of its own, and there are few of them at a time. Who is at the other end is
asked of the kernel; what they send is bounded and parsed strictly.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.console.errors import Refused, WireBroken
from daemon.console.wire import MAX_REQUEST_BYTES, SOCKET_NAME, Lines, Peer, decode, encode
from daemon.logs import note

log = logging.getLogger("daemon.control")

GROUP = "kingfisher"
MAX_CONNECTIONS = 8
IDLE_S = 300.0
FAREWELL_S = 1.0
SO_PEERGROUPS = 59

Answer = Callable[[str, Any, Peer], Any]


class ControlSocket:
    """`answer(command, args, peer)` is called on a connection's thread."""

    def __init__(self, state: Path, answer: Answer, group: str = GROUP) -> None:
        self.path = state / SOCKET_NAME
        self._answer, self._group = answer, group
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._listener = _listen(self.path, group)
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Answers under way (that of `restart` is one) go out within a second; then nobody is answered any more. May
        be called twice."""
        self._stopping.set()
        self.path.unlink(missing_ok=True)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._shut(socket.SHUT_RD)
        until_s = time.monotonic() + FAREWELL_S
        while self._connections and time.monotonic() < until_s:
            time.sleep(0.01)
        self._shut(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(2)

    def _shut(self, how: int) -> None:
        with self._lock:
            for connection in self._connections:
                with suppress(OSError):
                    connection.shutdown(how)

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                if not self._stopping.is_set():
                    note(log, "control_accept_failed", logging.ERROR, why=str(error))
                    self._stopping.wait(1)
                continue
            with self._lock:
                room = len(self._connections) < MAX_CONNECTIONS
                if room:
                    self._connections.add(connection)
            if room:
                threading.Thread(target=self._serve, args=(connection,), name="control-peer", daemon=True).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            connection.settimeout(IDLE_S)
            uid = self._peer(connection)
            if uid is None:
                return
            lines = Lines(connection, MAX_REQUEST_BYTES)
            while not self._stopping.is_set():
                line = lines.read()
                if line is None:
                    return
                self._one(connection, line)
        except WireBroken as error:
            note(log, "control_refused", logging.WARNING, why=error.why)
            with suppress(OSError):
                connection.sendall(_refusal(Refused("bad_request", error.why)))
        except OSError as error:
            note(log, "control_peer_gone", logging.DEBUG, why=str(error))
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()

    def _one(self, connection: socket.socket, line: bytes) -> None:
        request = decode(line)
        command, args = request.get("command"), request.get("args", {})
        if not isinstance(command, str) or not set(request) <= {"command", "args"}:
            raise WireBroken("a request that names no command")
        try:
            end = self._answer(command, args, Peer(connection))
        except Refused as refused:
            connection.sendall(_refusal(refused))
        except OSError:
            raise  # the peer has gone
        except Exception as error:  # a fault of one answer must not take the others along
            note(log, "control_fault", logging.ERROR, command=command, why=repr(error))
            connection.sendall(_refusal(Refused("fault", f"{type(error).__name__}: {error}", "see `logs`")))
        else:
            connection.sendall(encode({"end": end}))

    def _peer(self, connection: socket.socket) -> int | None:
        """The peer's user id, None when it may not ask."""
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, gid = struct.unpack("3i", raw)
        if uid in (0, os.geteuid()) or _group_id(self._group) in {gid, *_groups(connection, uid)}:
            return int(uid)
        note(log, "control_refused", logging.WARNING, why="peer_not_allowed", uid=uid)
        with suppress(OSError):
            hint = f"be root, or a member of the group {self._group}"
            connection.sendall(_refusal(Refused("not_allowed", f"user {uid} may not speak to the daemon", hint)))
            connection.settimeout(1.0)
            connection.recv(MAX_REQUEST_BYTES)  # what is closed unread would be reset, and the refusal lost with it
        return None


def _listen(path: Path, group: str) -> socket.socket:
    """The state folder is held by this process alone, so a socket that lies there is a dead one's."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    group_id = _group_id(group)
    if group_id is not None:
        with suppress(PermissionError):  # not a member: then only root and the daemon's user can connect
            os.chown(path, -1, group_id)
    path.chmod(0o660)
    listener.listen(MAX_CONNECTIONS)
    return listener


def _group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _groups(connection: socket.socket, uid: int) -> set[int]:
    """Every group of the peer: those of its process, and those its user is listed in."""
    groups: set[int] = set()
    with suppress(OSError):
        raw = connection.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 1024)
        groups |= set(struct.unpack(f"{len(raw) // 4}I", raw))
    with suppress(KeyError):
        name = pwd.getpwuid(uid).pw_name
        groups |= {entry.gr_gid for entry in grp.getgrall() if name in entry.gr_mem}
    return groups


def _refusal(refused: Refused) -> bytes:
    return encode({"refused": {"reason": refused.reason, "why": refused.why, "hint": refused.hint}})

"""Faults and figures asked of the booted box: a port that only the emulator has, answered by the qemu image alone."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

from qmp import EmulatorFault, connect

PORT = "kingfisher.rig"


def qemu_options(path: Path) -> tuple[str, ...]:
    return (
        "-chardev",
        f"socket,id=rig,path={path},server=on,wait=off",
        "-device",
        f"virtserialport,chardev=rig,name={PORT}",
    )


class Rig:
    """Connect after the machine was started."""

    def __init__(self, path: Path) -> None:
        self._link: socket.socket = connect(path)
        self._heard: list[str] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._read, name="rig", daemon=True).start()

    def ask(self, word: str, timeout_s: float = 60.0) -> str:
        """What follows `done WORD`. Raises EmulatorFault."""
        prefix = f"done {word}"
        with self._changed:
            self._heard.clear()
        self._link.sendall(word.encode() + b"\n")
        with self._changed:
            if not self._changed.wait_for(lambda: any(h.startswith(prefix) for h in self._heard), timeout_s):
                raise EmulatorFault(f"the box did not answer {word!r}")
            return next(h for h in self._heard if h.startswith(prefix)).removeprefix(prefix).strip()

    def close(self) -> None:
        with suppress(OSError):  # the reading thread holds the socket too; QEMU takes one connection at a time
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()

    def _read(self) -> None:
        try:
            with self._link.makefile("r", encoding="utf-8", errors="replace") as file:
                for line in file:
                    with self._changed:
                        self._heard.append(line.strip())
                        self._changed.notify_all()
        except OSError:
            return

"""A scripted till at the far end of a serial line: made from docs/protocol/till-line.md alone, as a till's maker would.

The line is a pseudo-terminal; the box opens the symbolic link to its near end.
"""

from __future__ import annotations

import binascii
import os
import select
import threading
import tty
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote, unquote

from fleet.demo.hands import NotSeen

LOOK_S = 0.1  # so often a till that hears nothing asks whether it is over


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the box's."""

    n: int
    word: str
    fields: dict[str, str] = field(default_factory=dict)


class Till:
    """`link` becomes the box's serial port. Each STATUS is acknowledged as a till must."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.heard: list[Said] = []
        self._changed = threading.Condition()
        self._n = 0
        self._far = self._near = -1
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="till", daemon=True)

    def __enter__(self) -> Self:
        self._far, self._near = os.openpty()
        tty.setraw(self._far)
        tty.setraw(self._near)
        self.link.parent.mkdir(parents=True, exist_ok=True)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(os.ttyname(self._near))
        self._listener.start()
        return self

    def __exit__(self, *why: object) -> None:
        self.link.unlink(missing_ok=True)
        self._over.set()
        self._listener.join()  # before the numbers of these files are somebody else's
        for end in (self._far, self._near):
            os.close(end)

    def say(self, word: str, **fields: str) -> int:
        """Sends a line; its number."""
        self._n = self._n % 9999 + 1
        self.send(line(self._n, word, fields))
        return self._n

    def send(self, data: bytes) -> None:
        """Bytes as they are: noise, half lines."""
        os.write(self._far, data)

    def order(self, ref: str, amount_minor: int, currency: str = "CNY", **more: str) -> int:
        return self.say("ORDER", ref=ref, amount=str(amount_minor), currency=currency, **more)

    def wait(self, word: str, timeout_s: float = 60.0, **fields: str) -> Said:
        """The first line that says this, also one that was said before. Raises NotSeen."""

        def found() -> Said | None:
            fitting = (one for one in self.heard if one.word == word and fields.items() <= one.fields.items())
            return next(fitting, None)

        with self._changed:
            said = self._changed.wait_for(found, timeout_s)
        if said is None:
            raise NotSeen(
                "at the till", f"no {word} {fields or ''} within {timeout_s:.0f} s; it heard {self.heard[-5:]}"
            )
        return said

    def _listen(self) -> None:
        kept = b""
        while not self._over.is_set():
            ready, _, _ = select.select([self._far], [], [], LOOK_S)
            if not ready:
                continue
            try:
                kept += os.read(self._far, 4096)
            except OSError:
                return
            *lines, kept = kept.replace(b"\r", b"\n").split(b"\n")
            for raw in filter(None, lines):
                said = read(raw)
                with self._changed:
                    self.heard.append(said)
                    self._changed.notify_all()
                if said.word == "STATUS":
                    self.send(line(said.n, "ACK", {}))


def line(n: int, word: str, fields: dict[str, str]) -> bytes:
    body = "|".join(
        [str(n), word, *(f"{name}={quote(value, safe=' :/+,')}" for name, value in fields.items())]
    ).encode()
    return b"@%s*%04X\r\n" % (body, binascii.crc_hqx(body, 0xFFFF))


def read(raw: bytes) -> Said:
    """Raises ValueError for a line that is none: the box never sends one."""
    body, star, checksum = raw.partition(b"@")[2].rpartition(b"*")
    if not star or binascii.crc_hqx(body, 0xFFFF) != int(checksum, 16):
        raise ValueError(f"the box said {raw!r}")
    n, word, *parts = body.decode("ascii").split("|")
    return Said(int(n), word, {name: unquote(value) for name, _, value in (part.partition("=") for part in parts)})

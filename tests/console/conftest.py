"""A serial line without the copper: a pseudo-terminal with a person at one end and the real console at the other."""

from __future__ import annotations

import os
import re
import select
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleet.boxes import tickets
from fleet.boxes.authority import Authority
from fleet.boxes.tickets import TicketWanted
from fleet.database import open_database
from fleet.state import StateFolder
from mqtt.envelope import now_unix

NOW = now_unix()
WANTED = TicketWanted("counter-2", "main", "canteen", ("broker.example", 8883), 3600)

BOX = """
[box]
shop = "Kingfisher Coffee"
locale = "en"
state = "state"
"""


@dataclass
class Cable:
    """`heard` is everything the console ever said, without escape sequences and carriage returns."""

    config: Path
    environment: dict[str, str] = field(default_factory=dict)
    heard: str = ""
    read_to: int = 0

    def plug_in(self) -> None:
        self.master, slave = os.openpty()
        self.errors = self.config.with_name("console.log").open("ab")
        command = [sys.executable, "-I", "-m", "daemon.cli.main", "console", "--config", str(self.config)]
        self.process = subprocess.Popen(
            [*command, "--tty", os.ttyname(slave)], env={**os.environ, **self.environment}, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.errors,
        )  # fmt: skip
        self.slave = slave

    def pull(self) -> None:
        """The console ends as when systemd stops it."""
        self.process.terminate()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)
        self.errors.close()

    def send(self, data: str | bytes) -> None:
        left = data.encode() if isinstance(data, str) else data
        while left:
            left = left[os.write(self.master, left[:512]) :]
            self._listen(0)

    def type(self, line: str) -> None:
        self.send(line + "\r")

    def expect(self, pattern: str, timeout_s: float = 60.0) -> re.Match[str]:
        """Waits for `pattern` after what was expected before."""
        until_s = time.monotonic() + timeout_s
        while True:
            found = re.compile(pattern).search(self.heard, self.read_to)
            if found:
                self.read_to = found.end()
                return found
            left = until_s - time.monotonic()
            assert left > 0, f"no {pattern!r} within {timeout_s} s; heard:\n{self.heard[self.read_to :][-3000:]}"
            assert self.process.poll() is None, f"the console ended; heard:\n{self.heard[-3000:]}"
            self._listen(min(left, 0.2))

    def prompt(self, timeout_s: float = 60.0) -> str:
        """Everything said until the next prompt of a command."""
        start = self.read_to
        found = self.expect(r"(?m)^kf [a-z2-7]{3,6}> $", timeout_s)
        return self.heard[start : found.start()]

    def do(self, line: str, timeout_s: float = 60.0) -> str:
        """Types a command; what it said."""
        self.type(line)
        self.expect(re.escape(line))
        return self.prompt(timeout_s)

    def log_in(self, secret: str) -> str:
        self.expect("log in with a ticket or the PIN: ")
        self.type(secret)
        return self.prompt()

    def quiet(self, for_s: float) -> str:
        """What it says in that time; what is expected next comes after it."""
        start = len(self.heard)
        until_s = time.monotonic() + for_s
        while time.monotonic() < until_s:
            self._listen(0.05)
        self.read_to = len(self.heard)
        return self.heard[start:]

    def _listen(self, wait_s: float) -> None:
        ready, _, _ = select.select([self.master], [], [], wait_s)
        if ready:
            text = os.read(self.master, 65536).decode("ascii", "replace").replace("\r", "")
            self.heard += re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


class Office:
    """A fleet's state folder, opened."""

    def __init__(self, folder: Path) -> None:
        self.state = StateFolder(folder)
        self.state.init()
        self.key = self.state.load_key()
        self.authority = Authority.open_or_create(self.state)
        self.db: sqlite3.Connection = open_database(self.state.database_file)

    def ticket(self, wanted: TicketWanted = WANTED, at: int = NOW) -> bytes:
        return tickets.make(self.db, self.key, self.authority, wanted, at)[1].encode()

    def sign(self, request: bytes, ticket_id: str | None = None, at: int = NOW) -> tickets.Signed:
        return tickets.sign(self.db, self.key, self.authority, request, ticket_id, at)


@pytest.fixture
def open_office() -> Callable[[Path], Office]:
    return Office


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path / "fleet")


@pytest.fixture
def plug_in() -> Iterator[Callable[..., Cable]]:
    """Starts consoles; all are ended with the test."""
    cables: list[Cable] = []

    def make(config: Path, **environment: str) -> Cable:
        cable = Cable(config, environment)
        cable.plug_in()
        cables.append(cable)
        return cable

    yield make
    for cable in cables:
        if cable.process.poll() is None:
            cable.pull()


@pytest.fixture
def new_box(tmp_path: Path) -> Path:
    """The box.toml of a box that was never provisioned."""
    config = tmp_path / "box" / "box.toml"
    (config.parent / "state").mkdir(parents=True)
    config.write_text(BOX)
    return config

"""Starts and stops the processes of the demo: the embedded broker, the gateway, the box. Each has its own log file."""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from fleet.errors import FleetError

START_S = 60.0
STOP_S = 10.0
PR_SET_PDEATHSIG = 1  # prctl(2)
BOX_NAME = "counter-1"
OWN_ORDERS_UP_TO = "5000.00"


class ServiceFailed(FleetError):
    """A process of the demo ended or did not come up; `tail` is the end of its log."""

    def __init__(self, name: str, why: str, log: Path) -> None:
        self.name, self.log = name, log
        self.tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
        super().__init__(f"the {name}", f"{why}; its log {log} ends with:\n{self.tail}")


@dataclass
class Service:
    """A running process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """As a power cut would: SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, and SIGKILL when that does not help. The exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode


@dataclass
class Town:
    """`folder` holds everything; `models` and `pictures` are shared between towns. Ports are free ones unless given."""

    folder: Path
    models: Path
    pictures: Path
    locale: str = "en"
    shop: str = "Kingfisher Coffee"
    broker_port: int = 0
    gateway_port: int = 0
    page_port: int = 0
    settings: str = ""  # more TOML for box.toml
    broker: Literal["embedded", "mosquitto"] = "embedded"
    gateway_options: Sequence[str] = ()
    open_loop: str = ""  # the place at which this box asks the gateway's matcher; none: it keeps its people itself
    services: dict[str, Service] = field(default_factory=dict)
    box_id: str = ""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.broker_port = free_port(self.broker_port)
        self.gateway_port = free_port(self.gateway_port)
        self.page_port = free_port(self.page_port)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *why: object) -> None:
        self.stop()

    @property
    def page_url(self) -> str:
        return f"http://127.0.0.1:{self.page_port}/"

    @property
    def till_url(self) -> str:
        """With the till's token, so that it may ask for payments."""
        token = (self.folder / "fleet" / "till_token").read_text().strip()
        return f"http://127.0.0.1:{self.gateway_port}/till#{token}"

    @property
    def box_db(self) -> Path:
        return self.folder / "box" / "state" / "box.db"

    @property
    def config(self) -> Path:
        return self.folder / "box" / "box.toml"

    def found(self) -> None:
        """Makes keys and configs; does nothing for what is there."""
        fleet = self.folder / "fleet"
        self.fleet("init")
        if not self.config.exists():
            arguments = [
                "init", "--folder", str(self.folder / "box"), "--fleet-key", str(fleet / "fleet_public.pem"),
                "--broker", f"127.0.0.1:{self.broker_port}", "--models", str(self.models),
                "--virtual", "--virtual-port", str(self.page_port), "--pictures", str(self.pictures),
                "--till-url", self.till_url, "--shop", self.shop, "--locale", self.locale,
            ]  # fmt: skip
            if self.open_loop:
                arguments += ["--open-loop", self.fleet_json("face", "key")["key"]]
            self.kingfisher(*arguments)
            with self.config.open("a") as file:
                file.write(self.settings)
            self.fleet("box", "add", str(self.folder / "box" / "box.pem"), "--name", BOX_NAME)
            self.fleet("box", "allow-orders", BOX_NAME, "--up-to", OWN_ORDERS_UP_TO)
            if self.open_loop:
                self.fleet("face", "box", BOX_NAME, "--place", self.open_loop)
        [box] = self.fleet_json("box", "list")
        self.box_id = box["id"]

    def start_broker(self, again: bool = True) -> None:
        if self.broker == "mosquitto":
            config = self.folder / "mosquitto.conf"
            config.write_text(f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n")
            self._start("broker", [shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)])
        else:
            self._start_ours(
                "broker", "fleet.cli", "--state", str(self.folder / "fleet"), "broker",
                "--listen", f"127.0.0.1:{self.broker_port}",
            )  # fmt: skip
        try:
            self._until_listening("broker", self.broker_port)
        except ServiceFailed:
            if not again:
                raise
            self.start_broker(again=False)  # the embedded one gives up after 20 s, which a busy machine can take

    def start_gateway(self) -> None:
        self._start_ours(
            "gateway", "fleet.cli", "--state", str(self.folder / "fleet"), "gateway",
            "--broker", f"127.0.0.1:{self.broker_port}", "--http", f"127.0.0.1:{self.gateway_port}",
            *self.gateway_options,
        )  # fmt: skip
        self._until_listening("gateway", self.gateway_port)

    def start_box(self) -> None:
        """Returns when faces can pay too: screen and keypad are there before the models. Raises ServiceFailed."""
        log = self.folder / "logs" / "box.log"
        said_before = log.stat().st_size if log.exists() else 0
        self._start_ours("box", "daemon.cli.main", "run", "--config", str(self.config))
        self._until_listening("box", self.page_port)
        self._until_said("box", b"event=faces_loaded", said_before)

    def stop(self) -> None:
        """In reverse order. May be called twice."""
        for service in reversed(self.services.values()):
            service.stop()

    def fleet(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> str:
        """Runs `kingfisher-fleet`; its standard output. Raises ServiceFailed for another exit status."""
        return self._run("fleet.cli", "--state", str(self.folder / "fleet"), *arguments, ok=ok)

    def fleet_json(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> Any:
        return json.loads(self.fleet("--json", *arguments, ok=ok).splitlines()[-1])

    def kingfisher(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> str:
        """Runs `kingfisher`; its standard output. Raises ServiceFailed for another exit status."""
        return self._run("daemon.cli.main", *arguments, ok=ok)

    def begin_fleet(self, *arguments: str) -> subprocess.Popen[str]:
        """`kingfisher-fleet` in the background, for what waits on people."""
        command = [sys.executable, "-I", "-m", "fleet.cli", "--state", str(self.folder / "fleet"), "--json", *arguments]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def _run(self, module: str, *arguments: str, ok: tuple[int, ...]) -> str:
        done = subprocess.run([sys.executable, "-I", "-m", module, *arguments], capture_output=True, text=True)
        if done.returncode not in ok:
            raise FleetError(f"{module} {' '.join(arguments)}", f"exit status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _start_ours(self, name: str, module: str, *arguments: str) -> None:
        self._start(name, [sys.executable, "-I", "-m", module, *arguments])

    def _start(self, name: str, command: Sequence[str]) -> None:
        log = self.folder / "logs" / f"{name}.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("ab") as file:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"}, preexec_fn=_end_with_parent,
            )  # fmt: skip
        self.services[name] = Service(name, process, log)

    def _until_listening(self, name: str, port: int) -> None:
        def listening() -> bool:
            with socket.socket() as probe:
                probe.settimeout(1)
                return probe.connect_ex(("127.0.0.1", port)) == 0

        self._until_up(name, listening, f"listen on port {port}")

    def _until_said(self, name: str, words: bytes, offset: int) -> None:
        """Its log has these words, later than `offset`."""

        def said() -> bool:
            with self.services[name].log.open("rb") as log:
                log.seek(offset)
                return words in log.read()

        self._until_up(name, said, f"say {words.decode()}")

    def _until_up(self, name: str, is_up: Callable[[], bool], what: str) -> None:
        service = self.services[name]

        def up() -> bool:
            if service.process.poll() is not None:
                raise ServiceFailed(name, f"ended with status {service.process.returncode}", service.log)
            return is_up()

        if not wait_until(up, START_S):
            raise ServiceFailed(name, f"did not {what} within {START_S:.0f} s", service.log)


def _end_with_parent() -> None:
    """In the child: SIGTERM when the demo ends in whatever way, so that no process of it is left behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def wait_until(true: Callable[[], bool], timeout_s: float, every_s: float = 0.02) -> bool:
    """Whether `true()` became so in time."""
    until_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > until_s:
            return False
        time.sleep(every_s)
    return True


def free_port(wanted: int = 0) -> int:
    """`wanted` when it can be had now, else any free one: below those that the kernel gives to whoever connects, so
    that nobody takes it in between."""
    for port in (wanted or random.randrange(10_000, 32_000), *(random.randrange(10_000, 32_000) for _ in range(100))):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise FleetError("finding a port", "this machine gives none")

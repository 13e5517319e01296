"""Real brokers for the link's tests: rumqttd embedded by iotcore, and Debian's mosquitto."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from iotcore import Broker

from mqtt.backoff import FullJitter
from mqtt.link import Connected, Link, LinkOptions, Lost, Received, Will

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
RUMQTTD = """
id = 0
[router]
id = 0
max_connections = 100
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v5.1]
name = "tests"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1
[v5.1.connections]
connection_timeout_ms = 60000
max_payload_size = 1048576
max_inflight_count = 100
dynamic_filters = true
"""


def eventually(look: Callable[[], Any], timeout_s: float = 60.0, what: str = "") -> Any:
    deadline_s = time.monotonic() + timeout_s
    while not (value := look()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.01)
    return value


def free_port() -> int:
    """Below the range from which the kernel takes ports for whoever connects: none of these takes it in between."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(10_000, 32_000))) as server:
            return int(server.getsockname()[1])


@dataclass
class RealBroker:
    kind: str
    folder: Path
    port: int = field(default_factory=free_port)
    config: str = ""
    _embedded: Any = None
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.kind == "rumqttd":
            file = self.folder / "broker.toml"
            file.write_text(RUMQTTD.format(port=self.port))
            self._embedded = Broker(config_path=str(file)).start()
            return
        file = self.folder / "mosquitto.conf"
        file.write_text(self.config or f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._process = subprocess.Popen([MOSQUITTO, "-c", str(file)], stderr=subprocess.DEVNULL)
        eventually(self._listens, what="mosquitto listens")

    def stop(self) -> None:
        if self._embedded is not None:
            self._embedded.stop()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
        except OSError:
            return False
        return True


class Peer:
    """A link and everything it told."""

    def __init__(
        self,
        port: int,
        client_id: str,
        subscriptions: tuple[str, ...],
        *,
        will: Callable[[], Will] | None = None,
        acks: bool = True,
        **options: Any,
    ) -> None:
        self.received: list[Received] = []
        self.connected: list[Connected] = []
        self.lost: list[Lost] = []
        self.acks = acks
        self.ready = threading.Event()
        values = {"backoff_base_s": 0.05, "backoff_cap_s": 0.2} | options
        self.link = Link(
            LinkOptions("127.0.0.1", port, client_id, subscriptions, **values),
            on_message=self._message,
            on_connected=self._connected,
            on_lost=self._lost,
            will=will,
            backoff=FullJitter(values["backoff_base_s"], values["backoff_cap_s"]),
        )

    def start(self, timeout_s: float = 60) -> Peer:
        self.link.start()
        assert self.ready.wait(timeout_s)
        return self

    def payloads(self) -> list[bytes]:
        return [message.payload for message in list(self.received)]

    def wait(self, *payloads: bytes) -> None:
        eventually(lambda: set(payloads) <= set(self.payloads()), what=f"{payloads} in {self.payloads()}")

    def wait_connected(self, count: int, timeout_s: float = 60) -> None:
        eventually(lambda: len(self.connected) >= count, timeout_s, "connected again")

    def _message(self, message: Received) -> None:
        self.received.append(message)
        if self.acks:
            message.ack()

    def _connected(self, connected: Connected) -> None:
        self.connected.append(connected)
        self.ready.set()

    def _lost(self, lost: Lost) -> None:
        self.lost.append(lost)


@pytest.fixture(params=["rumqttd", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealBroker]:
    if request.param == "mosquitto" and not Path(MOSQUITTO).exists():
        pytest.skip("Debian's mosquitto is not installed (apt-get install mosquitto)")
    real = RealBroker(request.param, tmp_path)
    real.start()
    yield real
    real.stop()


@pytest.fixture
def peer(broker: RealBroker) -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(client_id: str, *subscriptions: str, **options: Any) -> Peer:
        made.append(Peer(broker.port, client_id, subscriptions, **options))
        return made[-1]

    yield make
    for one in made:
        one.link.stop(2)


@pytest.fixture
def mosquitto_with(tmp_path: Path) -> Iterator[Callable[[str], RealBroker]]:
    """Debian's mosquitto with more settings than usual."""
    if not Path(MOSQUITTO).exists():
        pytest.skip("Debian's mosquitto is not installed (apt-get install mosquitto)")
    made: list[RealBroker] = []

    def make(settings: str) -> RealBroker:
        broker = RealBroker("mosquitto", tmp_path)
        broker.config = f"listener {broker.port} 127.0.0.1\nallow_anonymous true\n{settings}\n"
        broker.start()
        made.append(broker)
        return broker

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def peer_at() -> Iterator[Callable[..., Peer]]:
    """A peer at a broker that the test made itself."""
    made: list[Peer] = []

    def make(port: int, client_id: str, *subscriptions: str, **options: Any) -> Peer:
        made.append(Peer(port, client_id, subscriptions, **options))
        return made[-1]

    yield make
    for one in made:
        one.link.stop(2)


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return eventually

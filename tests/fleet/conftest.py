"""Real brokers, the gateway as a real process, and a box that speaks the real protocol (built from `mqtt`)."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.broker import EmbeddedBroker
from fleet.cli import main
from fleet.state import StateFolder
from mqtt import topics
from mqtt.envelope import Claims, Sealed, Signer, TrustedKey, Verifier, now_unix
from mqtt.identity import box_id_from_key, fleet_id_from_key, load_public_key, public_pem, write_file
from mqtt.link import Connected, Link, LinkOptions, Lost, Received, TlsOptions, Will
from mqtt.schemas import AttemptRef, Body, OrderBody, PayAnswerBody, StateBody, parse_body

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
T = TypeVar("T")
TlsMaker = Callable[[str], TlsOptions]  # from the box's id


def eventually(look: Callable[[], T | bool | None], timeout_s: float = 15.0, what: str = "") -> T:
    """The first truthy value of `look`."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        value = look()
        if value:
            return value  # type: ignore[return-value]
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class BrokerDouble:
    """A real broker on a port of its own that can be stopped and started again."""

    kind: str
    folder: Path
    port: int
    config: str = ""
    process: subprocess.Popen[bytes] | None = None
    embedded: EmbeddedBroker | None = None

    def start(self) -> None:
        if self.kind == "rumqttd":
            self.embedded = EmbeddedBroker(self.folder, "127.0.0.1", self.port)
            self.embedded.start()
            return
        file = self.folder / "mosquitto.conf"
        file.write_text(self.config or f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", str(file), "-v"], stdout=log, stderr=log)
        eventually(self._listens, what="mosquitto listens")

    def stop(self) -> None:
        if self.embedded is not None:
            self.embedded.stop()
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=0.2).close()
        except OSError:
            return False
        return True


def need_mosquitto() -> None:
    if not Path(MOSQUITTO).exists():
        pytest.skip("Debian's mosquitto is not installed (apt-get install mosquitto)")


@dataclass
class FleetProcess:
    """`kingfisher-fleet` as an operator runs it; the gateway is a process that can be killed."""

    state: Path
    broker_port: int
    process: subprocess.Popen[bytes] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    extra: tuple[str, ...] = ()

    def cli(self, *args: str, check: bool = True) -> tuple[int, Any, str]:
        """Exit code, the last JSON line of stdout (None if there is none), stderr."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(["--state", str(self.state), "--json", *args])
        assert not check or code == 0, err.getvalue()
        lines = out.getvalue().strip().splitlines()
        return code, json.loads(lines[-1]) if lines else None, err.getvalue()

    def start(self, *knobs: str) -> None:
        with (self.state / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "fleet.cli", "--state", str(self.state), "--json", "gateway",
                    "--broker", f"127.0.0.1:{self.broker_port}", "--http", "127.0.0.1:0", *self.extra, *knobs,
                ],
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.state / "gateway.log").read_text()[-2000:]
        self.facts = json.loads(line)
        eventually(lambda: self.http("GET", "/v1/health")[1]["broker_connected"], what="gateway on the broker")

    def kill(self) -> None:
        """As a power cut: kill -9."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        if self.process is None or self.process.poll() is not None:
            return 0
        self.process.terminate()
        return self.process.wait(20)

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "api_token",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        given = dict(headers or {})
        if token is not None:
            given.setdefault("Authorization", "Bearer " + (self.state / token).read_text().strip())
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.facts["http"] + path, data=data, method=method, headers=given)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def order(self, box: str, amount: str = "18.50", **more: Any) -> dict[str, Any]:
        status, view = self.http("POST", "/v1/orders", {"box": box, "amount": amount} | more)
        assert status == 201, view
        return dict(view)

    def order_status(self, order_id: str) -> str:
        return str(self.http("GET", f"/v1/orders/{order_id}")[1]["status"])

    def balance(self, account: str, currency: str = "CNY") -> int:
        rows = self.cli("accounts")[1]
        return sum(row["balance_minor"] for row in rows if row["account"] == account and row["currency"] == currency)

    def entries(self, order_id: str) -> list[str]:
        """The kinds of this order's entries, oldest first."""
        return [
            row["kind"]
            for row in reversed(self.cli("ledger", "show", "--limit", "1000")[1])
            if row["order_id"] == order_id
        ]

    def refusals(self, reason: str) -> int:
        return int(self.http("GET", "/v1/health")[1]["refused"].get(reason, 0))

    def verified(self) -> dict[str, Any]:
        code, report, _ = self.cli("ledger", "verify", check=False)
        assert code == 0, report
        return dict(report)


class BoxDouble:
    """A box without a face: the wire protocol and nothing else. It remembers every body it was sent and believed."""

    payer = "grace"

    def __init__(
        self, fleet_public: Path, port: int, key: Ed25519PrivateKey | None = None, tls: TlsMaker | None = None
    ) -> None:
        self.key = key or Ed25519PrivateKey.generate()
        self.id = box_id_from_key(self.key.public_key())
        public = load_public_key(fleet_public)
        self.fleet = fleet_id_from_key(public)
        self.signer = Signer(self.key, self.id, self.id)
        self.verifier = Verifier({self.fleet: TrustedKey(self.fleet, public)}.get, self.id, now_unix)
        self.bodies: list[Body] = []
        self.claims: list[Claims] = []
        self.lost: list[Lost] = []
        self.unsettled: list[tuple[str, int]] = []
        self.open_orders: list[str] = []
        self.session = "s0"
        self.connections = 0
        self._sessions = 0
        self.online = threading.Event()
        self.link = Link(
            LinkOptions(
                "127.0.0.1",
                port,
                self.id,
                (topics.box_filter(self.id),),
                tls=tls(self.id) if tls else None,
                backoff_base_s=0.1,
                backoff_cap_s=0.5,
            ),
            on_message=self._message,
            on_connected=self._connected,
            on_lost=self._lost,
            will=self._will,
        )

    def connect(self) -> None:
        self.link.start()
        assert self.online.wait(15)

    def disconnect(self) -> None:
        self.link.stop()

    def seal(self, typ: str, body: dict[str, Any], life_s: int = 300) -> Sealed:
        return self.signer.seal(typ, self.fleet, body, life_s)

    def publish(self, typ: str, token: bytes) -> None:
        self.link.publish(topics.topic_of(typ, self.id), token).result(10)

    def send(self, typ: str, body: dict[str, Any]) -> Sealed:
        sealed = self.seal(typ, body)
        self.publish(typ, sealed.token)
        return sealed

    def request(self, order: dict[str, Any], attempt: int = 1, **changes: Any) -> dict[str, Any]:
        """The body of a payment request for an order as the gateway shows it."""
        return {
            "order_id": order["order_id"], "attempt": attempt, "amount_minor": order["amount_minor"],
            "currency": order["currency"], "payer": self.payer, "factors": ["face", "pin"], "channel": "simulated",
            "decided_at": now_unix(), "flow": "face_first",
        } | changes  # fmt: skip

    def confirm(self, order_id: str, attempt: int = 1) -> Sealed:
        """It has taken the approval."""
        data = {"attempt": attempt}
        return self.send("event", {"event": "order.approved", "at": now_unix(), "order_id": order_id, "data": data})

    def reverse(self, order_id: str, attempt: int = 1) -> PayAnswerBody:
        """The first answer from now on that speaks of the reversal: an approval may still be under way."""
        before = len(self.answers(order_id))
        self.send("pay.reverse", {"order_id": order_id, "attempt": attempt})
        words = ("reversed_on_request", "never_received", "too_late")
        return eventually(
            lambda: next((a for a in self.answers(order_id)[before:] if a.reason in words), None), 15, "the reversal"
        )

    def answers(self, order_id: str | None = None) -> list[PayAnswerBody]:
        return [b for b in list(self.bodies) if isinstance(b, PayAnswerBody) and order_id in (None, b.order_id)]

    def orders(self) -> list[OrderBody]:
        return [b for b in list(self.bodies) if isinstance(b, OrderBody)]

    def answer(self, order_id: str, count: int = 1, timeout_s: float = 15) -> PayAnswerBody:
        """The `count`-th answer to this order."""
        return eventually(lambda: (self.answers(order_id)[count - 1 :] or [None])[0], timeout_s, f"answer {count}")

    def _state(self, online: bool) -> bytes:
        body = StateBody(
            online=online,
            session=self.session,
            unsettled=[AttemptRef(order_id=o, attempt=a) for o, a in self.unsettled] if online else [],
            open_orders=self.open_orders if online else [],
        )
        return self.seal("state", body.to_json(), 3600).token

    def _will(self) -> Will:
        self._sessions += 1
        self.session = f"s{self._sessions}"
        return Will(topics.up(self.id, "state"), self._state(online=False))

    def _connected(self, _: Connected) -> None:
        self.connections += 1
        self.link.publish(topics.up(self.id, "state"), self._state(online=True), retain=True)
        self.online.set()

    def _lost(self, lost: Lost) -> None:
        self.online.clear()
        self.lost.append(lost)

    def _message(self, message: Received) -> None:
        claims = self.verifier.verify(message.payload, message.topic, retained=message.retained)
        self.claims.append(claims)
        self.bodies.append(parse_body(claims))
        message.ack()


_NUMBERS = itertools.count(1)


@dataclass
class Scene:
    """A fleet, a box of a merchant of its own, and a payer who has 100.00."""

    broker: BrokerDouble
    fleet: FleetProcess
    box: BoxDouble
    folder: Path
    merchant: str
    others: list[BoxDouble] = field(default_factory=list)

    @property
    def payer(self) -> str:
        return self.box.payer

    def new_order(self, amount: str = "18.50", **more: Any) -> dict[str, Any]:
        order = self.fleet.order(self.box.id, amount, **more)
        eventually(lambda: order["order_id"] in [o.order_id for o in self.box.orders()], what="order on the box")
        return order

    def pay(self, order: dict[str, Any], attempt: int = 1, **changes: Any) -> PayAnswerBody:
        before = len(self.box.answers(order["order_id"]))
        self.box.send("pay.request", self.box.request(order, attempt, **changes))
        return self.box.answer(order["order_id"], before + 1)

    def sell(self, order: dict[str, Any], attempt: int = 1) -> PayAnswerBody:
        """Paid, and confirmed by the box."""
        answer = self.pay(order, attempt)
        assert answer.status == "approved", answer
        self.box.confirm(order["order_id"], attempt)
        self.until(order, "approved")
        return answer

    def until(self, order: dict[str, Any], status: str, timeout_s: float = 15) -> dict[str, Any]:
        """The order as the gateway shows it, once it stands there."""
        path = f"/v1/orders/{order['order_id']}"
        return eventually(
            lambda: (view := self.fleet.http("GET", path)[1])["status"] == status and view, timeout_s, status
        )

    def another_box(self, tls: TlsMaker | None = None) -> BoxDouble:
        box = new_box(self.fleet, self.folder, self.merchant, tls)
        box.payer = self.payer
        self.others.append(box)
        return box

    def payer_has(self) -> int:
        return self.fleet.balance(f"payer:{self.payer}")

    def merchant_has(self) -> int:
        return self.fleet.balance(f"merchant:{self.merchant}")


def new_fleet(folder: Path, broker: BrokerDouble) -> FleetProcess:
    fleet = FleetProcess(folder / "fleet", broker.port)
    fleet.cli("init")
    if broker.kind == "rumqttd":
        StateFolder(fleet.state).write_broker(f"127.0.0.1:{broker.port}")
    return fleet


def new_box(fleet: FleetProcess, folder: Path, merchant: str = "main", tls: TlsMaker | None = None) -> BoxDouble:
    box = BoxDouble(fleet.state / "fleet_public.pem", fleet.broker_port, tls=tls)
    file = folder / f"{box.id}.pem"
    write_file(file, public_pem(box.key.public_key()), mode=0o644)
    assert fleet.cli("box", "add", str(file), "--name", f"counter-{box.id}", "--merchant", merchant)[1]["id"] == box.id
    return box


def new_broker(kind: str, folder: Path, config: str = "", port: int | None = None) -> BrokerDouble:
    if kind == "mosquitto" and not Path(MOSQUITTO).exists():
        pytest.skip("Debian's mosquitto is not installed (apt-get install mosquitto)")
    double = BrokerDouble(kind, folder, port or free_port(), config)
    double.start()
    return double


@contextlib.contextmanager
def playing(broker: BrokerDouble, fleet: FleetProcess, folder: Path, tls: TlsMaker | None = None) -> Iterator[Scene]:
    number = next(_NUMBERS)
    box = new_box(fleet, folder, f"shop-{number}", tls)
    box.payer = f"grace-{number}"
    scene = Scene(broker, fleet, box, folder, f"shop-{number}")
    box.connect()
    status, said = fleet.http(
        "POST", "/v1/enrolments", {"box": box.id, "payer": box.payer, "balance": "100.00", "purposes": ["pay"]}
    )
    assert status == 201, said
    try:
        yield scene
    finally:
        for one in [box, *scene.others]:
            one.disconnect()


@pytest.fixture(scope="module", params=["rumqttd", "mosquitto"])
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[BrokerDouble, FleetProcess]]:
    folder = tmp_path_factory.mktemp("backend")
    broker = new_broker(request.param, folder)
    fleet = new_fleet(folder, broker)
    fleet.start()
    yield broker, fleet
    assert fleet.stop() == 0
    broker.stop()


@pytest.fixture
def scene(backend: tuple[BrokerDouble, FleetProcess], tmp_path: Path) -> Iterator[Scene]:
    """On a gateway and a broker that other scenes use too: nothing of them is stopped here."""
    with playing(*backend, tmp_path) as scene:
        yield scene
    backend[1].verified()


@pytest.fixture(params=["rumqttd", "mosquitto"])
def own_scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    """With a gateway and a broker of its own, to be killed."""
    broker = new_broker(request.param, tmp_path)
    fleet = new_fleet(tmp_path, broker)
    fleet.start()
    with playing(broker, fleet, tmp_path) as scene:
        yield scene
        fleet.verified()
    fleet.stop()
    broker.stop()


def listen(
    options: LinkOptions,
    on_message: Callable[[Received], None] | None,
    on_lost: Callable[[Lost], None] = lambda _: None,
) -> Link:
    """A bare link; waits for its connection when it is to hear something."""
    ready = threading.Event()
    link = Link(options, on_message=on_message or (lambda _: None), on_connected=lambda _: ready.set(), on_lost=on_lost)
    link.start()
    assert on_message is None or ready.wait(15)
    return link


@pytest.fixture
def build() -> Any:
    """This file's parts, for tests that put a scene together themselves."""
    return SimpleNamespace(
        free_port=free_port, FleetProcess=FleetProcess, new_broker=new_broker, playing=playing, listen=listen
    )


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return eventually

"""Paying over a network that delays, loses, doubles and cuts: nothing is lost, nothing charged twice.

The broker stands in a network namespace of its own; between it and the box lies a veth pair, whose traffic `tc netem`
spoils and whose end is taken down like a cable. Needs root, iproute2 and the kernel's netem; where one is missing, the
test says which. The same is played on any machine through a relay that holds packets back, doubles and cuts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleet_doubles.box import BoxDouble
from fleet_doubles.brokers import MOSQUITTO, BrokerDouble, new_broker
from fleet_doubles.gateway_process import FleetProcess, new_fleet
from fleet_doubles.relay import Relay
from fleet_doubles.waiting import eventually, free_port

from mqtt import topics
from mqtt.identity import public_pem, write_file
from mqtt.link import Link, LinkOptions

NUMBERS = itertools.count()
OURS, THEIRS = "10.231.77.1", "10.231.77.2"
ORDERS = 6


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


class Wire:
    """The veth pair between the box's side and the broker's."""

    def __init__(self) -> None:
        number = f"{os.getpid() % 10**6}-{next(NUMBERS)}"
        self.space, self.here, self.there = f"kf-{number}", f"kfh{number}", f"kft{number}"

    def lay(self) -> None:
        run("ip", "netns", "add", self.space)
        run("ip", "link", "add", self.here, "type", "veth", "peer", "name", self.there, "netns", self.space)
        run("ip", "addr", "add", f"{OURS}/30", "dev", self.here)
        run("ip", "link", "set", self.here, "up")
        for words in (("addr", "add", f"{THEIRS}/30", "dev", self.there), ("link", "set", self.there, "up")):
            run("ip", "-n", self.space, *words)

    def take_away(self) -> None:
        for words in (("link", "del", self.here), ("netns", "del", self.space)):
            subprocess.run(["ip", *words], check=False, capture_output=True)

    def spoil(self, *how: str) -> None:
        try:
            run("tc", "qdisc", "replace", "dev", self.here, "root", "netem", *how)
            run("ip", "netns", "exec", self.space, "tc", "qdisc", "replace", "dev", self.there, "root", "netem", *how)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this kernel has no netem: {error.stderr.strip()}")

    def cut(self, for_s: float) -> None:
        run("ip", "link", "set", self.here, "down")
        time.sleep(for_s)
        run("ip", "link", "set", self.here, "up")


@pytest.fixture
def wire() -> Iterator[Wire]:
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("tc") is None:
        pytest.skip("network namespaces need root and iproute2 (apt-get install iproute2)")
    made = Wire()
    try:
        made.lay()
    except subprocess.CalledProcessError as error:
        made.take_away()
        pytest.skip(f"this machine forbids network namespaces: {error.stderr.strip()}")
    yield made
    made.take_away()


class Payer(BoxDouble):
    """A box that pays whatever it is asked for, asks what became of it, and confirms, as the contract says."""

    def __init__(self, fleet: FleetProcess, host: str, port: int) -> None:
        super().__init__(fleet.state / "fleet_public.pem", port, Ed25519PrivateKey.generate())
        self.link = Link(
            LinkOptions(
                host, port, self.id, (topics.box_filter(self.id),), keepalive_s=5, connect_timeout_s=4.0,
                puback_timeout_s=6.0, backoff_base_s=0.1, backoff_cap_s=1.0,
            ),
            on_message=self._message, on_connected=self._connected, on_lost=self._lost, will=self._will,
        )  # fmt: skip

    def attempt(self, typ: str, body: dict[str, Any]) -> None:
        """Said once, whether it arrives or not."""
        with contextlib.suppress(Exception):
            self.publish(typ, self.seal(typ, body).token)

    def pay(self, order: dict[str, Any], within_s: float = 120.0) -> str:
        """Its final status. The request leaves once; what became of it is asked until somebody says."""
        order_id = order["order_id"]
        self.unsettled.append((order_id, 1))
        self.attempt("pay.request", self.request(order))
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            with contextlib.suppress(AssertionError):
                final = eventually(lambda: [a for a in self.answers(order_id) if a.status != "pending"], 2.0)
                return str(final[-1].status)
            self.attempt("pay.query", {"order_id": order_id, "attempt": 1})
        raise AssertionError(f"{order_id} has no end")


Shop = tuple[FleetProcess, Payer]


def new_payer(fleet: FleetProcess, folder: Path, host: str, port: int) -> Payer:
    box = Payer(fleet, host, port)
    file = folder / "box.pem"
    write_file(file, public_pem(box.key.public_key()), mode=0o644)
    fleet.cli("box", "add", str(file), "--name", "counter")
    box.connect()
    enrolment = {"box": box.id, "payer": box.payer, "balance": "5000.00", "purposes": ["pay"]}
    assert fleet.http("POST", "/v1/enrolments", enrolment)[0] == 201
    return box


@pytest.fixture
def shop(wire: Wire, tmp_path: Path) -> Iterator[Shop]:
    """Its broker is beyond the wire."""
    if not Path(MOSQUITTO).exists():
        pytest.skip("Debian's mosquitto is not installed (apt-get install mosquitto)")
    port = free_port()
    config = tmp_path / "mosquitto.conf"
    config.write_text(f"listener {port} {THEIRS}\nallow_anonymous true\nset_tcp_nodelay true\n")
    command = ["ip", "netns", "exec", wire.space, MOSQUITTO, "-c", str(config)]
    with (tmp_path / "mosquitto.log").open("ab") as log:
        broker = subprocess.Popen(command, stdout=log, stderr=log)
    fleet = new_fleet(tmp_path, BrokerDouble("mosquitto", tmp_path, port))
    try:
        fleet.start("--broker", f"{THEIRS}:{port}")
        box = new_payer(fleet, tmp_path, THEIRS, port)
        yield fleet, box
        box.disconnect()
    finally:
        fleet.stop()
        broker.terminate()
        broker.wait(10)


@contextlib.contextmanager
def pulling(cut: Callable[[float], None], seed: int) -> Iterator[None]:
    """Somebody pulls the cable, now and then, for a moment or for longer."""
    over = threading.Event()
    draw = random.Random(seed)
    lengths_s = itertools.cycle([0.2, 1.0, 12.0])

    def pull() -> None:
        while not over.wait(draw.uniform(0.5, 3.0)):
            cut(next(lengths_s))

    hand = threading.Thread(target=pull, daemon=True)
    hand.start()
    try:
        yield
    finally:
        over.set()
        hand.join(20)


def sell(fleet: FleetProcess, box: Payer, connections: int = 1) -> tuple[list[str], list[str]]:
    """(orders that were approved, orders that were not), each ended at the box; as many as it takes until the box has
    made so many connections."""
    approved, others = [], []
    while len(approved) + len(others) < ORDERS or box.connections < connections:
        order = fleet.order(box.id, "1.00", expires_in_s=600)
        eventually(
            lambda wanted=order["order_id"]: wanted in [o.order_id for o in box.orders()], 90, "order on the box"
        )
        (approved if box.pay(order) == "approved" else others).append(order["order_id"])
    return approved, others


def check(fleet: FleetProcess, box: Payer, approved: list[str], others: list[str]) -> None:
    """What the box was told is what the books say, to the cent."""
    for order_id in approved:
        eventually(lambda wanted=order_id: box.attempt("event", {
            "event": "order.approved", "at": int(time.time()), "order_id": wanted, "data": {"attempt": 1},
        }) or fleet.order_status(wanted) == "approved", 90, "confirmed")  # fmt: skip
        assert fleet.entries(order_id) == ["capture"]
    for order_id in others:
        assert fleet.entries(order_id) == []
    assert fleet.balance(f"payer:{box.payer}") == 500_000 - 100 * len(approved)
    assert fleet.verified()["captured_unconfirmed"] == 0


@pytest.mark.parametrize(
    "how",
    [
        ("delay", "150ms", "80ms", "distribution", "normal"),
        ("delay", "20ms", "10ms", "duplicate", "20%", "reorder", "25%"),
        ("delay", "20ms", "loss", "8%"),
    ],
    ids=["delay", "duplicate-and-reorder", "loss"],
)
def test_a_spoilt_line_costs_time_and_no_money(wire: Wire, shop: Shop, how: tuple[str, ...]) -> None:
    fleet, box = shop
    wire.spoil(*how)
    approved, others = sell(fleet, box)
    assert (len(approved), others) == (ORDERS, [])
    check(fleet, box, approved, others)


def test_cables_pulled_at_any_moment_of_paying_lose_and_double_nothing(wire: Wire, shop: Shop) -> None:
    fleet, box = shop
    with pulling(wire.cut, seed=7):
        approved, others = sell(fleet, box, connections=2)
    check(fleet, box, approved, others)


@pytest.mark.parametrize("kind", ["rumqttd", "mosquitto"])
def test_a_relay_that_holds_back_doubles_and_cuts_loses_and_doubles_nothing(tmp_path: Path, kind: str) -> None:
    with contextlib.ExitStack() as after:
        broker = new_broker(kind, tmp_path)
        after.callback(broker.stop)
        fleet = new_fleet(tmp_path, broker)
        after.callback(fleet.stop)
        fleet.start()
        relay = Relay(("127.0.0.1", broker.port), delay_s=0.03, twice=0.3, seed=3)
        after.callback(relay.stop)
        box = new_payer(fleet, tmp_path, "127.0.0.1", relay.port)
        after.callback(box.disconnect)
        with pulling(lambda _: relay.cut(), seed=5):
            approved, others = sell(fleet, box, connections=2)
        assert relay.doubled
        check(fleet, box, approved, others)

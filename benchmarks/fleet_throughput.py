"""As many payments as the gateway can take at once, over as many requests as a bare client can answer.

Each time one client asks, with requests made beforehand, and another process answers: the gateway, which verifies,
books, commits and signs; a paho client that sends a reply; or, between the two, one that does nothing but what no
gateway can go without (`fleet_least.py`). Over the bare one, that last is the ceiling for any gateway here.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleet_bare import ASK, SAID, connected
from fleet_load import bare_command, environment, least_command
from fleet_rig import Rig, cpu_s

from fleet.actions import reading, writing
from fleet.money import orders
from fleet.swarm.crowd import found
from mqtt import topics
from mqtt.connection import TlsOptions
from mqtt.envelope import Signer
from mqtt.identity import box_id_from_key
from mqtt.schemas import PayRequestBody

ROUNDS = 3
LIFE_S = 3600
WITHIN_S = 300.0


@dataclass(frozen=True, slots=True)
class Answered:
    """So many requests in a second, and the CPU time that the answering process took for each, in microseconds: what
    other work on the machine does to the first, it hardly does to the second."""

    per_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Round:
    """The three, one after another."""

    gateway: Answered
    least: Answered
    bare: Answered


@dataclass(frozen=True, slots=True)
class Throughput:
    """Medians of the rounds, which take turns."""

    rounds: list[Round]

    @property
    def ratio(self) -> float:
        return statistics.median(one.gateway.per_s / one.bare.per_s for one in self.rounds)

    @property
    def ceiling(self) -> float:
        """What the ratio would be if all but signatures, two rows, their commit and paho took no time."""
        return statistics.median(one.least.per_s / one.bare.per_s for one in self.rounds)

    def per_s(self, who: Callable[[Round], Answered]) -> float:
        return statistics.median(who(one).per_s for one in self.rounds)

    def cpu_us(self, who: Callable[[Round], Answered]) -> float:
        return statistics.median(who(one).cpu_us for one in self.rounds)


class _Counter:
    """Hears replies; `all_there` when so many different topics, or messages, have come."""

    def __init__(self) -> None:
        self.all_there, self._wanted, self._heard = threading.Event(), 0, 0

    def expect(self, count: int) -> None:
        self._wanted, self._heard = count, 0
        self.all_there.clear()

    def heard(self, _topic: str, _payload: bytes) -> None:
        self._heard += 1
        if self._heard == self._wanted:
            self.all_there.set()

    def wait(self) -> None:
        if not self.all_there.wait(WITHIN_S):
            raise SystemExit(f"{self._wanted - self._heard} of {self._wanted} requests had no answer")


def throughput(rig: Rig, payments: int, say: Callable[[str], None]) -> Throughput:
    with writing(rig.state.folder) as tx:
        [key] = found(tx, 1, int(time.time()))
    box, tls = rig.certificate_for("payer", key)
    rounds = []
    for turn in range(ROUNDS):
        say(f"throughput, round {turn + 1} of {ROUNDS}: {payments} payments, the least of them, bare requests")
        requests = _requests(rig, key, payments)
        size = len(requests[0])
        least = _answered(rig, least_command(rig, size, key.public_key()), requests)
        bare = _answered(rig, bare_command(rig, "echo", size), [b"x" * size] * payments)
        rounds.append(Round(_paid(rig, box, tls, requests), least, bare))
    return Throughput(rounds)


def _requests(rig: Rig, key: Ed25519PrivateKey, count: int) -> list[bytes]:
    """Signed, each for an order of its own that is in the books already."""
    box, now = box_id_from_key(key.public_key()), int(time.time())
    with writing(rig.state.folder) as tx:
        merchant = tx.execute("SELECT merchant FROM boxes WHERE id = ?", (box,)).fetchone()[0]
        made = [
            orders.create(
                tx, box=box, merchant=merchant, amount_minor=100, currency="CNY", title=None, expires_at=now + LIFE_S,
                now=now,
            ).order_id
            for _ in range(count)
        ]  # fmt: skip
    signer = Signer(key, box, box)
    return [
        signer.seal("pay.request", rig.fleet, PayRequestBody(
            order_id=order, attempt=1, amount_minor=100, currency="CNY", payer="swarm-0", factors=("face", "pin"),
            channel="simulated", decided_at=now, flow="face_first",
        ).to_json(), LIFE_S).token
        for order in made
    ]  # fmt: skip


def _paid(rig: Rig, box: str, tls: TlsOptions, requests: Sequence[bytes]) -> Answered:
    counter = _Counter()
    client = connected(box, ("127.0.0.1", rig.port), tls, topics.down(box, "pay"), counter.heard)
    counter.expect(len(requests))
    before_s = rig.cpu_s()["gateway"]
    topic, began_s = topics.up(box, "pay"), time.monotonic()
    for request in requests:
        client.publish(topic, request, qos=1)
    counter.wait()
    took_s = time.monotonic() - began_s
    used_s = rig.cpu_s()["gateway"] - before_s
    client.disconnect()
    client.loop_stop()
    with reading(rig.state.folder) as tx:
        captured = tx.execute("SELECT count(*) FROM entries WHERE kind = 'capture'").fetchone()[0]
    if captured % len(requests):
        raise SystemExit(f"{captured} payments are in the books, which is no multiple of {len(requests)}")
    return _each(len(requests), took_s, used_s)


def _answered(rig: Rig, command: Sequence[str], requests: Sequence[bytes]) -> Answered:
    """By the process that this command starts."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment())
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise SystemExit("the client that replies did not start")
        counter = _Counter()
        asker = connected(
            "bare-asker", ("127.0.0.1", rig.port), rig.certified("bare-asker")[1], f"{SAID}/#", counter.heard
        )
        counter.expect(len(requests))
        before_s, began_s = cpu_s(process.pid), time.monotonic()
        for number, request in enumerate(requests):
            asker.publish(f"{ASK}/{number}", request, qos=1)
        counter.wait()
        took_s, used_s = time.monotonic() - began_s, cpu_s(process.pid) - before_s
        asker.disconnect()
        asker.loop_stop()
        return _each(len(requests), took_s, used_s)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _each(count: int, took_s: float, used_s: float) -> Answered:
    return Answered(count / took_s, used_s / count * 1e6)

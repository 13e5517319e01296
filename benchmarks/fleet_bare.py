"""Bare MQTT clients beside which the fleet is measured: paho, QoS 1, TLS with client certificates, nothing else.

    python benchmarks/fleet_bare.py echo HOST:PORT CA CERT KEY BYTES
    python benchmarks/fleet_bare.py fan HOST:PORT CA CERT KEY BYTES CLIENTS

In a process of its own, as the gateway is one. `echo` answers each message on `bench/ask/#` with BYTES bytes on
`bench/said/…` until it is terminated. `fan` sends BYTES bytes to each of CLIENTS and prints how many seconds it took
until all had replied, three times over.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from mqtt.connection import IN_FLIGHT, TlsOptions, _send_at_once

ASK, SAID = "bench/ask", "bench/said"
CONNECT_S = 300.0
ROUNDS = 3


def connected(
    name: str, broker: tuple[str, int], tls: TlsOptions, subscription: str, heard: Callable[[str, bytes], None]
) -> Client:
    """A client with its own network thread, subscribed. Raises SystemExit when the broker refuses it."""
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTv5)
    client.tls_set_context(tls.context())
    client.max_inflight_messages_set(IN_FLIGHT)
    client.on_socket_open = _send_at_once

    def on_message(_client: Client, _: Any, message: MQTTMessage) -> None:
        heard(message.topic, bytes(message.payload))

    def on_connect(one: Client, _: Any, _flags: Any, code: ReasonCode, _properties: Any) -> None:
        one.subscribe(subscription, qos=1)

    client.on_message = on_message
    client.on_connect = on_connect
    client.on_subscribe = lambda *_: ready.set()
    client.connect(*broker)
    client.loop_start()
    if not ready.wait(CONNECT_S):
        raise SystemExit(f"{name}: the broker did not let it in")
    return client


@dataclass(frozen=True, slots=True)
class Trips:
    """Seconds, sorted."""

    took_s: Sequence[float]

    @property
    def median_ms(self) -> float:
        return statistics.median(self.took_s) * 1000

    @property
    def p99_ms(self) -> float:
        return self.took_s[min(len(self.took_s) - 1, int(len(self.took_s) * 0.99))] * 1000

    def and_(self, others: Trips) -> Trips:
        return Trips(sorted([*self.took_s, *others.took_s]))


def echo(broker: tuple[str, int], tls: TlsOptions, size: int) -> None:
    """Until SIGTERM."""
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    reply = b"y" * size

    def heard(topic: str, _: bytes) -> None:
        client.publish(topic.replace(ASK, SAID, 1), reply, qos=1)

    client = connected("bench-echo", broker, tls, f"{ASK}/#", heard)
    print("ready", flush=True)
    over.wait()
    client.disconnect()
    client.loop_stop()


def fan(broker: tuple[str, int], tls: TlsOptions, size: int, clients: int) -> list[float]:
    """Seconds of each round. Raises SystemExit when somebody does not reply."""
    heard, all_heard = set[str](), threading.Event()

    def note(topic: str, _: bytes) -> None:
        heard.add(topic)
        if len(heard) == clients:
            all_heard.set()

    client = connected("bench-fan", broker, tls, f"{SAID}/#", note)
    took_s = []
    for _ in range(ROUNDS):
        heard.clear()
        all_heard.clear()
        began_s = time.monotonic()
        for number in range(clients):
            client.publish(f"{ASK}/{number}", b"x" * size, qos=1)
        if not all_heard.wait(CONNECT_S):
            raise SystemExit(f"bare fan-out: {clients - len(heard)} of {clients} did not reply")
        took_s.append(time.monotonic() - began_s)
    client.disconnect()
    client.loop_stop()
    return took_s


def main() -> int:
    what, where, ca, certificate, key, size, *more = sys.argv[1:]
    host, _, port = where.rpartition(":")
    broker, tls = (host, int(port)), TlsOptions(Path(ca), Path(certificate), Path(key))
    if what == "fan":
        print(json.dumps(fan(broker, tls, int(size), int(more[0]))))
    else:
        echo(broker, tls, int(size))
    return 0


if __name__ == "__main__":
    sys.exit(main())

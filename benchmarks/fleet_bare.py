"""Bare MQTT clients beside which the fleet is measured: paho, QoS 1, TLS with client certificates, nothing else.

    python benchmarks/fleet_bare.py echo HOST:PORT CA CERT KEY BYTES

answers each message on `bench/ask/#` with BYTES bytes on `bench/said/…` until it is terminated: the other end of a
request and reply, in a process of its own like the gateway.
"""

from __future__ import annotations

import signal
import statistics
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from mqtt.connection import MAX_IN_FLIGHT, TlsOptions, _send_at_once

ASK, SAID = "bench/ask", "bench/said"
CONNECT_S = 30.0


def connected(
    name: str, broker: tuple[str, int], tls: TlsOptions, subscription: str, heard: Callable[[str, bytes], None]
) -> Client:
    """A client with its own network thread, subscribed. Raises SystemExit when the broker refuses it."""
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTv5)
    client.tls_set_context(tls.context())
    client.max_inflight_messages_set(MAX_IN_FLIGHT)
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


def main() -> int:
    from pathlib import Path

    _, where, ca, certificate, key, size = sys.argv[1:]
    host, _, port = where.rpartition(":")
    echo((host, int(port)), TlsOptions(Path(ca), Path(certificate), Path(key)), int(size))
    return 0


if __name__ == "__main__":
    sys.exit(main())

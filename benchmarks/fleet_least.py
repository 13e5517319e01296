"""The least that a gateway's process must do for a payment, whatever its program: the ceiling of its throughput here.

    python benchmarks/fleet_least.py HOST:PORT CA CERT KEY BYTES PUBLIC_KEY_HEX

For each request on `bench/ask/#`: its Ed25519 signature is checked; a row says that it came, another what is answered;
the answer is signed; both rows are on disk (WAL, synchronous=FULL, one commit for up to 64) before the answer is
published and the request acknowledged; the broker's acknowledgement takes the answer's row away with the next commit.
Nothing is parsed, no books are kept, no answer is made up: `fleet_bare.py echo` with what money may not go without.
"""

from __future__ import annotations

import queue
import signal
import sqlite3
import ssl
import sys
import tempfile
import threading
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fleet_bare import ASK, CONNECT_S, SAID
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from fleet.turns import MAX_BATCH
from mqtt.connection import TlsOptions, _send_at_once
from mqtt.read_ahead import ReadAhead

_TABLES = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
CREATE TABLE came (signature BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE outbox (id INTEGER PRIMARY KEY, payload BLOB NOT NULL);
"""


class Least:
    """The network's thread hands over; the other one checks, writes, commits and sends."""

    def __init__(self, books: Path, public: Ed25519PublicKey, size: int) -> None:
        self._books, self._public = books, public
        self._key, self._answer = Ed25519PrivateKey.generate(), b"y" * (size - 64)
        self._came: queue.SimpleQueue[MQTTMessage] = queue.SimpleQueue()
        self._sent: dict[int, int] = {}  # packet id -> row
        self._acked: queue.SimpleQueue[int] = queue.SimpleQueue()

    def connect(self, broker: tuple[str, int], tls: TlsOptions) -> None:
        ready, context = threading.Event(), tls.context()
        context.sslsocket_class = ReadAhead
        self._client = client = Client(CallbackAPIVersion.VERSION2, "bench-least", protocol=MQTTv5, manual_ack=True)
        client.tls_set_context(context)
        client.max_inflight_messages_set(0)
        client.on_socket_open = _send_at_once
        client.on_message = lambda _client, _, message: self._came.put(message)
        client.on_publish = lambda _client, _, mid, *_more: self._acked.put(mid)
        client.on_connect = lambda one, *_: one.subscribe(f"{ASK}/#", qos=1)
        client.on_subscribe = lambda *_: ready.set()
        client.connect(*broker)
        client.loop_start()
        if not ready.wait(CONNECT_S):
            raise SystemExit("the least gateway: the broker did not let it in")
        threading.Thread(target=self._work, name="desk", daemon=True).start()

    def _work(self) -> None:
        books = sqlite3.connect(self._books, isolation_level=None)
        books.executescript(_TABLES)
        while True:
            batch = [self._came.get()]
            while len(batch) < MAX_BATCH and not self._came.empty():
                batch.append(self._came.get())
            books.execute("BEGIN IMMEDIATE")
            answers = [self._take(books, bytes(message.payload)) for message in batch]
            while not self._acked.empty():
                row = self._sent.pop(self._acked.get(), None)
                books.execute("DELETE FROM outbox WHERE id = ?", (row,))
            books.execute("COMMIT")
            for message, (row, answer) in zip(batch, answers, strict=True):
                sent = self._client.publish(message.topic.replace(ASK, SAID, 1), answer, qos=1)
                self._sent[sent.mid] = row
                self._client.ack(message.mid, message.qos)

    def _take(self, books: sqlite3.Connection, token: bytes) -> tuple[int, bytes]:
        signed, _, segment = token.rpartition(b".")
        signature = urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
        self._public.verify(signature, signed)
        books.execute("INSERT INTO came VALUES (?)", (signature,))
        answer = self._answer + self._key.sign(self._answer)
        row: Any = books.execute("INSERT INTO outbox (payload) VALUES (?)", (answer,)).lastrowid
        return int(row), answer


def main() -> int:
    where, ca, certificate, key, size, public = sys.argv[1:]
    host, _, port = where.rpartition(":")
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    with tempfile.TemporaryDirectory() as folder:
        least = Least(Path(folder) / "least.db", Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)), int(size))
        try:
            least.connect((host, int(port)), TlsOptions(Path(ca), Path(certificate), Path(key)))
        except (OSError, ssl.SSLError) as error:
            raise SystemExit(f"the least gateway: {error}") from error
        print("ready", flush=True)
        over.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())

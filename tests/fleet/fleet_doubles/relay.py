"""A bad line between a box and its broker, for machines without netem: it reads MQTT packets, holds them back, says
some of them twice, and cuts."""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from contextlib import suppress

PUBLISH = 3


class Relay:
    """Listens on loopback; `port` is the one to connect to. `delay_s` is the longest wait of a packet, `twice` the
    share of PUBLISH packets that are sent again right away (as a client does that saw no PUBACK); `cut()` ends every
    line."""

    def __init__(self, to: tuple[str, int], *, delay_s: float = 0.0, twice: float = 0.0, seed: int = 0) -> None:
        self._to, self._delay_s, self._twice = to, delay_s, twice
        self._draw = random.Random(seed)
        self._sockets: set[socket.socket] = set()
        self.doubled = self.cuts = 0
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self.cuts += 1
        for one in list(self._sockets):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._over.set()
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._to, timeout=5)
            except OSError:
                continue
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.add(one)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        held = b""
        with suppress(OSError):
            while not self._over.is_set():
                if not select.select([source], [], [], 0.5)[0]:
                    continue
                more = source.recv(65536)
                if not more:
                    break
                held += more
                while (length := _packet_length(held)) is not None:
                    packet, held = held[:length], held[length:]
                    time.sleep(self._draw.uniform(0, self._delay_s))
                    sink.sendall(packet)
                    if packet[0] >> 4 == PUBLISH and self._draw.random() < self._twice:
                        self.doubled += 1
                        sink.sendall(bytes([packet[0] | 0x08]) + packet[1:])
        for one in (source, sink):
            self._sockets.discard(one)
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


def _packet_length(held: bytes) -> int | None:
    """Of the first whole packet, None while it is not whole (MQTT 5, 2.1.4)."""
    value, shift = 0, 0
    for place, byte in enumerate(held[1:5], 1):
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            end = place + 1 + value
            return end if len(held) >= end else None
        shift += 7
    return None

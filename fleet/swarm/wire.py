"""One MQTT 5 connection of a swarm's box, on asyncio: paho's client, driven by the loop instead of by a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

MISC_EVERY_S = 15.0  # of a keep-alive of 60
# TCP and TLS block: in the loop's own thread the boxes would come one after the other, and be no crowd
_DOORS = ThreadPoolExecutor(64, thread_name_prefix="swarm-connect")

Heard = Callable[[str, bytes, bool], None]  # topic, payload, retained


class Wire:
    """Reconnects with full jitter until it is closed. `ready` is set while the subscription stands."""

    def __init__(
        self, box: str, broker: tuple[str, int], subscription: str, heard: Heard, *, tls: ssl.SSLContext | None = None,
        will: Callable[[], tuple[str, bytes]], connected: Callable[[], None], pause: Callable[[int], float],
        keepalive_s: int = 60,
    ) -> None:  # fmt: skip
        self._box, self._broker, self._subscription, self._heard = box, broker, subscription, heard
        self._tls, self._will, self._connected, self._pause, self._keepalive_s = (
            tls,
            will,
            connected,
            pause,
            keepalive_s,
        )
        self._client: Client | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._gone = asyncio.Event()
        self._pubacks: dict[int, asyncio.Future[None]] = {}
        self.ready = asyncio.Event()
        self.connects = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        self._loop, self._loop_thread = asyncio.get_running_loop(), threading.get_ident()
        failures = 0
        while True:
            self._gone.clear()
            client = self._client = self._make()
            try:
                await self._open(client)
                while not self._gone.is_set():
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._gone.wait(), MISC_EVERY_S)
                    failures = 0 if self.ready.is_set() else failures
                    client.loop_misc()
            except (OSError, ValueError):  # ValueError: paho was handed a socket that is gone already
                pass
            finally:
                self.ready.clear()
                self._drop(client)
            failures += 1
            await asyncio.sleep(self._pause(failures))

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> asyncio.Future[None]:
        """Resolves with the PUBACK; fails with ConnectionError when the connection is lost before it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._client is None or not self.ready.is_set():
            done.set_exception(ConnectionError("not connected"))
            return done
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        self._pubacks[info.mid] = done
        return done

    def cut(self) -> None:
        """As a pulled cable: no DISCONNECT, so that the broker publishes the will."""
        if self._client is not None and isinstance(sock := self._client.socket(), socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._gone.set()

    # ---- inside --------------------------------------------------------------------------------------------------

    def _make(self) -> Client:
        client = Client(CallbackAPIVersion.VERSION2, self._box, protocol=MQTTv5, reconnect_on_failure=False)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        topic, payload = self._will()
        client.will_set(topic, payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = lambda _client, _data, mid, *_rest: self._acked(mid)
        client.on_disconnect = lambda *_: self._gone.set()
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = lambda _client, _data, sock: self._on_loop(_no_more, sock)
        client.on_socket_register_write = lambda one, _data, sock: self._on_loop(_write_when_free, one, sock)
        client.on_socket_unregister_write = lambda _client, _data, sock: self._on_loop(_nothing_to_write, sock)
        return client

    async def _open(self, client: Client) -> None:
        """TCP, TLS and CONNECT. Raises OSError."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        host, port = self._broker
        opening = asyncio.get_running_loop().run_in_executor(
            _DOORS,
            lambda: client.connect(host, port, self._keepalive_s, clean_start=False, properties=properties),
        )
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            await asyncio.wait([opening])  # what it opens is closed after it
            raise

    def _on_socket_open(self, client: Client, _: Any, sock: Any) -> None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def read() -> None:
            client.loop_read()
            # TLS may have taken more off the socket than one packet: nothing would wake us for the rest.
            while isinstance(sock, ssl.SSLSocket) and sock.fileno() >= 0 and sock.pending():
                client.loop_read()
            if client.want_write():  # what it says to that goes out now, not after all the other boxes were heard
                client.loop_write()

        self._on_loop(_read_when_there, sock, read)

    def _on_loop(self, what: Callable[..., None], *about: Any) -> None:
        """paho calls back on the thread that opens a connection, and on the loop's from then on."""
        assert self._loop is not None
        if threading.get_ident() == self._loop_thread:
            what(self._loop, *about)
        else:
            self._loop.call_soon_threadsafe(what, self._loop, *about)

    def _on_connect(self, client: Client, _: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._gone.set()
            return
        options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        client.subscribe([(self._subscription, options)])

    def _on_subscribe(self, *_: Any) -> None:
        self.connects += 1
        self.ready.set()
        self._connected()

    def _on_message(self, _client: Client, _: Any, message: MQTTMessage) -> None:
        self._heard(message.topic, bytes(message.payload), message.retain)

    def _acked(self, mid: int) -> None:
        done = self._pubacks.pop(mid, None)
        if done is not None and not done.done():
            done.set_result(None)

    def _drop(self, client: Client) -> None:
        sock = client.socket()
        if sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock)
            loop.remove_writer(sock)
        with contextlib.suppress(OSError, ValueError):
            client.disconnect()
        # It closes its socket once more when it is collected, which may be after the loop has ended.
        client.on_socket_close = client.on_socket_register_write = client.on_socket_unregister_write = None
        lost, self._pubacks = self._pubacks, {}
        for done in lost.values():
            if not done.done():
                done.set_exception(ConnectionError("the connection was lost"))
                done.exception()  # nobody need look


def _read_when_there(loop: asyncio.AbstractEventLoop, sock: Any, read: Callable[[], None]) -> None:
    if sock.fileno() >= 0:
        loop.add_reader(sock, read)


def _write_when_free(loop: asyncio.AbstractEventLoop, client: Client, sock: Any) -> None:
    if sock.fileno() >= 0:
        loop.add_writer(sock, client.loop_write)


def _nothing_to_write(loop: asyncio.AbstractEventLoop, sock: Any) -> None:
    if sock.fileno() >= 0:
        loop.remove_writer(sock)


def _no_more(loop: asyncio.AbstractEventLoop, sock: Any) -> None:
    if sock.fileno() >= 0:
        loop.remove_reader(sock)
        loop.remove_writer(sock)

"""One MQTT 5 connection from CONNECT to its end, on paho. Never reused: what it had not got acknowledged is reported.

paho would keep unacknowledged messages and send them again by itself. Here the durable outbox is the truth, so each
connection gets a fresh client and forgets; see `mqtt.link`.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ParamSpec

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from mqtt.ack_order import AckOrder
from mqtt.errors import LinkBusy, LinkDown, LinkLost, PublishRefused
from mqtt.read_ahead import ReadAhead

log = logging.getLogger("mqtt.link")

P = ParamSpec("P")

NO_MATCHING_SUBSCRIBERS = 0x10
RETAIN_NOT_SUPPORTED = 0x9A
IN_FLIGHT = 20
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """TLS 1.3; with a client certificate where the broker wants one (it always should)."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Raises OSError (ssl.SSLError is one) when a file is missing or is no PEM."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cafile=str(self.ca))
        if self.certificate is not None:
            context.load_cert_chain(str(self.certificate), str(self.key) if self.key else None)
        return context


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """`subscriptions` ask for no retained messages, `retained_subscriptions` do."""

    host: str
    port: int
    client_id: str
    subscriptions: tuple[str, ...]
    retained_subscriptions: tuple[str, ...] = ()
    tls: TlsOptions | None = None
    keepalive_s: int = 30
    session_expiry_s: int = 24 * 3600
    receive_maximum: int = 20
    in_flight: int = IN_FLIGHT  # sent at once; 0: as many as may be under way
    max_packet_bytes: int = 256 * 1024
    max_under_way: int = 500
    connect_timeout_s: float = 10.0
    puback_timeout_s: float = 30.0
    backoff_base_s: float = 0.5
    backoff_cap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we are gone without a word. Retained, QoS 1."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A message. Call `ack()` once it is committed, from any thread; False: the connection it came on is gone,
    and a broker that keeps sessions sends it again."""

    topic: str
    payload: bytes
    retained: bool
    ack: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class PubAck:
    """The broker has the message. `delivered_to_someone` False: it said that nobody is subscribed now (a hint;
    many brokers never say so)."""

    delivered_to_someone: bool


@dataclass(frozen=True, slots=True)
class _UnderWay:
    future: Future[PubAck]
    topic: str
    reference: int | None
    since_s: float


class Connection:
    """Callbacks come on paho's thread, one at a time. `on_end(reason, unacked)` comes exactly once and last;
    the futures of all unacknowledged messages have failed by then. `retain` False: for a broker that keeps no retained
    messages, and takes none; then they go as plain ones."""

    def __init__(
        self,
        options: LinkOptions,
        will: Will | None,
        *,
        on_ready: Callable[[bool], None],
        on_message: Callable[[Received], None],
        on_end: Callable[[str, tuple[int, ...]], None],
        retain: bool = True,
    ) -> None:
        self._options = options
        self._retain = retain
        self._on_ready, self._on_message, self._on_end = on_ready, on_message, on_end
        self._lock = threading.Lock()  # never held while paho is called: paho calls us with locks of its own
        self._under_way: dict[int, _UnderWay] = {}
        self._early: dict[int, ReasonCode] = {}  # acknowledged before publish() came back with the id
        self._ready = self._over = self._session_present = False
        self._max_under_way = options.max_under_way
        self._reason: str | None = None
        self._paho_thread: threading.Thread | None = None
        self.ended = threading.Event()
        self._client = self._make_client(will)
        self._acks = AckOrder(lambda mid: self._client.ack(mid, 1) == MQTTErrorCode.MQTT_ERR_SUCCESS)

    @property
    def retains(self) -> bool:
        """False once the broker has said that it takes no retained messages."""
        return self._retain

    @property
    def ready(self) -> bool:
        return self._ready and not self._over

    def open(self) -> None:
        """TCP, TLS and CONNECT; the rest happens on paho's thread. Raises OSError."""
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._options.session_expiry_s
        properties.ReceiveMaximum = self._options.receive_maximum
        properties.MaximumPacketSize = self._options.max_packet_bytes
        self._client.connect(
            self._options.host, self._options.port, self._options.keepalive_s, clean_start=False, properties=properties
        )
        self._client.loop_start()

    def publish(
        self, topic: str, payload: bytes, *, retain: bool, expires_in_s: int | None, reference: int | None
    ) -> Future[PubAck]:
        """Queue for sending; never blocks on the network. The future fails with LinkDown, LinkBusy, LinkLost or
        PublishRefused."""
        future: Future[PubAck] = Future()
        with self._lock:
            usable, under_way = self._ready and not self._over, len(self._under_way)
        if not usable:
            future.set_exception(LinkDown("publish", "not connected"))
            return future
        if under_way >= self._max_under_way:
            future.set_exception(LinkBusy("publish", f"{under_way} messages under way"))
            return future
        properties = _expiring(max(1, expires_in_s)) if expires_in_s is not None else None
        info = self._client.publish(topic, payload, qos=1, retain=retain and self._retain, properties=properties)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            future.set_exception(LinkBusy("publish", "no message id is free"))
            return future
        entry = _UnderWay(future, topic, reference, time.monotonic())
        with self._lock:
            code = self._early.pop(info.mid, None)
            if code is None and not self._over:
                self._under_way[info.mid] = entry
                return future
        if code is None:
            future.set_exception(LinkLost(f"publish on {topic}", "the connection ended"))
        else:
            _resolve(entry, code)
        return future

    def close(self, *, with_will: bool, timeout_s: float) -> None:
        """Say goodbye and wait for the end. `with_will`: the broker shall publish the will all the same."""
        name = "Disconnect with will message" if with_will else "Normal disconnection"
        self._reason = self._reason or "stopped"
        if self.ready:
            self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, name))
            self.ended.wait(timeout_s)
        self.abandon("stopped")

    def abandon(self, reason: str) -> None:
        """Give it up now, without the broker's help. May be called twice."""
        self._end(reason)
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError as error:
                log.debug("event=shutdown_failed why=%s", error)

    def trouble(self, now_s: float) -> str | None:
        """What makes waiting on pointless: the thread died, the broker takes messages and never acknowledges, or a
        message whose commit failed holds up what came after it: with a new connection the broker brings it again."""
        if self._paho_thread is not None and not self._paho_thread.is_alive() and not self.ended.is_set():
            return "thread_died"
        with self._lock:
            oldest = next(iter(self._under_way.values()), None)
        if oldest is not None and now_s - oldest.since_s > self._options.puback_timeout_s:
            return "puback_timeout"
        held_up_since_s = self._acks.held_up_since_s()
        if held_up_since_s is not None and now_s - held_up_since_s > self._options.puback_timeout_s:
            return "commit_timeout"
        return None

    def _make_client(self, will: Will | None) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            self._options.client_id,
            protocol=MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._options.connect_timeout_s
        client.max_inflight_messages_set(self._options.in_flight)
        if self._options.tls is not None:
            context = self._options.tls.context()
            context.sslsocket_class = ReadAhead
            client.tls_set_context(context)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=self._retain)
        client.on_socket_open = _send_at_once
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._message
        client.on_publish = self._published
        client.on_disconnect = self._disconnected
        return client

    def _connected(
        self, client: Client, _: object, flags: ConnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._paho_thread = threading.current_thread()
        if code.value == RETAIN_NOT_SUPPORTED or getattr(properties, "RetainAvailable", 1) == 0:
            self._retain = False
        if code.is_failure:
            self._reason = f"refused_{_slug(code)}"
            return  # the broker closes; on_disconnect follows
        self._session_present = bool(flags.session_present)
        theirs = getattr(properties, "ReceiveMaximum", None)
        if isinstance(theirs, int) and theirs < (self._options.in_flight or self._max_under_way):
            self._max_under_way = max(1, theirs)  # paho sends `in_flight` at once, so fewer must be held back here
        # As published: a message that somebody had retained shows it, even where it comes live.
        plain = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        retained = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE)
        client.subscribe(
            [(name, plain) for name in self._options.subscriptions]
            + [(name, retained) for name in self._options.retained_subscriptions]
        )

    def _subscribed(
        self, client: Client, _: object, mid: int, codes: list[ReasonCode], properties: Properties | None
    ) -> None:
        failed = [code for code in codes if code.is_failure]
        if failed:
            self._reason = f"subscription_{_slug(failed[0])}"
            client.disconnect()
            return
        with self._lock:
            self._ready = True
        _guarded(self._on_ready, self._session_present)

    def _message(self, client: Client, _: object, message: MQTTMessage) -> None:
        _confirm_at_once(client)

        owed = self._acks.came(message.mid) if message.qos == 1 else None

        def ack() -> bool:
            return not self._over and (owed is None or self._acks.committed(owed))

        try:
            topic = message.topic
        except UnicodeDecodeError:
            ack()
            return
        _guarded(self._on_message, Received(topic, bytes(message.payload), bool(message.retain), ack))

    def _published(self, client: Client, _: object, mid: int, code: ReasonCode, properties: Properties | None) -> None:
        _confirm_at_once(client)
        with self._lock:
            entry = self._under_way.pop(mid, None)
            if entry is None:
                self._early[mid] = code
                return
        _resolve(entry, code)

    def _disconnected(
        self, client: Client, _: object, flags: DisconnectFlags, code: ReasonCode, properties: Properties | None
    ) -> None:
        self._end(self._reason or _slug(code))

    def _end(self, reason: str) -> None:
        with self._lock:
            if self._over:
                return
            self._over = True
            lost = list(self._under_way.values())
            self._under_way.clear()
        for entry in lost:
            if entry.future.set_running_or_notify_cancel():
                entry.future.set_exception(LinkLost(f"publish on {entry.topic}", reason))
        unacked = tuple(entry.reference for entry in lost if entry.reference is not None)
        _guarded(self._on_end, reason, unacked)
        self.ended.set()


class _Expiry(Properties):
    """paho would look through all the properties that there are, for each message anew."""

    def __init__(self, seconds: int) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self.MessageExpiryInterval = seconds
        packed: bytes = super().pack()  # type: ignore[no-untyped-call]
        object.__setattr__(self, "pack", lambda: packed)


@lru_cache(maxsize=256)
def _expiring(seconds: int) -> Properties:
    return _Expiry(seconds)


def _send_at_once(_: Client, __: object, sock: object) -> None:
    """Small packets follow each other (an answer, an acknowledgement): Nagle would hold the second one for 40 ms."""
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _confirm_at_once(client: Client) -> None:
    """The same on the broker's side, where we can't turn Nagle off: it goes on sending as soon as our TCP confirms
    what came, which Linux would delay by 40 ms. The option does not last, so it is asked for with each packet."""
    sock = client.socket()
    if _QUICKACK is not None and isinstance(sock, socket.socket):
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def _resolve(entry: _UnderWay, code: ReasonCode) -> None:
    if not entry.future.set_running_or_notify_cancel():
        return
    if code.is_failure:
        entry.future.set_exception(PublishRefused(entry.topic, code.value, str(code)))
    else:
        entry.future.set_result(PubAck(delivered_to_someone=code.value != NO_MATCHING_SUBSCRIBERS))


def _slug(code: ReasonCode) -> str:
    return "_".join(str(code).lower().split())


def _guarded(call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """A fault in a callback must not end paho's thread in silence."""
    try:
        call(*args, **kwargs)
    except Exception:
        log.exception("event=callback_failed callback=%s", getattr(call, "__qualname__", "?"))

"""The box's and the gateway's link to the broker: paho MQTT 5 in a thread of its own, come what may.

Promises: no call blocks on the network; a message is acknowledged only when the caller says so (commit, then `ack`);
`publish` gives a future that ends with the broker's acknowledgement or with a named failure; after a loss it comes
back with full jitter and subscribes again; `on_connected` comes after the subscriptions are granted, so an answer to
what is then sent can't be missed.

What was under way when a connection went is *not* sent again from here: `on_lost` names the references of those
messages, and the owner of the durable outbox sends its unacknowledged rows after the next `on_connected`
(`mqtt.courier` does). A message may therefore arrive twice; the receiver's inbox makes that once in effect.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from mqtt.backoff import FullJitter
from mqtt.connection import Connection, LinkOptions, PubAck, Received, TlsOptions, Will
from mqtt.errors import LinkDown

__all__ = ["Connected", "Link", "LinkOptions", "Lost", "PubAck", "Received", "TlsOptions", "Will"]

log = logging.getLogger("mqtt.link")

NO_NETWORK = frozenset({errno.ENETUNREACH, errno.ENETDOWN})
NO_NETWORK_S = 1.0  # between two tries while there is no way out of this machine: nobody is burdened by them
STEADY_AFTER_S = 10.0  # a connection that held this long makes the next back-off start small again


@dataclass(frozen=True, slots=True)
class Connected:
    session_present: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """`reason` is a machine word: refused_not_authorized, session_taken_over, unspecified_error, puback_timeout, ..."""

    reason: str
    unacked: tuple[int, ...]


class Link:
    """Callbacks come on the link's threads and must return soon (put it on a queue). `will` is asked before each
    connection, so that each carries a freshly signed last will."""

    def __init__(
        self,
        options: LinkOptions,
        *,
        on_message: Callable[[Received], None],
        on_connected: Callable[[Connected], None],
        on_lost: Callable[[Lost], None],
        will: Callable[[], Will] | None = None,
        backoff: FullJitter | None = None,
    ) -> None:
        self._options = options
        self._on_message, self._on_connected, self._on_lost = on_message, on_connected, on_lost
        self._will = will
        self._backoff = backoff or FullJitter(options.backoff_base_s, options.backoff_cap_s)
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._last: Connection | None = None
        self._told_lost = False
        self._no_network = False
        self._retain = True
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{options.client_id}", daemon=True)

    @property
    def connected(self) -> bool:
        connection = self._connection
        return connection is not None and connection.ready

    def start(self) -> None:
        """Returns at once; `on_connected` tells when there is a connection."""
        self._thread.start()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        expires_in_s: int | None = None,
        reference: int | None = None,
    ) -> Future[PubAck]:
        """QoS 1. `reference` (an outbox id) comes back in `Lost.unacked`. The future fails with LinkDown or LinkBusy
        (nothing was sent), LinkLost (it may have arrived) or PublishRefused."""
        connection = self._connection
        if connection is None:
            future: Future[PubAck] = Future()
            future.set_exception(LinkDown("publish", "not connected"))
            return future
        return connection.publish(topic, payload, retain=retain, expires_in_s=expires_in_s, reference=reference)

    def stop(self, timeout_s: float = 5.0, *, with_will: bool = True) -> None:
        """Disconnect (letting the broker publish the last will, where there is one) and end. May be called twice."""
        self._stop.set()
        connection = self._connection
        if connection is not None:
            connection.close(with_will=with_will and self._will is not None, timeout_s=timeout_s)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout_s)

    def drop(self) -> None:
        """Cut the present connection as a pulled cable would; the link comes back by itself."""
        connection = self._connection
        if connection is not None:
            connection.abandon("dropped")

    def _run(self) -> None:
        while not self._stop.is_set():
            started_s = time.monotonic()
            self._one_connection()
            if time.monotonic() - started_s > STEADY_AFTER_S:
                self._backoff.reset()
            if self._learnt_not_to_retain():
                continue  # the broker is there: it only wants it otherwise
            self._stop.wait(NO_NETWORK_S if self._no_network else self._backoff.next_s())

    def _learnt_not_to_retain(self) -> bool:
        """Whether the connection that has just ended was the first to hear that this broker takes no retained messages.
        Presence is then known by heartbeats alone; nothing about money depends on it."""
        last, self._last = self._last, None
        if last is None or last.retains or not self._retain:
            return False
        self._retain = False
        log.info("event=broker_keeps_no_retained_messages client=%s", self._options.client_id)
        return True

    def _one_connection(self) -> None:
        """From CONNECT to the end of it."""
        was_ready = threading.Event()

        def ready(session_present: bool) -> None:
            was_ready.set()
            self._told_lost = False
            log.info("event=connected client=%s session_present=%s", self._options.client_id, session_present)
            self._on_connected(Connected(session_present))

        def ended(reason: str, unacked: tuple[int, ...]) -> None:
            # Once until it is back: a broker that is away for a day is one line, not a line for each try.
            level = logging.DEBUG if self._told_lost else logging.INFO
            self._told_lost = True
            log.log(level, "event=lost client=%s reason=%s unacked=%d", self._options.client_id, reason, len(unacked))
            self._on_lost(Lost(reason, unacked))

        try:
            will = self._will() if self._will is not None else None
            connection = Connection(
                self._options, will, on_ready=ready, on_message=self._on_message, on_end=ended, retain=self._retain
            )
            self._connection = self._last = connection
            self._no_network = False
            connection.open()
        except Exception as error:
            self._no_network = isinstance(error, OSError) and error.errno in NO_NETWORK
            level = logging.DEBUG if isinstance(error, OSError) else logging.ERROR
            log.log(level, "event=connect_failed client=%s why=%s", self._options.client_id, error)
            self._connection = None
            ended("unreachable", ())
            return
        self._watch(connection, was_ready)
        self._connection = None

    def _watch(self, connection: Connection, was_ready: threading.Event) -> None:
        deadline_s = time.monotonic() + self._options.connect_timeout_s
        while not connection.ended.wait(0.5):
            now_s = time.monotonic()
            why = connection.trouble(now_s)
            if why is None and not was_ready.is_set() and now_s > deadline_s:
                why = "no_answer"
            if self._stop.is_set() and now_s > deadline_s:
                why = "stopped"
            if why is not None:
                connection.abandon(why)

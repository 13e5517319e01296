"""The running gateway: desk, link, courier and HTTP door joined together. Starts in order, stops in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Self

from fleet.boxes.catalogues import Catalogues
from fleet.channels.config import ChannelOptions, open_channels
from fleet.content.repository import Repository
from fleet.database import OUTBOX, open_database
from fleet.desk import Desk
from fleet.door import Door
from fleet.gateway import Gateway
from fleet.matcher.desk import MatcherDesk
from fleet.metrics import Metrics
from fleet.money import orders
from fleet.money.errands import Errands
from fleet.state import StateFolder
from fleet.write_back import WriteBack
from mqtt.courier import Courier
from mqtt.envelope import Signer, now_unix
from mqtt.identity import fleet_id_from_key
from mqtt.link import Connected, Link, LinkOptions, Lost, Received, TlsOptions
from mqtt.schemas import FaceAnswerBody
from mqtt.topics import gateway_subscriptions

log = logging.getLogger("fleet.service")

SWEEP_EVERY_S = 15.0
FORGET_EVERY_S = 0.1  # while there is more of it
NOTE_AGAIN_S = 1.0  # that the broker has a message, where it could not be written
WAITED_FOR = ("/pay", "/order", "/time", "/face", "/state")  # somebody may stand before the box
WATCHED = "/config"  # an operator looks on as it goes out
BEHIND = ("/config", "/play", "/content")  # these come in crowds; nothing of money, nor who is there, depends on them
WATCHED_S, UNHURRIED_S = 0.005, 0.1
IN_FLIGHT = 500  # messages each way that wait for an acknowledgement: a commit's worth and more


@dataclass(frozen=True, slots=True)
class ServiceOptions:
    state: StateFolder
    broker: tuple[str, int]
    http: tuple[str, int]
    tls: TlsOptions | None = None
    group: str | None = None
    channels: ChannelOptions = field(default_factory=ChannelOptions)


class Service:
    """Link callbacks only put jobs on the desk; everything that decides runs there."""

    def __init__(self, options: ServiceOptions) -> None:
        key = options.state.load_key()
        self.fleet = fleet_id_from_key(key.public_key())
        ledger = open_database(options.state.database_file)
        self.desk = Desk(ledger, self._after_commit, self._settle)
        self._write_back = WriteBack(options.state.database_file, ledger)
        channels = open_channels(options.channels, self.desk, now_unix)
        self.metrics = Metrics()
        self.errands = Errands(self.desk, channels, now_unix, self.metrics.asked)
        self.gateway = Gateway(
            Signer(key, self.fleet, self.fleet), channels, now_unix, self.errands,
            repository=Repository(options.state.folder / "content"),
            catalogues=Catalogues(options.state.catalogues_folder, Signer(key, self.fleet, self.fleet)),
            matcher=MatcherDesk(options.state.matcher_folder, now_unix, self.desk.afterwards, self._face_answered),
        )  # fmt: skip
        plain, retained = gateway_subscriptions(options.group)
        host, port = options.broker
        self.link = Link(
            LinkOptions(
                host, port, self.fleet, plain, retained, options.tls, receive_maximum=IN_FLIGHT, in_flight=0,
                max_under_way=IN_FLIGHT, backoff_cap_s=10,
            ),
            on_message=self._received,
            on_connected=self._connected,
            on_lost=self._lost,
        )  # fmt: skip
        self._acked_lock, self._acked_ids, self._being_noted = threading.Lock(), list[int](), list[int]()
        self._settles_again = False
        self._courier = Courier(
            OUTBOX, self.link, on_acked=self._acked, on_refused=_ignore_refusal, retained_kinds=frozenset(),
            window=IN_FLIGHT,
        )  # fmt: skip

    def start(self) -> None:
        """On the event loop."""
        self.desk.start()
        self._write_back.start()
        self.errands.start(self.gateway.payments)
        self.desk.run(self.gateway.resume)
        self._sweep_later()
        self.link.start()

    async def stop(self) -> None:
        self.link.stop()
        await self.errands.stop()
        if self.gateway.matcher is not None:
            self.gateway.matcher.stop()
        self._write_back.stop()
        self.desk.stop()

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _received(self, message: Received) -> None:
        done = self.desk.run(
            lambda tx: self.gateway.receive(tx, message.topic, message.payload, message.retained),
            may_wait_s=_may_wait_s(message.topic),
            behind=message.topic.endswith(BEHIND),
            of=_box_of(message.topic),
        )
        done.add_done_callback(lambda future: self._acknowledge(message, future))

    def _acknowledge(self, message: Received, done: Future[None]) -> None:
        """Committed: acknowledge. A database in trouble: let the broker bring it again. A fault of ours: count it and
        let it go; the box asks again, and one bad message must not stop the others."""
        error = done.exception()
        if isinstance(error, sqlite3.OperationalError):
            self.link.drop()
            return
        if error is not None:
            log.error("event=handler_failed topic=%s", message.topic, exc_info=error)
            self.gateway.refused["handler_failed"] += 1
        message.ack()

    def _connected(self, connected: Connected) -> None:
        self._courier.reset()
        self.desk.run(self.gateway.resend_open)

    def _lost(self, lost: Lost) -> None:
        log.debug("event=to_be_sent_again messages=%d", len(lost.unacked))

    def _acked(self, message_id: int) -> None:
        with self._acked_lock:
            self._acked_ids.append(message_id)
            first = len(self._acked_ids) == 1
        if first:
            self._have_acked_noted(0.0 if self._courier.more else UNHURRIED_S)

    def _have_acked_noted(self, may_wait_s: float = 0.0) -> None:
        self.desk.run(self._note_acked, may_wait_s=may_wait_s).add_done_callback(self._noted)

    def _noted(self, done: Future[None]) -> None:
        """What could not be committed is noted later: the broker will not say it again."""
        failed = isinstance(done.exception(), sqlite3.Error)
        with self._acked_lock:
            self._acked_ids += self._being_noted if failed else []
            self._being_noted = []
        if failed:
            self.desk.run_later(NOTE_AGAIN_S, lambda _: self._have_acked_noted())

    def _note_acked(self, tx: sqlite3.Connection) -> None:
        with self._acked_lock:
            acked, self._acked_ids = self._acked_ids, []
            self._being_noted += acked
        now = self.gateway.now()
        for message_id in acked:
            orders.note_sent(tx, message_id, now)
            self._courier.acked(tx, message_id)

    def _face_answered(self, box: str, answer: FaceAnswerBody) -> None:
        self.desk.run(lambda tx: self.gateway.answer_face(tx, box, answer))

    def _settle(self, tx: sqlite3.Connection) -> None:
        wait_s = self.gateway.settle_batch(tx, go_on=not self.desk.busy)
        if wait_s is not None and not self._settles_again:
            self._settles_again = True
            self.desk.run_later(wait_s, self._settle_again)

    def _settle_again(self, _: sqlite3.Connection) -> None:
        """Its being a job is enough: with each commit, `_settle` goes on."""
        self._settles_again = False

    def _after_commit(self, connection: sqlite3.Connection) -> None:
        self._send(connection)

    def _send(self, connection: sqlite3.Connection) -> None:
        if not self.link.connected:
            return
        self._courier.send(connection, self.gateway.now())
        if self._courier.more and self._acked_ids:  # acknowledged while it was sending: they make room for the rest
            self._have_acked_noted()

    def _sweep_later(self) -> None:
        def sweep(tx: sqlite3.Connection) -> None:
            self._sweep_later()
            self.gateway.sweep(tx)
            self._forget(tx)

        self.desk.run_later(SWEEP_EVERY_S, sweep)

    def _forget(self, tx: sqlite3.Connection) -> None:
        if self.gateway.forget_received(tx):
            self.desk.run_later(FORGET_EVERY_S, self._forget)


def run(options: ServiceOptions, announce: Callable[[dict[str, Any]], None]) -> None:
    """Until SIGTERM or SIGINT. `announce` gets the addresses once everything listens. Raises FleetError, MqttError."""
    with options.state.locked():
        asyncio.run(_run(options, announce))


async def _run(options: ServiceOptions, announce: Callable[[dict[str, Any]], None]) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, asked.set)
    state = options.state
    async with Service(options) as service:
        door = Door(
            service.desk,
            service.gateway,
            lambda: service.link.connected,
            service.metrics,
            api_token=state.token(state.api_token_file),
            till_token=state.token(state.till_token_file),
        )
        address = await door.open(*options.http)
        facts = {
            "pid": os.getpid(),
            "fleet": service.fleet,
            "http": address,
            "till": f"{address}/till",  # without its token: what is announced stands in logs
            "broker": f"{options.broker[0]}:{options.broker[1]}",
            "state": str(state.folder),
            "channels": sorted(service.gateway.channels),
        }
        state.write_gateway(facts)
        _spare_the_collector()
        try:
            announce(facts)
            await asked.wait()
        finally:
            state.gateway_file.unlink(missing_ok=True)
            await door.close()


def _spare_the_collector() -> None:
    """What was imported and built stays, and need not be gone through again. Each message leaves a small cycle behind
    (paho's matcher of topics): few are looked for at a time, as all wait meanwhile (50,000 objects: 10 to 50 ms)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 50)


def _box_of(topic: str) -> str | None:
    """As the topic says; whether it is so, is not known before the message is read."""
    parts = topic.split("/", 3)
    return parts[2] if len(parts) == 4 else None


def _may_wait_s(topic: str) -> float:
    """For a commit that is made for somebody else."""
    if topic.endswith(WAITED_FOR):
        return 0.0
    return WATCHED_S if topic.endswith(WATCHED) else UNHURRIED_S


def _ignore_refusal(message_id: int, code: int) -> None:
    """The courier has logged it; the message stays in the outbox until it expires."""

"""The box's side of the MQTT contract: what the fleet says is verified before it counts; what the box says is signed.

Joins `mqtt`'s parts (envelope, link, courier, outbox, inbox) with the box's database. Nothing that did not verify gets
any further; refusals are counted by reason, in memory, so that an attacker can't wear out the card.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from daemon.books.box_db import BoxDb
from daemon.logs import note
from daemon.uplink.broker_dates import dated
from daemon.uplink.clock import TrustedClock
from mqtt import topics
from mqtt.courier import Courier
from mqtt.envelope import Claims, Signer, TrustedKey, Verifier
from mqtt.errors import EnvelopeRefused, MqttError, RefusalReason
from mqtt.identity import box_id_from_key, fleet_id_from_key
from mqtt.inbox import Inbox
from mqtt.link import Connected, Link, LinkOptions, Lost, Received, TlsOptions, Will
from mqtt.outbox import Outbox, Priority
from mqtt.schemas import Body, StateBody, parse_body

log = logging.getLogger("daemon.uplink.fleet_link")

STATE_LIFE_S = 24 * 3600
ASK_LIFE_S = 60
LONGEST_BACKOFF_S = 20.0  # a payer may be waiting for what became of a payment
LOGGED_EACH = 16


@dataclass(frozen=True, slots=True)
class Message:
    """A verified message that this box has not had before. `done` is to be called once its effect is on disk."""

    claims: Claims
    body: Body
    done: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class LinkState:
    up: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class TimeDoubted:
    """A message's times did not fit the box's clock: one of the two is wrong."""


class FleetLink:
    """Callbacks come on the link's threads and must return at once."""

    def __init__(
        self,
        *,
        db: BoxDb,
        clock: TrustedClock,
        key: Ed25519PrivateKey,
        fleet_key: Ed25519PublicKey,
        host: str,
        port: int,
        keepalive_s: int,
        tls: TlsOptions | None,
        on_message: Callable[[Message], None],
        on_link: Callable[[LinkState | TimeDoubted], None],
        on_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.box_id = box_id_from_key(key.public_key())
        self.fleet_id = fleet_id_from_key(fleet_key)
        self.outbox, self.inbox = Outbox(), Inbox()
        self.refused: Counter[str] = Counter()
        self._db, self._clock = db, clock
        self._session = token_hex(12)  # made up anew with each connection's will
        self._on_message, self._on_link, self._on_up = on_message, on_link, on_up
        self._signer = Signer(key, self.box_id, self.box_id, clock.now)
        trusted = TrustedKey(self.fleet_id, fleet_key)
        self._verifier = Verifier({self.fleet_id: trusted}.get, self.box_id, clock.now)
        options = LinkOptions(
            host, port, self.box_id, (topics.box_filter(self.box_id),), tls=dated(tls, clock),
            keepalive_s=keepalive_s, backoff_cap_s=LONGEST_BACKOFF_S,
        )  # fmt: skip
        self._link = Link(
            options, on_message=self._received, on_connected=self._connected, on_lost=self._lost, will=self._will
        )  # fmt: skip
        self._courier = Courier(
            self.outbox, self._link,
            on_acked=lambda message_id: self._acked(message_id), on_refused=lambda *_: None,
        )  # fmt: skip

    @property
    def connected(self) -> bool:
        return self._link.connected

    def start(self) -> None:
        self._link.start()

    def stop(self) -> None:
        """May be called twice."""
        self._link.stop()

    def sign(self, typ: str, body: Body, life_s: int) -> str:
        """The box's signed word, to be kept rather than sent."""
        return self._signer.seal(typ, self.fleet_id, body.to_json(), life_s).token.decode("ascii")

    def put(self, tx: sqlite3.Connection, typ: str, body: Body, life_s: int, priority: Priority) -> str:
        """Signs a message and puts it into the outbox, in the caller's transaction; `flush` sends it. The envelope."""
        sealed = self._signer.seal(typ, self.fleet_id, body.to_json(), life_s)
        self.outbox.put(
            tx, topic=topics.topic_of(typ, self.box_id), payload=sealed.token, kind=typ,
            priority=priority, expires_at=sealed.exp,
        )  # fmt: skip
        return sealed.token.decode("ascii")

    def accept(self, tx: sqlite3.Connection, claims: Claims) -> bool:
        """Remembers in the caller's transaction that this message took effect; False when it had before."""
        return self.inbox.accept(
            tx, jti=claims.jti, topic="", payload=b"", exp=claims.exp, issuer=claims.iss, handled=True
        )  # fmt: skip

    def flush(self) -> None:
        """Sends what is on disk; returns at once."""
        self._db.submit(lambda tx: self._courier.send(tx, self._clock.now()))

    def say(self, typ: str, body: Body, life_s: int = ASK_LIFE_S) -> None:
        """Sends now or not at all: for what is asked again by schedule."""
        sealed = self._signer.seal(typ, self.fleet_id, body.to_json(), life_s)
        sent = self._link.publish(topics.topic_of(typ, self.box_id), sealed.token, expires_in_s=life_s)
        sent.add_done_callback(_ignore)

    def say_state(self, state: StateBody) -> None:
        """What the box has, retained, so that a gateway that comes later reads it too."""
        body = state.model_copy(update={"session": self._session}).to_json()
        sealed = self._signer.seal("state", self.fleet_id, body, STATE_LIFE_S)
        sent = self._link.publish(
            topics.topic_of("state", self.box_id), sealed.token, retain=True, expires_in_s=STATE_LIFE_S
        )  # fmt: skip
        sent.add_done_callback(_ignore)

    def _will(self) -> Will:
        self._session = token_hex(12)
        body = StateBody(online=False, session=self._session).to_json()
        sealed = self._signer.seal("state", self.fleet_id, body, STATE_LIFE_S)
        return Will(topics.topic_of("state", self.box_id), sealed.token)

    def _received(self, received: Received) -> None:
        try:
            claims = self._verifier.verify(received.payload, received.topic, retained=received.retained)
            body = parse_body(claims)
        except EnvelopeRefused as refused:
            self._refuse(refused)
            received.ack()
            return
        self._on_message(Message(claims, body, received.ack))

    def _refuse(self, refused: EnvelopeRefused) -> None:
        """Counted; after the first few of a kind only the 32nd, 64th, ... is logged: nobody can fill the log."""
        self.refused[refused.reason] += 1
        count = self.refused[refused.reason]
        if count <= LOGGED_EACH or count & (count - 1) == 0:
            note(
                log, "message_refused", logging.WARNING, reason=refused.reason.value, detail=refused.detail, count=count
            )  # fmt: skip
        if refused.reason in (RefusalReason.EXPIRED, RefusalReason.NOT_YET_VALID):
            self._on_link(TimeDoubted())

    def _connected(self, _connected: Connected) -> None:
        self._courier.reset()
        self._on_link(LinkState(True))
        self._on_up()

    def _lost(self, lost: Lost) -> None:
        self._on_link(LinkState(False, lost.reason))

    def _acked(self, message_id: int) -> None:
        def job(tx: sqlite3.Connection) -> None:
            self._courier.acked(tx, message_id)
            self._courier.send(tx, self._clock.now())

        self._db.submit(job)


def _ignore(sent: Future[Any]) -> None:
    error = sent.exception()
    if error is not None and not isinstance(error, MqttError):
        raise error


def counts(refused: Mapping[str, int]) -> dict[str, int]:
    """Refusals so far, by reason."""
    return dict(sorted(refused.items()))

"""A box of the swarm: the real payment core and the real contract; its payer, its disk and its face are made up.

What a real box writes to disk before it answers is kept in memory here, so `Persisted` comes at once. Everything
else is as on a box: verification, idempotency, queries, reversals, the report that an approval was taken.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from daemon.payment import core
from daemon.payment import effects as fx
from daemon.payment import events as ev
from daemon.payment.money import Amount
from daemon.payment.order import Identified, Order
from daemon.payment.state import AskFactor, Idle, Rules, Showing, State
from daemon.payment.status import Status
from mqtt import topics
from mqtt.envelope import Signer, TrustedKey, Verifier, new_jti
from mqtt.errors import EnvelopeRefused
from mqtt.identity import box_id_from_key
from mqtt.schemas import (
    Body,
    CommandBody,
    ConfigBody,
    ConfigReportBody,
    ContentNoticeBody,
    EventBody,
    HealthBody,
    KillArgs,
    OrderBody,
    PayAnswerBody,
    PayQueryBody,
    PayRequestBody,
    PayReverseBody,
    PlayAckBody,
    PlayBody,
    StateBody,
    parse_body,
)

LIFE_S = 120
STATE_LIFE_S = 24 * 3600
BEAT_S = 20

# send(topic, payload, retain)
Send = Callable[[str, bytes, bool], None]


@dataclass(frozen=True, slots=True)
class Habits:
    """How the people at this box are, in seconds; and what is wrong with it. `breaks_on` is a setting
    (`section.name`) that its display does not survive."""

    look_s: float = 0.0
    pin_s: float = 0.0
    breaks_on: str | None = None
    payer: str = "swarm"


@dataclass
class Tally:
    """What happened, for the report. Times are monotonic seconds by order."""

    arrived: dict[str, float] = field(default_factory=dict)
    approved: dict[str, float] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    refused: int = 0


class SwarmBox:
    """`heard` and `tick` are the loop's; whatever is to be sent goes to `send(topic, payload, retain)` at once."""

    def __init__(
        self, key: Ed25519PrivateKey, fleet: str, fleet_key: TrustedKey, send: Send, habits: Habits | None = None
    ) -> None:
        self.id = box_id_from_key(key.public_key())
        self.habits, self.tally, self.conditions = habits or Habits(), Tally(), set[str]()
        self._fleet, self._send = fleet, send
        self._signer = Signer(key, self.id, self.id)
        self._verifier = Verifier({fleet: fleet_key}.get, self.id)
        self._state = State(rules=Rules(show_s=0.05))
        self._seen: set[str] = set()
        self._orders: dict[str, Status] = {}
        self._config = self._config_seen = 0
        self._content: int | None = None
        self._plays: list[dict[str, Any]] = []
        self.killed = frozenset[str]()  # campaigns that were switched off
        self._session, self._instance = new_jti(), new_jti()
        self._began_s, self._beat_due_s = time.monotonic(), 0.0
        self._due: list[tuple[float, ev.Event]] = []
        self._to_say: list[tuple[str, Body]] = []
        self._typed_for = -1
        self.due_s = 0.0  # monotonic: when `tick` has something to do

    # ---- in ------------------------------------------------------------------------------------------------------

    def will(self) -> tuple[str, bytes]:
        self._session = new_jti()
        body = StateBody(online=False, session=self._session)
        return topics.topic_of("state", self.id), self._sealed("state", body, STATE_LIFE_S)

    def connected(self) -> None:
        self._step(ev.LinkUp())
        self.say_state()
        self._beat_due_s = 0.0
        self._reckon()

    def heard(self, topic: str, payload: bytes, retained: bool) -> None:
        """What does not verify is counted; what was had before has no effect."""
        try:
            claims = self._verifier.verify(payload, topic, retained=retained)
            body = parse_body(claims)
        except EnvelopeRefused:
            self.tally.refused += 1
            return
        if claims.jti not in self._seen:
            self._seen.add(claims.jti)
            self._act(body)
            self._reckon()

    def tick(self) -> None:
        """When it is `due_s`: people act, deadlines pass, the heart beats."""
        now = time.monotonic()
        self._say_the_rest()
        for event in self._fall_due(now):
            self._step(event)
        due = core.next_deadline(self._state)
        if due is not None and due <= now:
            self._step(ev.Tick())
        if now >= self._beat_due_s:
            self._beat_due_s = now + BEAT_S * random.uniform(0.8, 1.2)
            self._say("health", self._health())
        self._reckon()

    def _reckon(self) -> None:
        core_due = core.next_deadline(self._state)
        dues = (at for at, _ in self._due)
        said_s = 0.0 if self._to_say else math.inf
        self.due_s = min(self._beat_due_s, math.inf if core_due is None else core_due, said_s, *dues)

    @property
    def idle(self) -> bool:
        """Nobody pays and no money is on its way."""
        return isinstance(self._state.stage, Idle | Showing) and not self._state.settling and not self._state.waiting

    # ---- out -----------------------------------------------------------------------------------------------------

    def say_state(self) -> None:
        versions: dict[str, int | str] = {"software": "swarm", "config": self._config, "config_seen": self._config_seen}
        versions |= {"content": self._content} if self._content is not None else {}
        body = StateBody.model_validate(
            {
                "online": True, "session": self._session, "instance": self._instance, "versions": versions,
                "unsettled": [{"order_id": order, "attempt": attempt} for order, attempt in self._state.settling][:200],
                "open_orders": [order for order, status in self._orders.items() if status is Status.OPEN][:200],
            },
            strict=False,
        )  # fmt: skip
        self._send(topics.topic_of("state", self.id), self._sealed("state", body, STATE_LIFE_S), True)

    def play(self, campaign: str, sha256: str, seconds: int) -> None:
        """One complete showing, told until it is acknowledged."""
        seq = self._plays[-1]["seq"] + 1 if self._plays else 1
        entry = {"campaign": campaign, "sha256": sha256, "slot": "idle", "at": int(time.time()), "seconds": seconds}
        self._plays.append({"seq": seq} | entry)
        self._say("play", PlayBody.model_validate({"first": self._plays[0]["seq"], "plays": self._plays[:50]}))

    def _health(self) -> HealthBody:
        now = time.monotonic()
        return HealthBody(
            at=int(time.time()), beat_s=BEAT_S, up_s=int(now - self._began_s),
            stage=type(self._state.stage).__name__.lower(), conditions=sorted(self.conditions),
            figures={"config": self._config},
        )  # fmt: skip

    def _say(self, typ: str, body: Body) -> None:
        self._send(topics.topic_of(typ, self.id), self._sealed(typ, body, LIFE_S), False)

    def _say_money(self) -> None:
        """As from a box's outbox: money first. What else a step has to say goes when its bytes are on their way."""
        money = [(typ, body) for typ, body in self._to_say if typ != "event"]
        self._to_say = [(typ, body) for typ, body in self._to_say if typ == "event"]
        for typ, body in money:
            self._say(typ, body)

    def _say_the_rest(self) -> None:
        said, self._to_say = self._to_say, []
        for typ, body in said:
            self._say(typ, body)

    def _sealed(self, typ: str, body: Body, life_s: int) -> bytes:
        return self._signer.seal(typ, self._fleet, body.to_json(), life_s).token

    # ---- what it means -------------------------------------------------------------------------------------------

    def _act(self, body: Body) -> None:
        now = time.monotonic()
        match body:
            case OrderBody(order_id=order_id) if order_id not in self._orders:
                self.tally.arrived[order_id] = now
                amount = Amount(body.amount_minor, body.currency)
                self._step(ev.OrderArrived(Order(order_id, amount, body.title, now + body.expires_at - time.time())))
            case PayAnswerBody():
                self._answered(body)
            case ConfigBody(version=version, settings=settings) if (
                version >= self._config_seen
            ):  # asked again: said again
                self._take_config(version, settings)
            case ContentNoticeBody(version=version):
                self._content = version
                self.say_state()
            case PlayAckBody(through=through):
                self._plays = [play for play in self._plays if play["seq"] > through]
            case CommandBody(command_id=command_id, command="ads.kill", args=args):
                self.killed = frozenset(KillArgs.model_validate(args, strict=False).campaigns)
                self._say("event", EventBody(event="ads.done", at=int(time.time()), command_id=command_id))
            case CommandBody(command_id=command_id):
                self._say("event", EventBody(
                    event="command.failed", at=int(time.time()), command_id=command_id, reason="unknown_command"
                ))  # fmt: skip
            case _:
                pass

    def _answered(self, body: PayAnswerBody) -> None:
        known = self._state.settling.get((body.order_id, body.attempt))
        if known is None:
            if body.status == "approved" and self._orders.get(body.order_id) is Status.APPROVED:
                self._report_approved(body.order_id, body.attempt)  # our word on it may have got lost
            return
        amount = known.request.amount
        if body.amount_minor is not None and body.currency is not None:
            amount = Amount(body.amount_minor, body.currency)
        status = ev.AnswerStatus(body.status)
        self._step(ev.Answer(body.order_id, body.attempt, status, body.reason, amount, body.reference))

    def _take_config(self, version: int, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """A box whose display does not survive a setting goes back by itself, and says so."""
        named = {f"{section}.{name}" for section, given in settings.items() for name in given}
        bad = self.habits.breaks_on in named
        running = self._config if bad else version
        self._config, self._config_seen = running, version
        self._say(
            "config.report",
            ConfigReportBody(
                version=version, outcome="rolled_back" if bad else "applied", running=running, at=int(time.time()),
                reason="no_display" if bad else None,
            ),
        )  # fmt: skip

    def _report_approved(self, order_id: str, attempt: int) -> None:
        at = int(time.time())
        event = EventBody(event="order.approved", at=at, order_id=order_id, data={"attempt": attempt})
        self._to_say.append(("event", event))

    # ---- the core ------------------------------------------------------------------------------------------------

    def _step(self, event: ev.Event) -> None:
        pending: list[ev.Event] = [event]
        while pending:
            self._state, effects = core.step(self._state, pending.pop(0), time.monotonic())
            for effect in effects:
                pending += self._carry_out(effect)
        self._say_money()

    def _carry_out(self, effect: fx.Effect) -> list[ev.Event]:
        match effect:
            case fx.Persist(token, changes):
                for change in changes:
                    self._write(change)
                return [ev.Persisted(token)]
            case fx.Query(order_id, attempt):
                self._to_say.append(("pay.query", PayQueryBody(order_id=order_id, attempt=attempt)))
            case fx.Reverse(order_id, attempt):
                self._to_say.append(("pay.reverse", PayReverseBody(order_id=order_id, attempt=attempt)))
            case fx.Watch(order_id, epoch):
                who = Identified(self.habits.payer, 0.9, 0.5, 0.99, challenged=True)
                return self._later(self.habits.look_s, ev.FaceDecided(order_id, epoch, ev.FaceOutcome.MATCHED, who))
            case fx.CheckFactor(order_id, epoch, payers):
                done = ev.FactorChecked(order_id, epoch, ev.FactorOutcome.OK, 3, payers[0])
                return self._later(0.0, done)
            case _:
                pass
        stage = self._state.stage
        if isinstance(stage, AskFactor) and not stage.checking and self._typed_for != self._state.epoch:
            self._typed_for = self._state.epoch
            return self._type_pin()
        return []

    def _type_pin(self) -> list[ev.Event]:
        keys = [ev.KeyPressed(key) for key in ("2", "5", "8", "0", "ok")]
        return [event for key in keys for event in self._later(self.habits.pin_s, key)]

    def _later(self, after_s: float, event: ev.Event) -> list[ev.Event]:
        if after_s <= 0:
            return [event]
        self._due.append((time.monotonic() + after_s, event))
        return []

    def _fall_due(self, now: float) -> Iterator[ev.Event]:
        due = [event for at, event in self._due if at <= now]
        self._due = [(at, event) for at, event in self._due if at > now]
        yield from due

    def _write(self, change: fx.Change) -> None:
        """What a box's disk would hold, and what it tells the fleet in the same transaction."""
        at = int(time.time())
        match change:
            case fx.OrderStored(order):
                self._orders[order.order_id] = Status.OPEN
                self._to_say.append(("event", EventBody(event="order.open", at=at, order_id=order.order_id)))
            case fx.OrderClosed(order_id, status, reason):
                self._orders[order_id] = status
                self.tally.ended[order_id] = reason
                if status in (Status.CANCELLED, Status.EXPIRED, Status.DECLINED, Status.REVERSED):
                    name = status.value if status is not Status.REVERSED else "cancelled"
                    told = EventBody(event=f"order.{name}", at=at, order_id=order_id, reason=reason)
                    self._to_say.append(("event", told))
            case fx.AttemptMoved(order_id, attempt, status, request=request):
                if request is not None:
                    self._to_say.append(("pay.request", PayRequestBody(
                        order_id=order_id, attempt=attempt, amount_minor=request.amount.minor,
                        currency=request.amount.currency, payer=request.payer, factors=request.factors,
                        channel=request.channel, decided_at=at, flow=request.flow,
                    )))  # fmt: skip
                if status is Status.APPROVED:
                    self._orders[order_id] = status
                    self.tally.approved[order_id] = time.monotonic()
                    self._report_approved(order_id, attempt)
            case _:
                pass

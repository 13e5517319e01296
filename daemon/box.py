"""The main loop: takes events off one queue, asks the pure machines what they mean, and carries out their effects.

Runs on the main thread. It never waits for a disk, a network, a camera or a display: whatever can block has a thread of
its own and answers with an event.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, assert_never

from daemon import clock as clocks
from daemon import commands, contract, payments
from daemon.bookkeeping import Bookkeeping
from daemon.box_db import BoxDb
from daemon.clock import TrustedClock
from daemon.console.lending import Borrow, GiveBack, Lending
from daemon.console.snapshot import Board, Snapshot
from daemon.counter_view import view_of
from daemon.enrolment import machine as enrolment
from daemon.errands import EnrolAnswer, EraseAnswer, Errands, PinAnswer
from daemon.event_queue import EventQueue
from daemon.face_watch import CameraFound, CameraLost, FaceWatch, ForEnrolment, ForPayment, Seen, Wanted
from daemon.fleet_link import FleetLink, LinkState, Message
from daemon.logs import note
from daemon.members import Members
from daemon.notify import Notify
from daemon.painter import Painter
from daemon.payment import core
from daemon.payment import effects as fx
from daemon.payment import events as ev
from daemon.payment.money import AmountRefused
from daemon.payment.order import Identified
from daemon.payment.state import Idle, Rules, State
from daemon.screen import views
from daemon.storefront import Storefront
from hal.lamp import Lamp
from hal.voice import Voice
from mqtt.schemas import CommandBody, EventBody, OrderBody, PayAnswerBody, StateBody, TimeBody
from pipeline.capture import Capture
from pipeline.decision import Decision, Guidance, Reason

log = logging.getLogger("daemon.box")

REDRAW_S = 0.25


@dataclass(frozen=True, slots=True)
class Written:
    """A transaction ended: `tokens` are the core's, `error` is set when nothing of it is on disk."""

    tokens: tuple[int, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class KeypadKey:
    key: str


@dataclass(frozen=True, slots=True)
class ConditionChanged:
    """A part failed (`present`) or works again."""

    name: str
    present: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the loop; `fault` makes the process fail, so that it is started anew."""

    fault: str | None = None


BoxEvent = (
    KeypadKey | Seen | CameraLost | CameraFound | Message | LinkState | Written | PinAnswer | EnrolAnswer
    | EraseAnswer | ConditionChanged | Borrow | GiveBack | Stop
)  # fmt: skip


def newest_only(event: BoxEvent) -> object | None:
    """Guidance is the one event of which only the last counts."""
    return event.wanted if isinstance(event, Seen) and isinstance(event.observation, Guidance) else None


@dataclass(frozen=True)
class Parts:
    """What the loop works with, built by `daemon.app`."""

    queue: EventQueue[BoxEvent]
    db: BoxDb
    clock: TrustedClock
    link: FleetLink
    members: Members
    faces: FaceWatch
    painter: Painter
    lamp: Lamp
    voice: Voice
    notify: Notify
    board: Board
    lending: Lending
    rules: Rules
    shop: str
    locale: str
    software: str


class Box:
    """`run` returns None when it was asked to stop, or the fault that ended it."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._state = State(rules=parts.rules)
        self._books = Bookkeeping(parts.link, parts.rules.settling)
        self._enrolling: enrolment.State | None = None
        self._requests: list[enrolment.Request] = []
        self._capture: Capture | None = None
        self._conditions: dict[str, str] = {}
        self._orders_in_flight: set[str] = set()
        self._messages_in_flight: set[tuple[str, str]] = set()
        self._front = Storefront(
            painter=parts.painter, lamp=parts.lamp, voice=parts.voice, clock=parts.clock, shop=parts.shop,
            box_id=parts.link.box_id, locale=parts.locale,
        )  # fmt: skip
        self._errands = Errands(parts.db, parts.members, parts.clock, parts.queue.put)
        self._reader = parts.db.reader()
        self._floor_due_s = 0.0

    def run(self) -> str | None:
        """The loop. Its first act is to take up what a power cut left open."""
        self._recover()
        self._p.notify.ready()
        stop: Stop | None = None
        while stop is None:
            self._p.notify.ping()
            self._keep_time()
            self._show()
            event = self._p.queue.get(self._next_deadline())
            stop = self._handle(event) if event is not None else self._tick()
        self._p.notify.stopping()
        self._errands.finish()
        self._reader.close()
        if stop.fault:
            note(log, "box_fault", logging.CRITICAL, why=stop.fault)
        return stop.fault

    def _recover(self) -> None:
        found = payments.unfinished(self._reader, time.monotonic(), self._p.clock.now())
        self._p.db.run(commands.abandon_open)
        note(log, "recovered", unsettled=len(found.attempts), open_orders=len(found.orders))
        state, effects = core.recover(self._p.rules, found.attempts, found.orders, time.monotonic())
        self._took(state, effects)

    # ---- events -----------------------------------------------------------------------------------------------------

    def _handle(self, event: BoxEvent) -> Stop | None:
        match event:
            case KeypadKey(key):
                if self._p.lending.took(key):
                    return None
                if self._enrolling is not None:
                    return self._enrol_step(enrolment.Key(key))
                return self._step(ev.KeyPressed(key))
            case Seen():
                return self._seen(event)
            case CameraLost(wanted, why):
                self._condition(views.Condition.NO_CAMERA, why)
                return self._without_camera(wanted, why)
            case CameraFound():
                self._condition(views.Condition.NO_CAMERA, None)
            case Message():
                return self._message(event)
            case LinkState(up, why):
                return self._link_changed(up, why)
            case Written(tokens, error):
                return self._written(tokens, error)
            case PinAnswer(answer):
                return self._step(answer)
            case EnrolAnswer(answer):
                return self._enrol_step(answer)
            case EraseAnswer(request, name, reason):
                self._report_command(request.command_id, request.handle, name, reason)
            case ConditionChanged(name, present, why):
                self._condition(name, why if present else None)
            case Borrow(loan):
                self._p.lending.lend(loan, busy=self._busy)
            case GiveBack(loan):
                self._p.lending.give_back(loan)
            case Stop():
                return event
            case _:
                assert_never(event)
        return None

    def _tick(self) -> Stop | None:
        now = time.monotonic()
        stop: Stop | None = None
        due = core.next_deadline(self._state)
        if due is not None and due <= now:
            stop = self._step(ev.Tick())
        if self._enrolling is not None:
            due = enrolment.next_deadline(self._enrolling)
            if due is not None and due <= now:
                stop = self._enrol_step(enrolment.Tick()) or stop
        return stop

    def _next_deadline(self) -> float:
        due = [time.monotonic() + 30.0, self._floor_due_s]
        core_due = core.next_deadline(self._state)
        enrol_due = enrolment.next_deadline(self._enrolling) if self._enrolling is not None else None
        due += [d for d in (core_due, enrol_due) if d is not None]
        if self._p.notify.ping_every_s is not None:
            due.append(time.monotonic() + self._p.notify.ping_every_s)
        if self._front.counts_down:
            due.append(time.monotonic() + REDRAW_S)
        return min(due)

    def _seen(self, seen: Seen) -> Stop | None:
        match seen.wanted, seen.observation:
            case ForPayment(order_id, epoch), Guidance(hint=hint):
                return self._step(ev.FaceHint(order_id, epoch, hint.value))
            case ForPayment(order_id, epoch), Decision() as decision:
                return self._step(ev.FaceDecided(order_id, epoch, _outcome(decision), _identified(decision)))
            case ForEnrolment(command_id), Guidance(hint=hint):
                return self._enrol_step(enrolment.CaptureHint(command_id, hint.value, seen.progress))
            case ForEnrolment(command_id), Capture() as capture:
                self._capture = capture
                return self._enrol_step(enrolment.Captured(command_id))
            case ForEnrolment(command_id), Decision(reason=reason):
                return self._enrol_step(enrolment.CaptureRefused(command_id, reason.value))
            case _:
                return None

    def _without_camera(self, wanted: Wanted | None, why: str) -> Stop | None:
        match wanted:
            case ForPayment(order_id, epoch):
                return self._step(ev.FaceUnavailable(order_id, epoch, why))
            case ForEnrolment(command_id):
                return self._enrol_step(enrolment.CaptureRefused(command_id, "camera_unavailable"))
            case None:
                return None

    def _message(self, message: Message) -> Stop | None:
        claims = message.claims
        name = (claims.iss, claims.jti)
        if name in self._messages_in_flight or self._p.link.inbox.seen(self._reader, jti=claims.jti, issuer=claims.iss):
            self._p.link.refused["replayed"] += 1
            message.done()
            return None
        self._messages_in_flight.add(name)
        match message.body:
            case OrderBody() as body:
                return self._order(body, message)
            case PayAnswerBody() as body:
                return self._answer(body, message)
            case CommandBody() as body:
                self._command(body, message)
            case TimeBody(nonce=nonce, now=now):
                self._write((), message)
                if self._p.clock.answered(nonce, now):
                    self._condition(views.Condition.NO_CLOCK, None)
            case _:
                self._write((), message)
        return None

    def _order(self, body: OrderBody, message: Message) -> Stop | None:
        if body.order_id in self._orders_in_flight or payments.is_known(self._reader, body.order_id):
            note(log, "order_repeated", order=body.order_id)
            self._write((), message)
            return None
        now, wall = time.monotonic(), self._p.clock.now()
        try:
            order = contract.order_of(body, now, wall)
        except AmountRefused as refused:
            note(log, "order_refused", logging.WARNING, order=body.order_id, why=str(refused))
            event = EventBody(event="order.cancelled", at=wall, order_id=body.order_id, reason="amount_refused")
            self._write((fx.Noted("order_refused", {"order_id": body.order_id}),), message, report=(event,))
            return None
        if not self._p.clock.trusted:
            note(log, "order_refused", logging.WARNING, order=body.order_id, why="this box has no trusted clock")
            event = EventBody(event="order.cancelled", at=wall, order_id=body.order_id, reason="clock_not_trusted")
            self._write((fx.Noted("order_refused", {"order_id": body.order_id}),), message, report=(event,))
            return None
        note(log, "order_arrived", order=order.order_id, amount=order.amount)
        self._orders_in_flight.add(order.order_id)
        return self._step(ev.OrderArrived(order), message)

    def _answer(self, body: PayAnswerBody, message: Message) -> Stop | None:
        known = self._state.settling.get((body.order_id, body.attempt))
        try:
            answer = contract.answer_of(body, known.request.amount if known else None)
        except AmountRefused as refused:
            note(log, "answer_refused", logging.WARNING, order=body.order_id, why=str(refused))
            self._write((fx.Noted("answer_refused", {"order_id": body.order_id}),), message)
            return None
        if answer is None:
            self._write((fx.Noted("answer_unexpected", {"order_id": body.order_id, "attempt": body.attempt}),), message)
            return None
        note(log, "answer_arrived", order=body.order_id, attempt=body.attempt, status=body.status, reason=body.reason)
        return self._step(answer, message)

    def _command(self, body: CommandBody, message: Message) -> None:
        wall = self._p.clock.now()
        before = commands.outcome(self._reader, body.command_id)
        if before is not None:
            again = (
                (EventBody(event=before.event, at=wall, command_id=body.command_id, reason=before.reason),)
                if before.event
                else ()
            )
            self._write((), message, report=again)
            return
        try:
            request = contract.command_of(body, time.monotonic(), wall)
        except contract.CommandRefused as refused:
            note(log, "command_refused", logging.WARNING, command=body.command, why=str(refused))
            event = EventBody(
                event=f"{refused.kind}.failed", at=wall, command_id=body.command_id, reason=refused.reason
            )
            self._write((fx.Noted("command_refused", {"command": body.command}),), message, report=(event,))
            return
        note(log, "command_arrived", command=body.command, id=body.command_id)
        handle = request.handle
        self._write(
            (fx.Noted("command_arrived", {"command": body.command, "id": body.command_id}),), message,
            also=lambda tx: commands.begin(tx, body.command_id, body.command, handle, wall),
        )  # fmt: skip
        if isinstance(request, contract.EraseRequest):
            self._errands.erase(request)
        else:
            self._requests.append(request)
            self._begin_enrolment()

    def _link_changed(self, up: bool, why: str) -> Stop | None:
        if not up:
            self._condition(views.Condition.OFFLINE, why)
            return None
        self._condition(views.Condition.OFFLINE, None)
        if not self._p.clock.trusted:
            self._p.link.say("time.request", contract.time_request(self._p.clock.ask()))
        self._say_state()
        self._p.link.flush()
        return self._step(ev.LinkUp())

    def _say_state(self) -> None:
        unsettled = [{"order_id": o, "attempt": a} for o, a in self._state.settling]
        open_commands = [r.command_id for r in self._requests]
        if self._enrolling is not None and not isinstance(self._enrolling, enrolment.Over):
            open_commands.append(self._enrolling.request.command_id)
        body = StateBody.model_validate(
            {
                "online": True,
                "versions": {"software": self._p.software},
                "unsettled": unsettled,
                "open_orders": payments.open_order_ids(self._reader),
                "open_commands": open_commands,
            },
            strict=False,
        )
        self._p.link.say_state(body)

    def _written(self, tokens: tuple[int, ...], error: str | None) -> Stop | None:
        stop: Stop | None = None
        for token in tokens:
            done = ev.Persisted(token) if error is None else ev.PersistFailed(token, error)
            stop = self._step(done) or stop
        self._p.link.flush()
        if error is not None:
            self._condition(views.Condition.DISK_FULL, error)
        return stop

    # ---- the machines -----------------------------------------------------------------------------------------------

    def _step(self, event: ev.Event, message: Message | None = None) -> Stop | None:
        state, effects = core.step(self._state, event, time.monotonic())
        stop = self._took(state, effects, message)
        self._begin_enrolment()
        return stop

    def _took(self, state: State, effects: tuple[fx.Effect, ...], message: Message | None = None) -> Stop | None:
        self._state = state
        changes = tuple(change for effect in effects if isinstance(effect, fx.Persist) for change in effect.changes)
        tokens = tuple(effect.token for effect in effects if isinstance(effect, fx.Persist))
        if tokens or message is not None:
            self._write(changes, message, tokens)
        stop: Stop | None = None
        for effect in effects:
            match effect:
                case fx.Persist():
                    pass  # written above, all in one transaction
                case fx.Submit():
                    self._p.link.flush()
                case fx.Query(order_id, attempt):
                    self._p.link.say("pay.query", contract.query(order_id, attempt))
                case fx.Reverse(order_id, attempt):
                    self._p.link.say("pay.reverse", contract.reverse(order_id, attempt))
                case fx.Watch(order_id, epoch):
                    self._p.faces.watch(ForPayment(order_id, epoch))
                case fx.StopWatching():
                    self._p.faces.rest()
                    self._p.painter.forget_preview()
                case fx.CheckPin():
                    self._errands.check_pin(effect)
                case fx.Halt(why):
                    stop = Stop(why)
                case _:
                    assert_never(effect)
        return stop

    def _begin_enrolment(self) -> None:
        if self._enrolling is None and self._requests and isinstance(self._state.stage, Idle):
            request = self._requests.pop(0)
            self._enrolling = enrolment.begin(request, time.monotonic())
            state, effects = core.step(self._state, ev.CounterTaken(), time.monotonic())
            self._took(state, effects)

    def _enrol_step(self, event: enrolment.Event) -> Stop | None:
        if self._enrolling is None:
            return None
        self._enrolling, effects = enrolment.step(self._enrolling, event, time.monotonic())
        for effect in effects:
            match effect:
                case enrolment.Capture(command_id):
                    self._p.faces.watch(ForEnrolment(command_id))
                case enrolment.StopCapture():
                    self._p.faces.rest()
                    self._p.painter.forget_preview()
                case enrolment.Enrol(request, pin):
                    capture, self._capture = self._capture, None
                    self._errands.enrol(request, pin, capture)
                case enrolment.Report(request, name, reason):
                    self._capture = None
                    self._report_command(request.command_id, request.handle, name, reason)
                case _:
                    assert_never(effect)
        if isinstance(self._enrolling, enrolment.Over):
            self._enrolling = None
            return self._step(ev.CounterFree())
        return None

    def _report_command(self, command_id: str, handle: str, name: str, reason: str) -> None:
        wall = self._p.clock.now()
        note(log, "command_done", outcome=name, id=command_id, reason=reason)
        event = EventBody(event=name, at=wall, command_id=command_id, handle=handle, reason=reason)
        self._write(
            (fx.Noted(name.replace(".", "_"), {"id": command_id, "reason": reason}),), None, report=(event,),
            also=lambda tx: commands.end(tx, command_id, name, reason, wall),
        )  # fmt: skip

    # ---- disk -------------------------------------------------------------------------------------------------------

    def _write(
        self,
        changes: tuple[fx.Change, ...],
        message: Message | None,
        tokens: tuple[int, ...] = (),
        report: tuple[EventBody, ...] = (),
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> None:
        """One transaction: the message that caused it, every change, what is to be reported. Then `Written`."""
        wall, mono = self._p.clock.now(), time.monotonic()

        def job(tx: sqlite3.Connection) -> None:
            if message is not None and not self._p.link.accept(tx, message.claims):
                return
            for change in changes:
                self._books.apply(tx, change, wall, mono)
            for event in report:
                self._books.report(tx, event)
            if also is not None:
                also(tx)

        self._p.db.submit(job).add_done_callback(lambda future: self._after_write(future, message, tokens))

    def _after_write(self, future: Future[None], message: Message | None, tokens: tuple[int, ...]) -> None:
        """On the writer thread: the message is acknowledged on the wire only now that it is on disk."""
        error = future.exception()
        if error is not None:
            note(log, "write_failed", logging.CRITICAL, why=str(error))
        elif message is not None:
            self._messages_in_flight.discard((message.claims.iss, message.claims.jti))
            message.done()
        if tokens:
            self._p.queue.put_front(Written(tokens, None if error is None else str(error)))
        elif error is not None:
            self._p.queue.put_front(Stop(f"box.db refuses to be written: {error}"))
        else:
            self._p.link.flush()

    # ---- what is seen and heard -------------------------------------------------------------------------------------

    @property
    def _busy(self) -> bool:
        """Whether a payer may be there, or is about to be."""
        idle = isinstance(self._state.stage, Idle) and not self._state.waiting and self._enrolling is None
        return not idle

    def _show(self) -> None:
        if self._busy:
            self._p.lending.recall()
        self._p.board.publish(
            Snapshot(
                type(self._state.stage).__name__, self._busy, len(self._state.waiting),
                tuple(sorted(self._conditions.items())), tuple(self._state.settling),
            )
        )  # fmt: skip
        shown = tuple(sorted(self._conditions))
        self._front.show(lambda idle: view_of(self._state, self._enrolling, idle, time.monotonic()), shown)
        self._p.notify.status(", ".join(shown) or "all is well")

    def _condition(self, name: str, why: str | None) -> None:
        if why is None:
            if self._conditions.pop(name, None) is not None:
                note(log, "condition_over", name=name)
        elif name not in self._conditions:
            self._conditions[name] = why
            note(log, "condition", logging.WARNING, name=name, why=why)

    def _keep_time(self) -> None:
        now = time.monotonic()
        if now < self._floor_due_s:
            return
        self._floor_due_s = now + clocks.FLOOR_EVERY_S
        floor = self._p.clock.floor()
        if floor is not None:
            self._p.db.submit(lambda tx: clocks.keep_floor(tx, floor))
        wall = self._p.clock.now()

        def prune(tx: sqlite3.Connection) -> Any:
            self._p.link.inbox.prune(tx, wall)
            return self._p.link.outbox.prune(tx, wall)

        self._p.db.submit(prune)


def _outcome(decision: Decision) -> ev.FaceOutcome:
    match decision.reason:
        case Reason.MATCHED:
            return ev.FaceOutcome.MATCHED
        case Reason.AMBIGUOUS:
            return ev.FaceOutcome.AMBIGUOUS
        case Reason.SPOOF:
            return ev.FaceOutcome.SPOOF
        case _:
            return ev.FaceOutcome.STRANGER


def _identified(decision: Decision) -> Identified | None:
    if decision.handle is None:
        return None
    return Identified(decision.handle, decision.score, decision.margin, decision.liveness)

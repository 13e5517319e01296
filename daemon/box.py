"""The main loop: takes events off one queue, asks the pure machines what they mean, and carries out their effects.

Runs on the main thread. It never waits for a disk, a network, a camera or a display: whatever can block has a thread of
its own and answers with an event.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import dataclass
from typing import assert_never

from daemon import commands, contract, payments
from daemon.bookkeeping import Bookkeeping
from daemon.box_db import BoxDb
from daemon.clock import TrustedClock
from daemon.console.lending import Borrow, GiveBack, Lending
from daemon.console.snapshot import Board, Snapshot
from daemon.contract import EraseRequest
from daemon.counter_view import view_of
from daemon.decisions import identified, outcome
from daemon.enrolment import machine as enrolment
from daemon.errands import EnrolAnswer, EraseAnswer, Errands, PinAnswer
from daemon.event_queue import EventQueue
from daemon.face_watch import CameraFound, CameraLost, FaceWatch, ForEnrolment, ForPayment, Seen, Wanted
from daemon.fleet_link import FleetLink, LinkState, Message, TimeDoubted
from daemon.inbound import Inbound, TimeHeard
from daemon.logs import note
from daemon.members import Members
from daemon.notify import Notify
from daemon.painter import Painter
from daemon.payment import core
from daemon.payment import effects as fx
from daemon.payment import events as ev
from daemon.payment.state import AskPin, Idle, Rules, State
from daemon.screen import views
from daemon.scribe import Scribe, Written
from daemon.storefront import Storefront
from daemon.timekeeper import Timekeeper
from hal.lamp import Lamp
from hal.voice import Voice
from mqtt.schemas import EventBody, StateBody
from pipeline.capture import Capture
from pipeline.decision import Decision, Guidance

log = logging.getLogger("daemon.box")

REDRAW_S = 0.25
STALLED_S = 20.0
PRUNE_EVERY_S = 3600.0
STATE_LIST = 200  # as many as the contract lets a state name; the rest is named after these
MAX_ENROLMENTS = 200


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
    KeypadKey | Seen | CameraLost | CameraFound | Message | LinkState | TimeDoubted | Written | PinAnswer | EnrolAnswer
    | EraseAnswer | ConditionChanged | Borrow | GiveBack | Stop
)  # fmt: skip


def newest_only(event: BoxEvent) -> object | None:
    """Of guidance, and of doubts about the time, only the last counts."""
    if isinstance(event, TimeDoubted):
        return TimeDoubted
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
        self._enrolling: enrolment.State | None = None
        self._requests: list[enrolment.Request] = []
        self._capture: Capture | None = None
        self._conditions: dict[str, str] = {}
        self._front = Storefront(
            painter=parts.painter, lamp=parts.lamp, voice=parts.voice, clock=parts.clock, shop=parts.shop,
            box_id=parts.link.box_id, locale=parts.locale,
        )  # fmt: skip
        self._errands = Errands(parts.db, parts.members, parts.clock, parts.queue.put, self._still_asks)
        self._reader = parts.db.reader()
        books = Bookkeeping(parts.link, parts.rules.settling)
        self._scribe = Scribe(parts.db, parts.link, books, parts.clock, parts.queue.put_urgent)
        self._inbound = Inbound(parts.link, self._reader, parts.clock, self._scribe)
        self._time = Timekeeper(parts.clock, parts.link, parts.db)
        self._prune_due_s = 0.0
        self._orders_taken_up = False

    def run(self) -> str | None:
        """The loop. Its first act is to take up what a power cut left open."""
        try:
            stop = self._loop()
        finally:
            self._p.notify.stopping()
            self._p.queue.close()
            self._errands.finish()
            self._reader.close()
        if stop.fault:
            note(log, "box_fault", logging.CRITICAL, why=stop.fault)
        return stop.fault

    def _loop(self) -> Stop:
        self._recover()
        self._p.notify.ready()
        stop: Stop | None = None
        while stop is None:
            if self._p.db.stalled_s() < STALLED_S:  # a disk that hangs is no progress: let the watchdog see it
                self._p.notify.ping()
            self._keep_house()
            self._show()
            event = self._p.queue.get(self._next_deadline())
            if event is not None:
                stop = self._handle(event)
            stop = self._tick() or stop  # also after an event: a busy queue must not hold up a deadline
        return stop

    def _recover(self) -> None:
        """Unsettled attempts are asked about. Open orders are taken up once the clock can tell whether they hold."""
        self._p.db.run(commands.abandon_open)
        dropped = self._p.db.run(payments.drop_unsent_requests)
        found = payments.unfinished(self._reader, time.monotonic(), self._p.clock.now())
        note(log, "recovered", unsettled=len(found.attempts), open_orders=len(found.orders), unsent=dropped)
        state, effects = core.recover(self._p.rules, found.attempts, (), time.monotonic())
        self._took(state, effects)
        if self._p.clock.trusted:
            self._take_up_orders()

    def _take_up_orders(self) -> None:
        self._orders_taken_up = True
        found = payments.unfinished(self._reader, time.monotonic(), self._p.clock.now())
        if found.orders:
            self._step(ev.OrdersFound(found.orders))

    def _still_asks(self, check: fx.CheckPin) -> bool:
        """Whether the counter waits for this check; from any thread, as it reads one frozen value."""
        state = self._state
        return isinstance(state.stage, AskPin) and state.stage.checking and state.epoch == check.epoch

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
            case TimeDoubted():
                self._time.doubt()
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
        due = [time.monotonic() + 30.0, self._time.due_s]
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
                return self._step(ev.FaceDecided(order_id, epoch, outcome(decision), identified(decision)))
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
        match self._inbound.read(message, self._state.settling):
            case ev.OrderArrived() | ev.Answer() as event:
                return self._step(event, message)
            case enrolment.Request() as request:
                self._take_enrolment(request)
            case EraseRequest() as request:
                self._errands.erase(request)
            case TimeHeard(corrected):
                self._condition(views.Condition.NO_CLOCK, None)
                if corrected:
                    note(log, "clock_corrected", now=self._p.clock.now())
                    self._time.write_floor()
                    self._say_state()  # what was refused for its times comes again
                if not self._orders_taken_up:
                    self._take_up_orders()
            case None:
                pass
        return None

    def _link_changed(self, up: bool, why: str) -> Stop | None:
        if not up:
            self._condition(views.Condition.OFFLINE, why)
            return None
        self._condition(views.Condition.OFFLINE, None)
        self._time.doubt()
        self._say_state()
        self._p.link.flush()
        return self._step(ev.LinkUp())

    def _say_state(self) -> None:
        unsettled = [{"order_id": o, "attempt": a} for o, a in self._state.settling][:STATE_LIST]
        open_commands = [r.command_id for r in self._requests][: STATE_LIST - 1]
        if self._enrolling is not None and not isinstance(self._enrolling, enrolment.Over):
            open_commands.append(self._enrolling.request.command_id)
        body = StateBody.model_validate(
            {
                "online": True,
                "versions": {"software": self._p.software},
                "unsettled": unsettled,
                "open_orders": payments.open_order_ids(self._reader)[:STATE_LIST],
                "open_commands": open_commands,
            },
            strict=False,
        )
        self._p.link.say_state(body)

    def _written(self, tokens: tuple[int, ...], error: str | None) -> Stop | None:
        if error is not None:
            self._condition(views.Condition.DISK_FULL, error)
        stop = Stop(f"box.db refuses to be written: {error}") if error is not None and not tokens else None
        for token in tokens:
            done = ev.Persisted(token) if error is None else ev.PersistFailed(token, error)
            stop = self._step(done) or stop
        self._p.link.flush()
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
            self._scribe.write(changes, message, tokens)
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

    def _take_enrolment(self, request: enrolment.Request) -> None:
        if self._p.members.enrolled_by(request):
            self._report_command(request.command_id, request.handle, "enrol.done", "done")
        elif len(self._requests) >= MAX_ENROLMENTS:
            self._report_command(request.command_id, request.handle, "enrol.failed", "too_many_waiting")
        else:
            self._requests.append(request)
            self._begin_enrolment()

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
        self._scribe.write(
            (fx.Noted(name.replace(".", "_"), {"id": command_id, "reason": reason}),), None, report=(event,),
            also=lambda tx: commands.end(tx, command_id, name, reason, wall),
        )  # fmt: skip

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

    def _keep_house(self) -> None:
        now = time.monotonic()
        self._time.work(now)
        if now < self._prune_due_s:
            return
        self._prune_due_s = now + PRUNE_EVERY_S
        self._inbound.forget()
        wall = self._p.clock.now()

        def prune(tx: sqlite3.Connection) -> None:
            self._p.link.inbox.prune(tx, wall)
            self._p.link.outbox.prune(tx, wall)

        if self._p.clock.trusted:
            self._p.db.submit(prune)

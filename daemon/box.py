"""The main loop: takes events off one queue and hands each to the machine it concerns.

Runs on the main thread. It never waits for a disk, a network, a camera or a display: whatever can block has a thread of
its own and answers with an event. What the machines want done is carried out by `payment_runner` and
`enrolment_runner`.
"""

from __future__ import annotations

import logging
import time
from secrets import token_hex
from typing import assert_never

from daemon import cancelling, statement
from daemon.books import commands, payments
from daemon.books.bookkeeping import Bookkeeping
from daemon.books.scribe import Scribe, Written
from daemon.box_events import (
    BoxEvent,
    CatalogueBrought,
    ClerkChecked,
    ConditionChanged,
    KeypadKey,
    LookedAround,
    RefundWanted,
    Scanned,
    Stop,
    TillSaid,
)
from daemon.box_parts import Parts
from daemon.conditions import Conditions
from daemon.config.applier import REFUSED, ConfigNews, Moment
from daemon.console.lending import Borrow, GiveBack
from daemon.console.snapshot import Snapshot
from daemon.counter.floor import ShopFloor
from daemon.enrolment import machine as enrolment
from daemon.enrolment.runner import EnrolmentRunner
from daemon.errands import EnrolAnswer, EraseAnswer, PayerAnswer
from daemon.front.shown import STEP_S, view_of
from daemon.front.storefront import Storefront
from daemon.gate.door import GateMoved
from daemon.gate.reading import AgreementRead
from daemon.gate.runner import gate_of
from daemon.health.suggestions import NOT_FOR_PAYERS
from daemon.housekeeping import Housekeeping
from daemon.logs import note
from daemon.open_loop.desk import Recognised
from daemon.open_loop.errands import errands_of
from daemon.payment import events as ev
from daemon.payment_runner import PaymentRunner
from daemon.people import box_store
from daemon.people.face_watch import (
    CameraFound,
    CameraLost,
    FacesLoaded,
    FacesLoading,
    FacesRefused,
    FacesUsable,
    ForEnrolment,
    ForGate,
    ForPayment,
    ForSmile,
    Seen,
    Wanted,
)
from daemon.people.payer_tries import PayerTries
from daemon.people.store_watch import StoreWatch
from daemon.remote.requests import RemoteRequest
from daemon.screen import views
from daemon.uplink.contract import CancelOrder, CatalogueOffer, EraseRequest, IdentityCheck, KillAds
from daemon.uplink.fleet_link import LinkState, Message, TimeDoubted
from daemon.uplink.inbound import Inbound, TimeHeard
from daemon.uplink.timekeeper import Timekeeper
from mqtt.schemas import (
    CheckpointAckBody,
    ConfigBody,
    ContentChunkBody,
    ContentNoticeBody,
    FaceAnswerBody,
    PlayAckBody,
)
from pipeline.capture import Capture
from pipeline.errors import PipelineError
from pipeline.smile import Smiled

log = logging.getLogger("daemon.box")

STALLED_S = 20.0


class Box:
    """`run` returns None when it was asked to stop, or the fault that ended it."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._conditions = Conditions()
        self._front = Storefront(
            painter=parts.painter, lamp=parts.lamp, voice=parts.voice, clock=parts.clock, shop=parts.shop,
            box_id=parts.link.box_id, locale=parts.locale,
        )  # fmt: skip
        self._reader = parts.db.reader()
        books = Bookkeeping(parts.link, parts.rules.settling, parts.grounds)
        self._scribe = Scribe(parts.db, parts.link, books, parts.clock, parts.queue.put_urgent)
        self._tries = PayerTries(parts.db, parts.link, parts.clock)
        self._errands = errands_of(
            parts.matcher, parts.db, parts.members, parts.clock, parts.queue.put,
            lambda check: self._payment.still_asks(check), self._tries, parts.authority,
        )  # fmt: skip
        self._payment = PaymentRunner(
            parts.rules, scribe=self._scribe, link=parts.link, faces=parts.faces, painter=parts.painter,
            errands=self._errands, reader=self._reader, clock=parts.clock,
        )  # fmt: skip
        self._enrolment = EnrolmentRunner(
            scribe=self._scribe, members=parts.members, faces=parts.faces, painter=parts.painter,
            errands=self._errands, clock=parts.clock, authority=parts.authority,
            terms=parts.gate.terms if parts.gate else None,
        )  # fmt: skip
        self._floor = ShopFloor(
            parts.floor, self._payment, link=parts.link, clock=parts.clock, reader=self._reader
        )  # fmt: skip
        self._gate = gate_of(parts.gate, self._payment, parts.link, self._reader, parts.clock)
        self._inbound = Inbound(parts.link, self._reader, parts.clock, self._scribe, self._tries)
        self._time = Timekeeper(parts.clock, parts.link, parts.db)
        self._chores = Housekeeping(
            parts.db, parts.clock, parts.link, self._inbound, parts.members, parts.keeping, parts.updates
        )  # fmt: skip
        self._store_watch = StoreWatch(parts.db, parts.members, parts.clock)
        self._instance = token_hex(12)
        self._looked = False

    def run(self) -> str | None:
        """The loop. Its first act is to take up what a power cut left open."""
        try:
            stop = self._loop()
        finally:
            self._p.notify.stopping()
            self._p.queue.close()
            self._errands.finish()
            self._chores.finish()
            self._p.applier.finish()
            self._p.remote.finish()
            self._reader.close()
        if stop.fault:
            note(log, "box_fault", logging.CRITICAL, why=stop.fault)
        return stop.fault

    def _loop(self) -> Stop:
        stop = self._recover()
        self._p.applier.begin()
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

    def _recover(self) -> Stop | None:
        self._p.db.run(commands.abandon_open)
        dropped = self._p.db.run(payments.drop_unsent_requests)
        if dropped:
            note(log, "unsent_dropped", requests=dropped)
        self._tries.take_up()
        self._floor.begin()
        self._gate.begin()
        return self._payment.recover()

    # ---- events -----------------------------------------------------------------------------------------------------

    def _handle(self, event: BoxEvent) -> Stop | None:
        match event:
            case KeypadKey(key):
                return self._key(key)
            case Scanned(text):
                return self._scanned(text)
            case TillSaid(request):
                return self._between_payments(self._floor.till_said(request, time.monotonic()))
            case Seen():
                return self._seen(event)
            case CameraLost(wanted, why):
                self._conditions.set(views.Condition.NO_CAMERA, why)
                return self._without_camera(wanted, why)
            case FacesLoading(ForPayment(order_id, epoch)):
                return self._step(ev.FaceHint(order_id, epoch, views.Condition.FACES_LOADING))
            case FacesLoading():
                pass
            case FacesLoaded(refused):
                self._faces_loaded(refused)
            case FacesRefused(wanted, why):
                self._conditions.set(views.Condition.FACES_REFUSED, why)
                return self._without_camera(wanted, "faces_refused")
            case FacesUsable():
                self._conditions.set(views.Condition.FACES_REFUSED, None)
            case CameraFound():
                self._conditions.set(views.Condition.NO_CAMERA, None)
            case Message():
                return self._message(event)
            case LinkState(up, why):
                return self._link_changed(up, why)
            case TimeDoubted():
                self._time.doubt()
            case Written():
                return self._written(event)
            case AgreementRead():
                return self._between_payments(self._gate.agreement(event, time.monotonic()))
            case GateMoved():
                self._gate.moved(event, time.monotonic())
            case Recognised():
                return self._between_payments(self._payment.recognised(event))
            case PayerAnswer(answer):
                return self._step(answer)
            case EnrolAnswer(answer):
                return self._enrolled(self._enrolment.step(answer))
            case EraseAnswer(request, name, reason):
                self._enrolment.report(request.command_id, request.handle, name, reason)
            case ConfigNews():
                self._p.applier.heard(event)
            case ConditionChanged(name, present, why):
                self._conditions.set(name, why if present else None)
            case LookedAround():
                self._looked = True
            case RefundWanted(order_id, authority, answer):
                said, stop = self._payment.refund(order_id, authority)
                note(log, "refund_wanted", order=order_id, by=authority, answer=said)
                answer(said)
                return stop
            case ClerkChecked():
                return self._between_payments(self._floor.clerk_checked(event))
            case CatalogueBrought(offer):
                self._enrolment.report(offer.command_id, "", *self._floor.catalogue_brought(event))
            case Borrow(loan):
                self._p.lending.lend(loan, busy=self._busy)
            case GiveBack(loan):
                self._p.lending.give_back(loan)
            case Stop():
                return event
            case _:
                assert_never(event)
        return None

    def _key(self, key: str) -> Stop | None:
        if self._p.lending.took(key):
            return None
        if self._enrolment.busy:
            return self._enrolled(self._enrolment.step(enrolment.Key(key)))
        if self._payment.idle:
            return self._between_payments(self._floor.key(key))
        return self._step(ev.KeyPressed(key))

    def _scanned(self, text: str) -> Stop | None:
        """Goods while nobody pays; else it is the payer's code or card, for the payment to judge."""
        if self._enrolment.busy:
            return None
        if self._payment.idle:
            return self._between_payments(self._floor.scanned(text))
        return self._step(ev.CodeScanned(text))

    def _tick(self) -> Stop | None:
        now = time.monotonic()
        stop = self._between_payments(self._payment.tick(now))
        stop = self._between_payments(self._floor.tick(now)) or stop
        self._gate.tick(now, free=not self._taken)
        return self._enrolled(self._enrolment.tick(now)) or stop

    def _next_deadline(self) -> float:
        due = [time.monotonic() + 30.0, self._time.due_s]
        due += [d for d in (self._p.applier.due_s(time.monotonic()),) if d is not None]
        machines = (self._payment, self._enrolment, self._floor, self._gate)
        due += [d for d in (machine.next_deadline() for machine in machines) if d is not None]
        if self._p.notify.ping_every_s is not None:
            due.append(time.monotonic() + self._p.notify.ping_every_s)
        if self._front.counts_down:
            due.append(time.monotonic() + STEP_S)
        return min(due)

    def _seen(self, seen: Seen) -> Stop | None:
        match seen.wanted:
            case ForPayment() as wanted if not isinstance(seen.observation, Capture | Smiled):
                return self._between_payments(self._payment.seen(wanted, seen.observation))
            case ForSmile(order_id, epoch) if isinstance(seen.observation, Smiled):
                return self._step(ev.Smiled(order_id, epoch))
            case ForEnrolment() as wanted if not isinstance(seen.observation, Smiled):
                return self._enrolled(self._enrolment.seen(wanted, seen.observation, seen.progress))
            case ForGate() as wanted if not isinstance(seen.observation, Capture | Smiled):
                self._gate.seen(wanted, seen.observation, time.monotonic())
                return None
            case _:
                return None

    def _faces_loaded(self, refused: PipelineError | None) -> None:
        """Only now has all of the box come up: an installed system is on trial until then. Raises `refused`."""
        if refused is not None:
            raise refused
        self._conditions.set(views.Condition.FACES_LOADING, None)
        self._p.notify.ready()

    def _without_camera(self, wanted: Wanted | None, why: str) -> Stop | None:
        match wanted:
            case ForPayment(order_id, epoch):
                return self._step(ev.FaceUnavailable(order_id, epoch, why))
            case ForEnrolment(command_id):
                refused = enrolment.CaptureRefused(command_id, "camera_unavailable")
                return self._enrolled(self._enrolment.step(refused))
            case ForGate():
                self._gate.blind(wanted, time.monotonic())
                return None
            case ForSmile():
                return None  # its screen ends by itself
            case None:
                return None

    def _message(self, message: Message) -> Stop | None:
        match self._inbound.read(message, self._payment.state.settling):
            case ev.OrderArrived() | ev.Answer() | ev.ApprovedLate() as event:
                return self._step(event, message)
            case ev.Quoted() | ev.OfferCame() as event:
                return self._step(event)
            case IdentityCheck(command_id, order) if self._p.matcher is not None and order.flow == "id_card":
                self._enrolment.report(command_id, "", "verify.failed", "no_cards_kept")
            case IdentityCheck(order=order):
                return self._step(ev.OrderArrived(order))
            case enrolment.Request() as request:
                self._enrolment.take(request, self._payment.hands_over_to(request))
                return self._between_payments(None)
            case CancelOrder() as wanted:
                name, reason, stop = cancelling.cancel(wanted, self._payment, self._reader)
                self._enrolment.report(wanted.command_id, "", name, reason)
                return self._between_payments(stop)
            case CheckpointAckBody() as said:
                self._chores.acknowledged(said)
            case CatalogueOffer() as offer:
                self._floor.catalogue_offered(offer)
            case EraseRequest() as request:
                self._errands.erase(request)
            case RemoteRequest() as request:
                self._p.remote.do(request)
            case ConfigBody() as body:
                self._p.applier.arrived(message, body, self._moment())
            case FaceAnswerBody() as said if self._p.matcher is not None:
                self._p.matcher.heard(said)
            case KillAds() | PlayAckBody() | ContentNoticeBody() | ContentChunkBody() as said:
                self._about_content(said)
            case TimeHeard(corrected, reached, by_s):
                self._conditions.set(views.Condition.NO_CLOCK, None)
                behind = self._store_watch.heard(reached)
                if behind is not None:
                    self._conditions.set(box_store.BEHIND, behind)
                if corrected:
                    note(log, "clock_corrected", now=self._p.clock.now(), by_s=by_s)
                    self._payment.step(ev.ClockCorrected(by_s, self._p.link.box_id))
                    self._time.write_floor()
                    self._say_state()  # what was refused for its times comes again
                return self._between_payments(self._payment.take_up_orders())
            case None:
                pass
        return None

    def _about_content(self, said: KillAds | PlayAckBody | ContentNoticeBody | ContentChunkBody) -> None:
        ads = self._p.advertising
        if isinstance(said, ContentChunkBody):
            self._floor.chunk(said)
        match said:
            case KillAds(command_id, campaigns):
                if ads is not None:
                    ads.kill(campaigns)
                self._enrolment.report(command_id, "", "ads.done", "done")
            case PlayAckBody() if ads is not None:
                ads.acknowledged(said)
            case ContentNoticeBody() if ads is not None:
                ads.announced()
            case ContentChunkBody() if ads is not None:
                ads.arrived(said)
            case _:
                pass

    def _link_changed(self, up: bool, why: str) -> Stop | None:
        if not up:
            self._conditions.set(views.Condition.OFFLINE, why)
            return self._step(ev.LinkDown())
        self._conditions.set(views.Condition.OFFLINE, None)
        self._time.doubt()
        self._say_state()
        self._p.link.flush()
        return self._step(ev.LinkUp())

    def _say_state(self) -> None:
        parts = self._p
        versions = {"software": parts.software, **parts.applier.versions, **parts.members.versions}
        if parts.advertising is not None:
            versions |= parts.advertising.versions
        body = statement.of(
            self._instance, versions, self._payment.state.settling, payments.open_order_ids(self._reader),
            self._enrolment.open_commands(),
        )  # fmt: skip
        parts.link.say_state(body)

    def _written(self, written: Written) -> Stop | None:
        tokens, error = written.tokens, written.error
        if error is not None:
            self._conditions.set(written.fault, error)
        stop = Stop(f"box.db refuses to be written: {error}") if error is not None and not tokens else None
        for token in tokens:
            done = ev.Persisted(token) if error is None else ev.PersistFailed(token, error)
            stop = self._step(done) or stop
        self._floor.committed(time.monotonic())
        self._gate.committed(time.monotonic())
        self._p.link.flush()
        return stop

    # ---- the two machines share one counter -------------------------------------------------------------------------

    def _step(self, event: ev.Event, message: Message | None = None) -> Stop | None:
        return self._between_payments(self._payment.step(event, message))

    def _between_payments(self, stop: Stop | None) -> Stop | None:
        """Whenever nobody pays, an enrolment that waits takes the counter."""
        if self._payment.idle and not self._floor.busy and not self._gate.busy and self._enrolment.begin():
            return self._payment.step(ev.CounterTaken()) or stop
        return stop

    def _enrolled(self, over: bool) -> Stop | None:
        return self._step(ev.CounterFree()) if over else None

    @property
    def _busy(self) -> bool:
        """Whether a payer may be there, or is about to be."""
        return self._taken or self._gate.busy

    @property
    def _taken(self) -> bool:
        """Whether the counter is somebody's, or about to be: then nobody walks through a gate."""
        at_counter = self._enrolment.busy or self._floor.busy
        return not self._payment.idle or bool(self._payment.state.waiting) or at_counter

    # ---- what is seen and heard -------------------------------------------------------------------------------------

    def _show(self) -> None:
        if self._busy:
            self._p.lending.recall()
        state = self._payment.state
        self._p.board.publish(
            Snapshot(
                type(state.stage).__name__, self._busy, len(state.waiting),
                tuple(sorted(self._conditions.items())), tuple(state.settling), self._conditions.judged,
            )
        )  # fmt: skip
        shown = tuple(sorted(self._conditions.keys() - NOT_FOR_PAYERS))
        self._floor.shown(state.stage)
        clerks = (self._floor.view() or self._gate.view()) if self._payment.idle else None
        self._front.show(lambda idle: clerks or view_of(state, self._enrolment.state, idle, time.monotonic()), shown)
        if self._p.advertising is not None:
            self._p.advertising.shown(self._front.view)
        self._p.notify.status(", ".join(sorted(self._conditions)) or "all is well")

    def _moment(self) -> Moment:
        quiet = not self._busy and not self._payment.state.settling
        return Moment(time.monotonic(), quiet, self._conditions, self._looked)

    def _follow_config(self) -> None:
        config = self._p.applier.work(self._moment())
        if config is not None:
            live = self._p.settings_of(config)
            self._payment.adopt(live.rules)
            self._scribe.adopt(Bookkeeping(self._p.link, live.rules.settling, live.grounds))
            self._front.adopt(live.shop, live.locale)
            self._p.painter.adopt(live.locale)
        self._conditions.set(REFUSED, self._p.applier.condition)

    def _keep_house(self) -> None:
        now = time.monotonic()
        self._time.work(now)
        self._follow_config()
        full = self._chores.work(now, self._reader)
        if full is not None:
            self._conditions.set(views.Condition.DISK_FULL, full or None)
        ads = self._p.advertising
        if ads is not None:
            ads.work(now)
        moved = self._store_watch.moved() | (ads is not None and ads.moved())
        if moved and self._p.link.connected:
            self._say_state()

"""Runs the payment core: keeps its state, writes what it wants written, and carries out its other effects.

On the main loop alone; only `still_asks` may be called from elsewhere.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from daemon.books import own_orders, payment_history, payments
from daemon.books.decisions import identified, outcome, rival
from daemon.books.own_orders import Made
from daemon.books.scribe import Scribe
from daemon.box_events import Stop
from daemon.enrolment.machine import Request
from daemon.errands import Errands
from daemon.front.painter import Painter
from daemon.logs import note
from daemon.open_loop.desk import Recognised
from daemon.payment import core, joining
from daemon.payment import effects as fx
from daemon.payment import events as ev
from daemon.payment.closing import is_offline
from daemon.payment.face_alone import must_be_challenged
from daemon.payment.flows import Step
from daemon.payment.order import Circumstances, Identified
from daemon.payment.state import AskFactor, AskPayer, Idle, Rules, ScanCode, State
from daemon.payment.status import Status
from daemon.people.face_watch import FaceWatch, ForGate, ForPayment, ForSmile
from daemon.uplink import contract
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink, Message
from pipeline.decision import Challenge, Decision, Guidance

log = logging.getLogger("daemon.payment")


class PaymentRunner:
    """`state` is the core's; every call that steps it returns a Stop when the process must end."""

    def __init__(
        self, rules: Rules, *, scribe: Scribe, link: FleetLink, faces: FaceWatch, painter: Painter, errands: Errands,
        reader: sqlite3.Connection, clock: TrustedClock,
    ) -> None:  # fmt: skip
        self.state = State(rules=rules)
        self._scribe, self._link, self._faces, self._painter, self._errands = scribe, link, faces, painter, errands
        self._reader, self._clock = reader, clock
        self._orders_taken_up = False

    def adopt(self, rules: Rules) -> None:
        """While nobody pays and nothing is unsettled."""
        self.state = replace(self.state, rules=rules)

    @property
    def idle(self) -> bool:
        """Nobody pays at this moment; orders may wait."""
        return isinstance(self.state.stage, Idle)

    def next_deadline(self) -> float | None:
        return core.next_deadline(self.state)

    @property
    def wants_scan(self) -> bool:
        """Whether what a scanner reads now is the payer's."""
        stage = self.state.stage
        return isinstance(stage, ScanCode) or (isinstance(stage, AskPayer) and stage.by is Step.CARD)

    def still_asks(self, check: fx.CheckFactor | fx.FindPayer) -> bool:
        """Whether the counter waits for this check; from any thread, as it reads one frozen value."""
        state = self.state
        return isinstance(state.stage, AskFactor | AskPayer) and state.stage.checking and state.epoch == check.epoch

    def recover(self) -> Stop | None:
        """Unsettled attempts are asked about. Open orders are taken up once the clock can tell whether they hold."""
        found = payments.unfinished(self._reader, time.monotonic(), self._clock.now())
        note(log, "recovered", unsettled=len(found.attempts), open_orders=len(found.orders))
        stop = self._took(*core.recover(self.state.rules, found.attempts, (), time.monotonic(), found.refunds))
        stop = self.step(ev.LinkDown()) or stop  # until it is up
        return (self.take_up_orders() if self._clock.trusted else None) or stop

    def take_up_orders(self) -> Stop | None:
        """The open orders on disk, once in the life of the process."""
        if self._orders_taken_up:
            return None
        self._orders_taken_up = True
        found = payments.unfinished(self._reader, time.monotonic(), self._clock.now())
        return self.step(ev.OrdersFound(found.orders)) if found.orders else None

    def seen(self, wanted: ForPayment, observation: Guidance | Challenge | Decision) -> Stop | None:
        """What the face side says, as the core's event."""
        match observation:
            case Guidance(hint=said, done=done, steps=steps):
                return self.step(ev.FaceHint(wanted.order_id, wanted.epoch, said.value, None, done, steps))
            case Challenge(act=act, until_s=until_s, done=done, steps=steps):
                return self.step(ev.FaceHint(wanted.order_id, wanted.epoch, act.value, until_s, done, steps))
            case Decision() as decision:
                who, other = identified(decision), rival(decision)
                decided = ev.FaceDecided(
                    wanted.order_id, wanted.epoch, outcome(decision), who, other, self._around(who, other)
                )
                return self.step(decided)

    def recognised(self, by: Recognised) -> Stop | None:
        """What the gateway's matcher says."""
        wanted = by.wanted
        decided = ev.FaceDecided(
            wanted.order_id, wanted.epoch, by.outcome, by.who, by.rival, self._around(by.who, by.rival)
        )  # fmt: skip
        return self.step(decided)

    def _around(self, *seen: Identified | None) -> Circumstances:
        turn = getattr(self.state.stage, "turn", None)
        payers = [who.payer for who in seen if who is not None]
        if not payers or turn is None:
            return Circumstances()
        wall, amount = self._clock.now(), turn.order.amount
        hour = time.localtime(wall).tm_hour
        return payment_history.strictest(
            [
                payment_history.around(
                    self._reader, payer, amount, hour, wall, time_is_certain=self._clock.told_by_fleet
                )
                for payer in payers
            ]
        )

    def _must_be_challenged(self) -> bool:
        turn = getattr(self.state.stage, "turn", None)
        if turn is None:
            return False
        online, hour = not is_offline(self.state, time.monotonic()), time.localtime(self._clock.now()).tm_hour
        return must_be_challenged(self.state.rules.policy, turn.order.amount, turn.flow, online=online, hour=hour)

    def hands_over_to(self, request: Request) -> bool:
        """Whether whoever wants this sign-up still stands there: the counter is the enrolment's from here on."""
        if request.order_id is None or not joining.waits_for(self.state, request.order_id):
            return False
        self.step(ev.SignUpReady(request.order_id))
        return True

    def refund(self, order_id: str, authority: str) -> tuple[str, Stop | None]:
        """`refunding`, or why not; the caller has the authority."""
        known = payments.request_of(self._reader, order_id)
        if known is None:
            return "unknown_order", None
        if known[1] is not Status.APPROVED or (order_id, known[0].attempt) in self.state.settling:
            return f"is_{known[1].value}", None
        return "refunding", self.step(ev.RefundAsked(known[0], authority))

    def tick(self, now: float) -> Stop | None:
        due = self.next_deadline()
        return self.step(ev.Tick()) if due is not None and due <= now else None

    def start(self, made: Made) -> Stop | None:
        """An order that this box made: whatever `made` writes is in the transaction of the order's row."""
        state, effects = core.step(self.state, ev.OrderArrived(made.order), time.monotonic())
        return self._took(state, effects, also=made.write)

    def passed(self, made: Made, who: Identified, also: Callable[[sqlite3.Connection], None]) -> Stop | None:
        """Somebody has passed a gate: their charge, and what `also` writes, in one transaction."""

        def write(tx: sqlite3.Connection) -> None:
            made.write(tx)
            also(tx)

        state, effects = core.step(self.state, ev.Passed(made.order, who), time.monotonic())
        return self._took(state, effects, also=write)

    def note(self, changes: tuple[fx.Change, ...], also: Callable[[sqlite3.Connection], None] | None = None) -> None:
        """Writes beside the core's own: lines of the journal, and what `also` writes."""
        self._scribe.write(changes, also=also)

    def look(self, wanted: ForGate) -> None:
        """While nobody pays: the camera looks for a face."""
        self._faces.watch(wanted)

    def withdraw(self, order_id: str, reason: str) -> Stop | None:
        """Ends an order for which no money can be on its way; any other stays as it is."""
        return self.step(ev.OrderWithdrawn(order_id, reason))

    def step(self, event: ev.Event, message: Message | None = None) -> Stop | None:
        """`message` is what caused the event: it enters the inbox in the transaction of what it changes."""
        if isinstance(event, ev.Answer) and event.reason == "unknown_order":
            self._say_order_again(event.order_id)
        state, effects = core.step(self.state, event, time.monotonic())
        return self._took(state, effects, message)

    def _say_order_again(self, order_id: str) -> None:
        """A broker may have taken our word on an order of ours while no gateway listened. Said twice is said once."""
        body = own_orders.body_of(self._reader, order_id)
        if body is not None:
            self._link.say("order.made", body)

    def _took(
        self, state: State, effects: tuple[fx.Effect, ...], message: Message | None = None,
        also: Callable[[sqlite3.Connection], None] | None = None,
    ) -> Stop | None:  # fmt: skip
        self.state = state
        changes = tuple(change for effect in effects if isinstance(effect, fx.Persist) for change in effect.changes)
        tokens = tuple(effect.token for effect in effects if isinstance(effect, fx.Persist))
        if any(isinstance(effect, fx.Submit) for effect in effects):
            self._link.flush()  # on disk since before: it need not wait for the commit that says it went
        if tokens or message is not None:
            self._scribe.write(changes, message, tokens, also=also)
        stop: Stop | None = None
        for effect in effects:
            stop = self._carry_out(effect) or stop
        return stop

    def _carry_out(self, effect: fx.Effect) -> Stop | None:
        match effect:
            case fx.Persist() | fx.Submit():
                pass  # sent, and written in one transaction, before anything else
            case fx.Query(order_id, attempt):
                self._say_order_again(order_id)
                self._link.say("pay.query", contract.query(order_id, attempt))
            case fx.Reverse(order_id, attempt):
                self._link.say("pay.reverse", contract.reverse(order_id, attempt))
            case fx.Refund():
                self._link.say("pay.refund", contract.refund(effect))
            case fx.SendVoucher(request):
                self._say_order_again(request.order_id)
                accepted_at = payments.accepted_at(self._reader, request.order_id, request.attempt)
                self._link.say("pay.voucher", contract.voucher(request, accepted_at or self._clock.now()))
            case fx.Watch(order_id, epoch, payer):
                self._faces.watch(ForPayment(order_id, epoch, payer, self._must_be_challenged()))
            case fx.WatchSmile(order_id, epoch):
                self._faces.watch(ForSmile(order_id, epoch))
            case fx.StopWatching():
                self._faces.rest()
                self._painter.forget_preview()
            case fx.CheckFactor():
                self._errands.check_factor(effect)
            case fx.FindPayer():
                self._errands.find_payer(effect)
            case fx.ListBanks():
                self._errands.list_banks(effect)
            case fx.AskQuote():
                self._link.say("quote.request", contract.quote_request(effect))
            case fx.Halt(why):
                return Stop(why)
            case _:
                assert_never(effect)
        return None

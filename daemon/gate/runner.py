"""Runs the gate: looks for a face while nobody else has the counter, rules, writes the passage, and then lets go.

On the main loop alone. Nothing opens before the passage and its charge are on disk; a passage that a power cut left
without a word on its gate is opened for its payer once more, and not charged again.
"""

from __future__ import annotations

import logging
import secrets
import sqlite3
import time
from dataclasses import dataclass, replace

from daemon.books import payment_history
from daemon.books.decisions import identified
from daemon.books.own_orders import OwnOrders
from daemon.box_events import Stop
from daemon.counter.gate import Fare, Opens, Refusal
from daemon.gate import passages
from daemon.gate.agreement import Terms
from daemon.gate.door import GateDoor, GateMoved
from daemon.gate.passages import NewPassage
from daemon.gate.reading import AgreementRead, Agreements
from daemon.gate.ruling import Ruled, Standing, ruled
from daemon.logs import note
from daemon.payment.closing import is_offline
from daemon.payment.effects import Noted
from daemon.payment.face_alone import passage_must_be_challenged
from daemon.payment.money import Amount
from daemon.payment.order import Identified
from daemon.payment.policy import Policy
from daemon.payment_runner import PaymentRunner
from daemon.people.face_watch import ForGate
from daemon.screen import views
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink
from pipeline.decision import Challenge, Decision, Guidance, Reason
from pipeline.liveness import Cue

log = logging.getLogger("daemon.gate")

STEP_S = 5.0  # the store's answer, the disk, the gate: after so long each is given up
AGAIN_S = 1.0
CHARGE_LIFE_S = 24 * 3600
_UNKNOWN = frozenset({Reason.STRANGER, Reason.GALLERY_EMPTY, Reason.LOW_QUALITY, Reason.TIMEOUT})


@dataclass(frozen=True)
class GateParts:
    """`terms` are what whoever is enrolled for the gate here agrees to."""

    fare: Fare
    terms: Terms
    door: GateDoor
    agreements: Agreements
    offline: bool = False
    show_s: float = 2.5


@dataclass(frozen=True, slots=True)
class _Resting:
    until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Looking:
    number: int
    policy: Policy
    hint: str | None = None
    done: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class _Asking:
    number: int
    who: Identified
    until_s: float


@dataclass(frozen=True, slots=True)
class _Writing:
    passage: NewPassage
    until_s: float


@dataclass(frozen=True, slots=True)
class _Opening:
    passage_id: str
    payer: str
    charged_minor: int
    until_s: float


@dataclass(frozen=True, slots=True)
class _Showing:
    """`passed`: who has been let through and stands before the gate until then."""

    view: views.GateOpen | views.GateShut
    until_s: float
    passed: str | None = None


_State = _Resting | _Looking | _Asking | _Writing | _Opening | _Showing


class GateRunner:
    """Calls that can step the payment return a Stop when the process must end."""

    def __init__(
        self, parts: GateParts, payment: PaymentRunner, orders: OwnOrders, reader: sqlite3.Connection,
        clock: TrustedClock,
    ) -> None:  # fmt: skip
        self._p, self._payment, self._orders, self._reader, self._clock = parts, payment, orders, reader, clock
        self._state: _State = _Resting()
        self._number = 0
        self._left_at: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether somebody is being let through, or told why not."""
        return isinstance(self._state, _Asking | _Writing | _Opening | _Showing)

    def begin(self) -> None:
        """At a start: what a power cut left open is named, in the journal and in the log."""
        now = self._clock.now()

        def name(tx: sqlite3.Connection) -> None:
            for passage_id in passages.name_unopened(tx, now):
                note(log, "gate_uncertain", logging.WARNING, passage=passage_id)

        self._payment.note((), also=name)

    def view(self) -> views.View | None:
        """None while the counter is somebody else's, or there is no gate."""
        match self._state:
            case _Showing(view=view):
                return view
            case _Looking(hint=hint, done=done, steps=steps):
                return views.GateReady(self._p.fare.passage_minor, self._p.fare.currency, hint, done, steps)
            case _Asking() | _Writing() | _Opening():
                return views.GateReady(self._p.fare.passage_minor, self._p.fare.currency, "hold_still")
            case _:
                return None

    def next_deadline(self) -> float | None:
        return None if isinstance(self._state, _Looking) else self._state.until_s or None

    def tick(self, now: float, free: bool) -> None:
        """`free`: nobody else has the counter, or is about to."""
        match self._state:
            case _Looking() if not free:
                self._state = _Resting()  # whoever has the counter has the camera as well
            case _Looking(policy=policy) if policy is not self._policy:
                self._look()  # a look lasts for as long as nobody comes; whoever does is asked by the rules in force
            case _Resting(until_s) if free and until_s <= now and self._p.door.ready:
                self._look()
            case _Asking(until_s=until_s) if until_s <= now:
                self._refuse("store", now)
            case _Writing(until_s=until_s) if until_s <= now:
                self._refuse("storage", now)
            case _Opening(until_s=until_s) if until_s <= now:
                self._refuse("no_gate", now)
            case _Showing(until_s=until_s, passed=passed) if until_s <= now:
                self._left(passed)
                self._state = _Resting()
                self.tick(now, free)
            case _:
                pass

    @property
    def _policy(self) -> Policy:
        return self._payment.state.rules.policy

    def _look(self) -> None:
        fare = Amount(self._p.fare.passage_minor, self._p.fare.currency)
        self._number += 1
        self._state = _Looking(self._number, self._policy)
        self._payment.look(ForGate(self._number, passage_must_be_challenged(self._policy, fare)))

    def blind(self, wanted: ForGate, now: float) -> None:
        """There is no picture, or nobody may be recognised from it: tried again."""
        if isinstance(self._state, _Looking) and self._state.number == wanted.number:
            self._state = _Resting(now + AGAIN_S)

    def seen(self, wanted: ForGate, observation: Guidance | Challenge | Decision, now: float) -> None:
        state = self._state
        if not isinstance(state, _Looking) or state.number != wanted.number:
            return
        match observation:
            case Guidance(hint=said, done=done, steps=steps) | Challenge(act=said, done=done, steps=steps):
                self._state = replace(state, hint=said.value, done=done, steps=steps)
            case Decision(reason=Reason.MATCHED) as decision:
                who = identified(decision)
                assert who is not None
                self._state = _Asking(state.number, who, now + STEP_S)
                self._p.agreements.read(state.number, who.payer)
            case Decision(reason=reason, because=because):
                why = "not_recognised" if reason in _UNKNOWN else reason.value
                self._refuse(why, now, journaled=reason not in _UNKNOWN and because != (Cue.CHALLENGE.value,))

    def agreement(self, read: AgreementRead, now: float) -> Stop | None:
        """What they agreed to: the ruling, and the passage on its way to disk."""
        state = self._state
        if not isinstance(state, _Asking) or state.number != read.number:
            return None
        wall = self._clock.now()
        if read.failed or not self._clock.trusted:
            self._refuse("store" if read.failed else "no_clock", now)
            return None
        left = passages.unopened(self._reader, state.who.payer, wall)
        if left is not None:
            note(log, "passage_resumed", passage=left)
            self._open(left, state.who.payer, 0, now)
            return None
        ruling = self._ruled(state.who, read, wall)
        if not isinstance(ruling.decision, Opens):
            stays = state.who.payer if ruling.decision.reason is Refusal.JUST_PASSED else None
            self._refuse(ruling.reason, now, ruling.rule, ruling.raised_by, passed=stays)
            return None
        return self._write(state.who, ruling.decision.charge_minor, ruling.rule, wall, now)

    def committed(self, now: float) -> None:
        """A transaction is on disk; perhaps it is the passage's."""
        state = self._state
        if isinstance(state, _Writing) and passages.is_written(self._reader, state.passage.passage_id):
            self._open(state.passage.passage_id, state.passage.payer, state.passage.charged_minor, now)

    def moved(self, said: GateMoved, now: float) -> None:
        """What the gate says. A word that comes too late still counts for the disk."""
        wall = self._clock.now()
        if said.opened:
            self._payment.note((), also=lambda tx: passages.mark_opened(tx, said.passage_id, wall))
        state = self._state
        if not isinstance(state, _Opening) or state.passage_id != said.passage_id:
            return
        if said.opened:
            view = views.GateOpen(state.charged_minor, self._p.fare.currency)
            self._state = _Showing(view, now + self._p.show_s, state.payer)
        else:
            self._refuse("no_gate", now)

    def _ruled(self, who: Identified, read: AgreementRead, wall: int) -> Ruled:
        amount = Amount(self._p.fare.passage_minor, self._p.fare.currency)
        hour = time.localtime(wall).tm_hour
        around = payment_history.around(self._reader, who.payer, amount, hour, wall)
        online = not is_offline(self._payment.state, time.monotonic())
        today = passages.today(self._reader, who.payer, wall)
        left_at = self._left_at.get(who.payer, 0)
        standing = Standing(who, read.agreement, today, replace(around, online=online), wall, left_at)
        return ruled(self._p.fare, self._policy, standing, offline_allowed=self._p.offline)

    def _write(self, who: Identified, charge_minor: int, rule: str, wall: int, now: float) -> Stop | None:
        currency = self._p.fare.currency
        if charge_minor == 0:
            passage = NewPassage(secrets.token_hex(8), who.payer, wall, 0, currency, None)
            self._state = _Writing(passage, now + STEP_S)
            self._payment.note((), also=lambda tx: passages.write(tx, passage, rule))
            return None
        made = self._orders.make(Amount(charge_minor, currency), "gate", life_s=CHARGE_LIFE_S)
        if made is None:
            self._refuse("no_clock", now)
            return None
        order_id = made.order.order_id
        charged = NewPassage(order_id, who.payer, wall, charge_minor, currency, order_id)
        self._state = _Writing(charged, now + STEP_S)
        return self._payment.passed(made, who, lambda tx: passages.write(tx, charged, rule))

    def _open(self, passage_id: str, payer: str, charged_minor: int, now: float) -> None:
        self._state = _Opening(passage_id, payer, charged_minor, now + STEP_S)
        self._p.door.release(passage_id)

    def _left(self, payer: str | None) -> None:
        """From now on they are away, unless the next look finds them there still."""
        if payer is not None:
            wall, passback_s = self._clock.now(), self._p.fare.passback_s
            self._left_at = {who: at for who, at in self._left_at.items() if abs(wall - at) < passback_s}
            self._left_at[payer] = wall

    def _refuse(
        self, reason: str, now: float, rule: str = "", raised_by: str = "", passed: str | None = None,
        journaled: bool = True,
    ) -> None:  # fmt: skip
        """Whoever stands about before a gate, and turns nothing when asked to, must not fill the journal."""
        note(log, "gate_refused", reason=reason)
        if journaled:
            facts = {"reason": reason, "rule": rule, "raised_by": raised_by}
            self._payment.note((Noted("gate_refused", {name: said for name, said in facts.items() if said}),))
        self._state = _Showing(views.GateShut(reason), now + self._p.show_s, passed)


class NoGate:
    """In the place of a GateRunner on a box that is no gate."""

    busy = False

    def begin(self) -> None:
        pass

    def view(self) -> None:
        return None

    def next_deadline(self) -> None:
        return None

    def tick(self, now: float, free: bool) -> None:
        pass

    def blind(self, wanted: ForGate, now: float) -> None:
        pass

    def seen(self, wanted: ForGate, observation: Guidance | Challenge | Decision, now: float) -> None:
        pass

    def agreement(self, read: AgreementRead, now: float) -> None:
        return None

    def committed(self, now: float) -> None:
        pass

    def moved(self, said: GateMoved, now: float) -> None:
        pass


def gate_of(
    parts: GateParts | None, payment: PaymentRunner, link: FleetLink, reader: sqlite3.Connection, clock: TrustedClock
) -> GateRunner | NoGate:
    """What the main loop works with."""
    if parts is None:
        return NoGate()
    return GateRunner(parts, payment, OwnOrders(link, clock, CHARGE_LIFE_S), reader, clock)

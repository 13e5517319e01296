"""The core's whole surroundings as one value that can be copied: a disk that takes whole `Persist`s, a wire that loses
and doubles, a gateway, and the checks that hold after every step.
"""

from __future__ import annotations

import copy
from collections import Counter as Tally
from dataclasses import dataclass, field

from daemon.payment import core
from daemon.payment.effects import (
    AskQuote,
    AttemptMoved,
    CheckEnded,
    CheckFactor,
    Effect,
    FindPayer,
    Halt,
    ListBanks,
    OrderClosed,
    OrderStored,
    Persist,
    Query,
    Refund,
    Reverse,
    SendVoucher,
    SignUpAsked,
    Submit,
)
from daemon.payment.events import (
    Answer,
    AnswerStatus,
    ApprovedLate,
    Event,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    LinkUp,
    Persisted,
    PersistFailed,
    Quoted,
    RefundAsked,
    Tick,
)
from daemon.payment.money import Amount
from daemon.payment.order import Discount, Order, PayRequest, Quote, Turn
from daemon.payment.settling import APPROVED_LATE
from daemon.payment.state import AskFactor, Reviewing, Rules, Showing, State
from daemon.payment.status import RELEASES_GOODS, TRANSITIONS, UNSETTLED, Status
from payment_doubles.gateway import Gateway, Key

RIGHT_PIN = "1234"
FACELESS = ("qr_shown", "qr_scanned")


@dataclass
class World:
    """`reached` counts the states that attempts went through, over all worlds that share it."""

    rules: Rules
    reached: Tally[Status] = field(default_factory=Tally)
    now: float = 0.0
    state: State = field(init=False)
    gateway: Gateway = field(default_factory=Gateway)
    orders: dict[str, Order] = field(default_factory=dict)
    closed: dict[str, Status] = field(default_factory=dict)
    verified: dict[str, Status] = field(default_factory=dict)
    attempts: dict[Key, tuple[PayRequest, Status]] = field(default_factory=dict)
    unwritten: list[Persist] = field(default_factory=list)
    wire: list[tuple[str, PayRequest]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    asked: list[CheckFactor | FindPayer | ListBanks] = field(default_factory=list)
    quotes_asked: list[AskQuote] = field(default_factory=list)
    agreed: dict[Key, int] = field(default_factory=dict)
    proven: set[Key] = field(default_factory=set)
    authority: dict[Key, str] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    dead: bool = False

    def __post_init__(self) -> None:
        self.state = State(rules=self.rules)

    def copy(self) -> World:
        other = copy.copy(self)
        other.gateway = self.gateway.copy()
        for name in ("orders", "closed", "verified", "attempts", "unwritten", "wire", "answers", "asked", "proven",
                     "quotes_asked", "agreed", "authority", "released"):  # fmt: skip
            setattr(other, name, copy.copy(getattr(self, name)))
        return other

    # -- what the box does

    def send(self, event: Event) -> None:
        stage = self.state.stage
        if isinstance(stage, Reviewing) and not stage.checking and event == KeyPressed("ok"):
            quote = stage.turn.known.price.quote
            assert quote is not None, "a price is shown that nobody quoted"
            if quote.expires_s > self.now:
                self.agreed[(stage.turn.order.order_id, stage.turn.attempt)] = quote.amount.minor
        self.state, effects = core.step(self.state, event, self.now)
        self.carry_out(effects)

    def carry_out(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Persist():
                    self.unwritten.append(effect)
                case Submit(order_id, attempt):
                    request, status = self.attempts[(order_id, attempt)]  # on disk before it is sent
                    assert status in UNSETTLED, status
                    self.wire.append(("pay", request))
                case Query(order_id, attempt):
                    self.wire.append(("query", self.attempts[(order_id, attempt)][0]))
                case Reverse(order_id, attempt):
                    request, status = self.attempts[(order_id, attempt)]
                    assert status is Status.REVERSING
                    self.wire.append(("reverse", request))
                case Refund(order_id, attempt):
                    request, status = self.attempts[(order_id, attempt)]
                    assert status is Status.REFUNDING
                    self.wire.append(("refund", request))
                case SendVoucher(request):
                    assert self.attempts[(request.order_id, request.attempt)][1] is Status.ACCEPTED_OFFLINE
                    self.wire.append(("pay", request))
                case AskQuote():
                    self.quotes_asked.append(effect)
                case CheckFactor() | FindPayer() | ListBanks():
                    self.asked.append(effect)
                case Halt():
                    self.dead = True
                case _:
                    pass

    def write(self, persist: Persist) -> None:
        for change in persist.changes:
            match change:
                case OrderStored(order):
                    assert order.order_id not in self.orders
                    self.orders[order.order_id] = order
                case OrderClosed(order_id, status):
                    before = self.closed.get(order_id)
                    assert before is None or status in (Status.REFUNDED, Status.MANUAL), (before, status)
                    self.closed[order_id] = status
                case CheckEnded(order_id, status):
                    assert order_id not in self.verified
                    self.verified[order_id] = status
                case AttemptMoved():
                    self._move(change)
                case SignUpAsked(order_id, attempt):
                    request, status = self.attempts[(order_id, attempt)]
                    assert request.flow in FACELESS, "membership for who is known"
                    assert status is Status.APPROVED
                case _:
                    pass

    def _move(self, moved: AttemptMoved) -> None:
        key = (moved.order_id, moved.attempt)
        if moved.request is None:
            request, old = self.attempts[key]
            assert moved.status in TRANSITIONS[old], (old, moved.status)
            self.reached[old] += 1
            if moved.status is Status.REVERSED:
                said = self.gateway.final.get(key)
                acknowledged = said in (AnswerStatus.REVERSED, AnswerStatus.DECLINED) or key in self.gateway.late
                assert acknowledged, "reversed, and the gateway has not said so"
            self.attempts[key] = (request, moved.status)
            if moved.status is Status.REFUNDING and moved.reason != APPROVED_LATE:
                self.authority[key] = moved.reason
            if moved.status in RELEASES_GOODS:
                self.released.add(moved.order_id)
            return
        assert key not in self.attempts
        live = [k for k, (_, s) in self.attempts.items() if k[0] == moved.order_id and s in UNSETTLED]
        assert not live, "two live attempts of one order"
        if moved.request.flow not in FACELESS:
            assert {"face", "pin"} <= set(moved.request.factors), "a debit on a face alone"
            assert key in self.proven
        order = self.orders[moved.order_id]
        assert order.amount is not None
        price = order.amount.minor if moved.request.quote is None else self.agreed.get(key)
        assert moved.request.amount.minor == price, "another sum than was shown and agreed to"
        self.attempts[key] = (moved.request, moved.status)

    # -- what happens around it

    def disk_writes(self) -> None:
        persist = self.unwritten.pop(0)
        self.write(persist)
        self.send(Persisted(persist.token))

    def disk_fails(self) -> None:
        persist = self.unwritten.pop(0)
        self.send(PersistFailed(persist.token, "disk full"))
        if self.dead:  # the process ends by itself, and is started anew
            self.power_is_cut()

    def store_answers(self, outcome: FactorOutcome | None = None) -> None:
        asked = self.asked.pop(0)
        if not isinstance(asked, CheckFactor):
            return
        right = asked.typed == RIGHT_PIN if outcome is None else outcome in (FactorOutcome.OK, FactorOutcome.DURESS)
        stage = self.state.stage
        if right and isinstance(stage, AskFactor) and asked.epoch == self.state.epoch:
            self.proven.add((stage.turn.order.order_id, stage.turn.attempt))
        found = outcome or (FactorOutcome.OK if right else FactorOutcome.WRONG)
        self.send(FactorChecked(asked.order_id, asked.epoch, found, 2))

    def quote_comes(
        self, off: int, life_s: float = 300.0, order_id: str = "", payer: str = "", spends: bool = False
    ) -> None:
        """For what was asked last, or for somebody or something else."""
        asked = self.quotes_asked.pop() if self.quotes_asked else AskQuote("o1", "grace")
        order_id, payer = order_id or asked.order_id, payer or asked.payer
        order = self.orders.get(order_id)
        if order is None or order.amount is None:
            return
        off += 30 * asked.spends_points
        amount = Amount(order.amount.minor - off, order.amount.currency)
        name = self.gateway.quote(order_id, payer, amount.minor) if off else None
        lines = (Discount("Coupon", off, "applied", "off"),)
        quote = Quote(name, amount, self.now + life_s, lines, 30, 30, asked.spends_points is not spends)
        self.send(Quoted(order_id, payer, quote))

    def wire_delivers(self, funds: bool, n: int = 0, copies: int = 1) -> None:
        """In any order, never, once or twice; each answer may be late or lost too."""
        kind, request = self.wire.pop(n % len(self.wire))
        for _ in range(copies):
            match kind:
                case "pay":
                    self.answers.append(self.gateway.pay(request, funds))
                case "query":
                    self.answers.append(self.gateway.query(request))
                case "reverse":
                    self.answers.append(self.gateway.reverse(request))
                case "refund":
                    self.answers.append(self.gateway.refund(request, funds))

    def answer_comes(self, n: int = 0, lost: bool = False) -> None:
        answer = self.answers.pop(n % len(self.answers))
        if not lost:
            self.hear(answer)

    def hear(self, answer: Answer) -> None:
        """As `daemon.uplink.inbound` does: an approval of what is reversed on disk is a late one."""
        key = (answer.order_id, answer.attempt)
        held = self.attempts.get(key)
        late = key not in self.state.settling and held is not None and held[1] is Status.REVERSED
        if late and answer.status is AnswerStatus.APPROVED and held is not None:
            self.send(ApprovedLate(held[0], answer))
        else:
            self.send(answer)

    def money_is_taken_late(self, n: int) -> None:
        """Of an attempt that was reversed, and whose order nobody else has paid since."""
        found = [
            r for r, s in self.attempts.values()
            if s is Status.REVERSED and not self.gateway.captured[r.order_id]
            and self.gateway.final.get((r.order_id, r.attempt)) is AnswerStatus.REVERSED
        ]  # fmt: skip
        if found:
            self.answers.append(self.gateway.take_late(found[n % len(found)]))

    def clerk_refunds(self, n: int) -> None:
        found = [r for r, s in self.attempts.values() if s is Status.APPROVED]
        if found:
            self.send(RefundAsked(found[n % len(found)], "clerk"))

    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(300):
            due = core.next_deadline(self.state)
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self.send(Tick())
        else:
            raise AssertionError("a deadline that never passes")
        self.now = until

    def power_is_cut(self) -> None:
        self.dead = False
        self.unwritten.clear()
        self.asked.clear()
        unsettled = tuple((r, s) for r, s in self.attempts.values() if s in UNSETTLED)
        busy = {r.order_id for r, _ in unsettled}
        turns = tuple(
            Turn(o, 1 + max((a for i, a in self.attempts if i == o.order_id), default=0))
            for o in self.orders.values() if o.order_id not in self.closed and o.order_id not in busy
        )  # fmt: skip
        refunds = {key: by for key, by in self.authority.items() if self.attempts[key][1] is Status.REFUNDING}
        self.state, effects = core.recover(self.rules, unsettled, turns, self.now, refunds)
        self.carry_out(effects)

    def tell_again(self) -> bool:
        """On a connect the gateway sends again what it holds as approved and has no confirmation of."""
        missing = [
            r for (key, (r, s)) in self.attempts.items()
            if self.gateway.final.get(key) is AnswerStatus.APPROVED and s is Status.REVERSED
        ]  # fmt: skip
        self.answers += [self.gateway.tell(request) for request in missing]
        return bool(missing)

    # -- what must always hold

    def check(self) -> None:
        captured = self.gateway.captured
        assert all(count in (0, 1) for count in captured.values()), "an order captured twice, or given back twice"
        stage = self.state.stage
        if isinstance(stage, Showing) and stage.status in RELEASES_GOODS:
            assert stage.order.order_id in self.released, "goods released before it was on disk"
            if stage.status is Status.APPROVED:
                assert stage.order.order_id in self.closed

    def settle(self) -> None:
        """With a link and a disk that work everything comes to an end, and both sides agree on the money."""
        self.send(LinkUp())
        for _ in range(400):
            while self.unwritten:
                self.disk_writes()
            while self.wire:
                self.wire_delivers(True)
            while self.answers:
                self.answer_comes()
            if not self.state.settling and not self.unwritten and not self.tell_again():
                break
            self.time_passes(5.0)
        for (order_id, attempt), (_, status) in self.attempts.items():
            self.reached[status] += 1
            assert status not in UNSETTLED, (order_id, attempt, status)
            assert status is not Status.MANUAL, "a person is asked only where the gateway holds this box's own word"
            final = self.gateway.final.get((order_id, attempt))
            assert (status is Status.APPROVED) == (final is AnswerStatus.APPROVED), (status, final)
        for key, (request, status) in self.attempts.items():
            if status is Status.APPROVED and key in self.gateway.taken:
                assert self.gateway.taken[key] == request.amount.minor, "another sum was taken than was asked for"
        paid = {r.order_id for r, s in self.attempts.values() if s is Status.APPROVED}
        assert paid == {order_id for order_id, count in self.gateway.captured.items() if count}, "money not conserved"

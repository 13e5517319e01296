"""Random lives of a counter: whatever comes in whatever order, money is never wrong."""

from __future__ import annotations

import os
from collections import Counter as Tally

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from daemon.payment import core
from daemon.payment.effects import (
    AttemptMoved,
    CheckFactor,
    OrderClosed,
    OrderStored,
    Persist,
    Query,
    Reverse,
    Submit,
)
from daemon.payment.events import (
    Answer,
    AnswerStatus,
    FaceDecided,
    FaceHint,
    FaceOutcome,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    LinkUp,
    OrderArrived,
    Persisted,
    Tick,
)
from daemon.payment.money import Amount
from daemon.payment.order import Identified, Order, PayRequest, Turn
from daemon.payment.state import AskFactor, Rules, Showing, State
from daemon.payment.status import RELEASES_GOODS, TRANSITIONS, UNSETTLED, Status

RIGHT_PIN = "1234"
REACHED: Tally[Status] = Tally()


class Gateway:
    """What the other side must be: idempotent by attempt, with tombstones. It counts what was really taken."""

    def __init__(self) -> None:
        self.final: dict[tuple[str, int], AnswerStatus] = {}
        self.captured: Tally[str] = Tally()

    def pay(self, request: PayRequest, funds: bool) -> Answer:
        key = (request.order_id, request.attempt)
        if key not in self.final:
            ok = funds and not self.captured[request.order_id]
            self.final[key] = AnswerStatus.APPROVED if ok else AnswerStatus.DECLINED
            self.captured[request.order_id] += int(ok)
        return self.tell(request)

    def query(self, request: PayRequest) -> Answer:
        self.final.setdefault((request.order_id, request.attempt), AnswerStatus.DECLINED)
        return self.tell(request)

    def reverse(self, request: PayRequest) -> Answer:
        key = (request.order_id, request.attempt)
        if self.final.get(key) is AnswerStatus.APPROVED:
            self.captured[request.order_id] -= 1
        if self.final.get(key) is not AnswerStatus.DECLINED:
            self.final[key] = AnswerStatus.REVERSED
        return self.tell(request)

    def tell(self, request: PayRequest) -> Answer:
        status = self.final[(request.order_id, request.attempt)]
        return Answer(request.order_id, request.attempt, status, "model", request.amount, "r")


class Life(RuleBasedStateMachine):
    """The disk is a dictionary that takes whole `Persist`s; a power cut forgets everything else."""

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.state = State(rules=Rules())
        self.gateway = Gateway()
        self.orders: dict[str, Order] = {}
        self.closed: dict[str, Status] = {}
        self.attempts: dict[tuple[str, int], tuple[PayRequest, Status]] = {}
        self.unwritten: list[Persist] = []
        self.wire: list[object] = []
        self.answers: list[Answer] = []
        self.pins: list[CheckFactor] = []
        self.numbered = 0
        self.pin_proven: set[tuple[str, int]] = set()

    # -- the box's effects

    def carry_out(self, effects: tuple[object, ...]) -> None:
        for effect in effects:
            match effect:
                case Persist():
                    self.unwritten.append(effect)
                case Submit(order_id, attempt):
                    request, status = self.attempts[(order_id, attempt)]  # on disk before it is sent
                    assert status is not Status.CANCELLED
                    self.wire.append(("pay", request))
                case Query(order_id, attempt):
                    self.wire.append(("query", self.attempts[(order_id, attempt)][0]))
                case Reverse(order_id, attempt):
                    request, status = self.attempts[(order_id, attempt)]
                    assert status is Status.REVERSING
                    self.wire.append(("reverse", request))
                case CheckFactor():
                    self.pins.append(effect)

    def send(self, event: object) -> None:
        self.state, effects = core.step(self.state, event, self.now)  # type: ignore[arg-type]
        self.carry_out(effects)

    def write(self, persist: Persist) -> None:
        for change in persist.changes:
            match change:
                case OrderStored(order):
                    assert order.order_id not in self.orders
                    self.orders[order.order_id] = order
                case OrderClosed(order_id, status):
                    assert order_id not in self.closed
                    self.closed[order_id] = status
                case AttemptMoved(order_id, attempt, status, request=request):
                    key = (order_id, attempt)
                    if request is not None:
                        assert key not in self.attempts
                        live = [k for k, (_, s) in self.attempts.items() if k[0] == order_id and s in UNSETTLED]
                        assert not live, "two live attempts of one order"
                        assert request.factors == ("face", "pin"), "a debit on a face alone"
                        assert key in self.pin_proven
                        self.attempts[key] = (request, status)
                    else:
                        known, old = self.attempts[key]
                        assert status in TRANSITIONS[old], (old, status)
                        REACHED[old] += 1
                        self.attempts[key] = (known, status)

    # -- what may happen

    @rule(lives=st.floats(-1, 90))
    def an_order_arrives(self, lives: float) -> None:
        self.numbered += 1
        order = Order(f"o{self.numbered}", Amount(1850, "CNY"), None, self.now + lives)
        self.send(OrderArrived(order))

    @rule()
    @precondition(lambda self: self.unwritten)
    def the_disk_catches_up(self) -> None:
        persist = self.unwritten.pop(0)
        self.write(persist)
        self.send(Persisted(persist.token))

    @rule(key=st.sampled_from(["ok", "cancel", "back", "dot", *"0123456789"]))
    def a_key(self, key: str) -> None:
        self.send(KeyPressed(key))

    @rule()
    def the_right_pin_is_typed(self) -> None:
        if isinstance(self.state.stage, AskFactor):
            for key in (*["back"] * 6, *RIGHT_PIN, "ok"):
                self.send(KeyPressed(key))

    @rule()
    @precondition(lambda self: self.pins)
    def the_pin_is_checked(self) -> None:
        check = self.pins.pop(0)
        right = check.typed == RIGHT_PIN
        stage = self.state.stage
        if right and isinstance(stage, AskFactor) and check.epoch == self.state.epoch:
            self.pin_proven.add((stage.turn.order.order_id, stage.turn.attempt))
        self.send(FactorChecked(check.order_id, check.epoch, FactorOutcome.OK if right else FactorOutcome.WRONG, 2))

    @rule(outcome=st.sampled_from(list(FaceOutcome)), late=st.integers(0, 2), n=st.integers(0, 3))
    def a_face(self, outcome: FaceOutcome, late: int, n: int) -> None:
        before = self.state
        who = Identified("grace", 0.8, 0.5, 0.9) if outcome is FaceOutcome.MATCHED else None
        order_id = f"o{max(1, self.numbered - n)}"
        self.send(FaceDecided(order_id, self.state.epoch - late, outcome, who))
        if late:
            assert self.state == before, "an event of an older epoch had an effect"

    @rule()
    def a_good_face(self) -> None:
        turn = getattr(self.state.stage, "turn", None)
        if turn is not None:
            who = Identified("grace", 0.8, 0.5, 0.9)
            self.send(FaceDecided(turn.order.order_id, self.state.epoch, FaceOutcome.MATCHED, who))

    def disk(self) -> None:
        while self.unwritten:
            self.the_disk_catches_up()

    @rule(cut_in=st.sampled_from(["nothing", "disk", "power"]))
    def a_payer_comes_and_confirms(self, cut_in: str) -> None:
        """The usual way up to the sending of money, so that most lives get there."""
        for _ in range(3):
            if getattr(self.state.stage, "turn", None) is None:
                self.send(KeyPressed("ok"))
                self.an_order_arrives(90)
        self.disk()
        self.a_good_face()
        self.disk()
        self.pins.clear()
        self.the_right_pin_is_typed()
        if self.pins:
            self.the_pin_is_checked()
        if cut_in == "power":
            self.the_power_is_cut()
        elif cut_in == "nothing":
            self.disk()

    @rule(funds=st.booleans())
    def everything_on_the_wire_gets_through(self, funds: bool) -> None:
        while self.wire:
            self.the_wire_delivers(funds, 0, 1)
        while self.answers:
            self.an_answer_comes(0, False)
        self.disk()

    @rule(seconds=st.sampled_from([11.0, 75.0]))
    def nothing_gets_through_for_long(self, seconds: float) -> None:
        self.wire.clear()
        self.answers.clear()
        self.time_passes(seconds)
        self.disk()

    @rule(hint=st.sampled_from(["no_face", "come_closer"]))
    def a_hint(self, hint: str) -> None:
        self.send(FaceHint(f"o{self.numbered}", self.state.epoch, hint))

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 20.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(200):
            due = core.next_deadline(self.state)
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self.send(Tick())
        else:
            raise AssertionError("a deadline that never passes")
        self.now = until

    @rule(funds=st.booleans(), n=st.integers(0, 5), copies=st.integers(0, 2))
    @precondition(lambda self: self.wire)
    def the_wire_delivers(self, funds: bool, n: int, copies: int) -> None:
        """In any order, never, once or twice; each answer may be late or lost too."""
        kind, request = self.wire.pop(n % len(self.wire))  # type: ignore[misc]
        for _ in range(copies):
            act = {"pay": lambda: self.gateway.pay(request, funds), "query": lambda: self.gateway.query(request)}
            self.answers.append(act.get(kind, lambda: self.gateway.reverse(request))())

    @rule(n=st.integers(0, 5), lost=st.booleans())
    @precondition(lambda self: self.answers)
    def an_answer_comes(self, n: int, lost: bool) -> None:
        answer = self.answers.pop(n % len(self.answers))
        if not lost:
            self.send(answer)

    @rule()
    def the_link_returns(self) -> None:
        self.send(LinkUp())

    @rule()
    def the_power_is_cut(self) -> None:
        self.unwritten.clear()
        self.pins.clear()
        unsettled = tuple((r, s) for r, s in self.attempts.values() if s in UNSETTLED)
        busy = {r.order_id for r, _ in unsettled}
        turns = tuple(
            Turn(o, 1 + max((a for i, a in self.attempts if i == o.order_id), default=0))
            for o in self.orders.values() if o.order_id not in self.closed and o.order_id not in busy
        )  # fmt: skip
        self.state, effects = core.recover(Rules(), unsettled, turns, self.now)
        self.carry_out(effects)

    # -- what must always hold

    @invariant()
    def at_most_one_capture_of_an_order(self) -> None:
        assert all(count in (0, 1) for count in self.gateway.captured.values())

    @invariant()
    def goods_are_released_only_for_captured_money(self) -> None:
        stage = self.state.stage
        if isinstance(stage, Showing) and stage.status in RELEASES_GOODS:
            assert self.gateway.captured[stage.order.order_id] == 1
            assert self.closed[stage.order.order_id] is Status.APPROVED

    def teardown(self) -> None:
        """In the end, with a link and a disk that work, everything is settled and both sides agree."""
        if not hasattr(self, "state"):
            return
        for _ in range(400):
            while self.unwritten:
                self.the_disk_catches_up()
            for item in self.wire:
                kind, request = item  # type: ignore[misc]
                act = {"pay": lambda r: self.gateway.pay(r, True), "query": self.gateway.query}
                self.answers.append(act.get(kind, self.gateway.reverse)(request))
            self.wire.clear()
            while self.answers:
                self.send(self.answers.pop(0))
            if not self.state.settling and not self.unwritten:
                break
            self.now += 5.0
            self.send(Tick())
        for (order_id, attempt), (_, status) in self.attempts.items():
            REACHED[status] += 1
            assert status not in UNSETTLED, (order_id, attempt, status)
            final = self.gateway.final.get((order_id, attempt))
            assert (status is Status.APPROVED) == (final is AnswerStatus.APPROVED), (status, final)


STEPS = int(os.environ.get("KINGFISHER_MODEL_STEPS", "20000"))
Life.TestCase.settings = settings(
    max_examples=max(1, STEPS // 50), stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip
TestLife = Life.TestCase


def test_those_lives_went_through_every_state_that_money_can_be_in() -> None:
    """Keeps the model honest: a change that makes lives shallow would let everything pass."""
    seen = {status: REACHED[status] for status in UNSETTLED | {Status.APPROVED, Status.DECLINED, Status.REVERSED}}
    del seen[Status.REFUNDING], seen[Status.ACCEPTED_OFFLINE]  # no rule refunds or cuts the link
    assert min(seen.values()) >= STEPS // 2000, seen

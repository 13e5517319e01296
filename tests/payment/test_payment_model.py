"""Random lives of a counter: whatever comes in whatever order, money is never wrong.

20,000 steps in an ordinary run. A night's: `KINGFISHER_STEPS=1000000 python -m pytest --timeout 0
tests/payment/test_payment_model.py`.
"""

from __future__ import annotations

import os
from collections import Counter as Tally

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from payment_doubles.world import FACELESS, RIGHT_PIN, World

from daemon.payment.emvco import Merchant
from daemon.payment.events import (
    ClockCorrected,
    CodeScanned,
    CounterFree,
    FaceDecided,
    FaceHint,
    FaceOutcome,
    FaceUnavailable,
    FactorOutcome,
    KeyPressed,
    LinkDown,
    LinkUp,
    OrderArrived,
    OrderWithdrawn,
    SignUpReady,
)
from daemon.payment.money import Amount
from daemon.payment.order import Identified, Order
from daemon.payment.policy import OfflineCaps, Policy
from daemon.payment.state import AskFactor, Paying, Reviewing, Rules
from daemon.payment.status import UNSETTLED, Status

GRACE, TWIN = Identified("grace", 0.8, 0.5, 0.9), Identified("hope", 0.79, -0.01, 0.9)
CAPS = OfflineCaps("CNY", 5000, 10**9, 10**9, 1000)
RULES = Rules(
    policy=Policy(offline=CAPS), ways=("face_first", "qr_shown", "qr_scanned"),
    merchant=Merchant("com.example", "M1", "Kingfisher", "Shanghai"), quote_s=1.0, notice="1", smile=True,
)  # fmt: skip
REACHED: Tally[Status] = Tally()
AGREED: Tally[str] = Tally()
CODE = "134567890123456789"


class Life(RuleBasedStateMachine):
    """The disk is a dictionary that takes whole `Persist`s; a power cut forgets everything else."""

    @initialize()
    def begin(self) -> None:
        self.world = World(RULES, REACHED)
        self.numbered = 0

    # -- who comes, and what they do

    @rule(
        lives=st.floats(-1, 90),
        flow=st.sampled_from([None, "face_first", *FACELESS]),
        pays=st.booleans(),
    )
    def an_order_arrives(self, lives: float, flow: str | None, pays: bool) -> None:
        self.numbered += 1
        amount = Amount(1850, "CNY") if pays or flow else None
        self.world.send(OrderArrived(Order(f"o{self.numbered}", amount, None, self.world.now + lives, flow)))

    @rule(key=st.sampled_from(["ok", "cancel", "back", "dot", "menu", *"0123456789"]))
    def a_key(self, key: str) -> None:
        self.world.send(KeyPressed(key))

    @rule(text=st.sampled_from([CODE, "x", "11010519491231002X"]))
    def something_is_scanned(self, text: str) -> None:
        self.world.send(CodeScanned(text))

    @rule()
    def the_right_pin_is_typed(self) -> None:
        if isinstance(self.world.state.stage, AskFactor):
            for key in (*["back"] * 6, *RIGHT_PIN, "ok"):
                self.world.send(KeyPressed(key))

    @rule(outcome=st.sampled_from([None, None, None, *FactorOutcome]))
    @precondition(lambda self: self.world.asked)
    def the_store_answers(self, outcome: FactorOutcome | None) -> None:
        self.world.store_answers(outcome)

    @rule(outcome=st.sampled_from(list(FaceOutcome)), late=st.integers(0, 2), n=st.integers(0, 3))
    def a_face(self, outcome: FaceOutcome, late: int, n: int) -> None:
        world, before = self.world, self.world.state
        who = GRACE if outcome in (FaceOutcome.MATCHED, FaceOutcome.AMBIGUOUS) else None
        rival = TWIN if outcome is FaceOutcome.AMBIGUOUS else None
        world.send(FaceDecided(f"o{max(1, self.numbered - n)}", before.epoch - late, outcome, who, rival))
        if late:
            assert world.state == before, "an event of an older epoch had an effect"

    @rule()
    def a_good_face(self) -> None:
        turn = getattr(self.world.state.stage, "turn", None)
        if turn is not None:
            self.world.send(FaceDecided(turn.order.order_id, self.world.state.epoch, FaceOutcome.MATCHED, GRACE))

    @rule(late=st.integers(1, 3))
    def a_late_face_of_this_very_order(self, late: int) -> None:
        before = self.world.state
        turn = getattr(before.stage, "turn", None)
        if turn is not None:
            stale = FaceDecided(turn.order.order_id, before.epoch - late, FaceOutcome.MATCHED, GRACE)
            self.world.send(stale)
            assert self.world.state == before, "an event of an older epoch had an effect"

    @rule(hint=st.sampled_from(["no_face", "come_closer"]))
    def a_hint(self, hint: str) -> None:
        self.world.send(FaceHint(f"o{self.numbered}", self.world.state.epoch, hint))

    @rule()
    def the_camera_is_gone(self) -> None:
        self.world.send(FaceUnavailable(f"o{self.numbered}", self.world.state.epoch, "gone"))

    @rule(cut_in=st.sampled_from(["nothing", "disk", "power"]))
    def a_payer_comes_and_confirms(self, cut_in: str) -> None:
        """The usual way up to the sending of money, so that most lives get there."""
        for _ in range(3):
            if getattr(self.world.state.stage, "turn", None) is None:
                self.world.send(KeyPressed("ok"))
                self.an_order_arrives(90, "face_first", True)
        self.disk()
        self.a_good_face()
        self.disk()
        self.world.asked.clear()
        self.the_right_pin_is_typed()
        if self.world.asked:
            self.world.store_answers()
        self.a_price_is_agreed_to(200, 1)
        if cut_in == "power":
            self.world.power_is_cut()
        elif cut_in == "nothing":
            self.disk()

    @rule()
    def a_payer_without_money_comes(self) -> None:
        self.world.send(LinkUp())
        self.a_payer_comes_and_confirms("nothing")
        self.everything_on_the_wire_gets_through(False)

    @rule(off=st.sampled_from([0, 200, 1849]), keys=st.integers(0, 3))
    def a_price_is_agreed_to(self, off: int, keys: int) -> None:
        """Or not answered in time; the payer may turn to points, and back."""
        for _ in range(keys):
            if isinstance(self.world.state.stage, Reviewing) and self.world.quotes_asked:
                self.world.quote_comes(off)
                self.world.send(KeyPressed("1"))
        self.world.time_passes(1.0)
        if isinstance(self.world.state.stage, Reviewing):
            self.world.send(KeyPressed("ok"))
            AGREED["ok"] += 1

    @rule(
        off=st.sampled_from([0, 200, 1850, -1]), life=st.sampled_from([-1.0, 0.5, 300.0]),
        order=st.sampled_from(["", "o1"]), payer=st.sampled_from(["", "hope"]), spends=st.booleans(),
    )  # fmt: skip
    def a_quote_comes(self, off: int, life: float, order: str, payer: str, spends: bool) -> None:
        """Late, foreign, expired, or of something else than was asked."""
        before = self.world.state
        if off in (0, 200):
            self.world.quote_comes(off, life, order, payer, spends)
            if life < 0 or payer == "hope":
                assert self.world.state == before, "a quote that is expired or foreign had an effect"

    @rule(n=st.integers(0, 3))
    def the_fleet_gives_a_handle(self, n: int) -> None:
        self.world.send(SignUpReady(f"o{max(1, self.numbered - n)}"))
        if self.world.state.counter_taken:
            self.world.send(CounterFree())

    @rule(given_up=st.booleans())
    def a_code_is_shown(self, given_up: bool) -> None:
        for _ in range(2):
            if not isinstance(self.world.state.stage, Paying):
                self.world.send(KeyPressed("cancel"))
                self.an_order_arrives(90, "qr_shown", True)
        self.disk()
        if given_up:
            self.world.send(KeyPressed("cancel"))

    @rule(n=st.integers(0, 3))
    def the_till_takes_an_order_back(self, n: int) -> None:
        self.world.send(OrderWithdrawn(f"o{max(1, self.numbered - n)}", "till"))

    @rule(n=st.integers(0, 5))
    def a_clerk_refunds(self, n: int) -> None:
        self.world.clerk_refunds(n)

    # -- the disk, the wire and time

    @rule()
    @precondition(lambda self: self.world.unwritten)
    def the_disk_catches_up(self) -> None:
        self.world.disk_writes()

    @rule()
    @precondition(lambda self: self.world.unwritten)
    def the_disk_is_full(self) -> None:
        self.world.disk_fails()

    def disk(self) -> None:
        while self.world.unwritten:
            self.world.disk_writes()

    @rule(funds=st.booleans())
    def everything_on_the_wire_gets_through(self, funds: bool) -> None:
        while self.world.wire:
            self.world.wire_delivers(funds)
        while self.world.answers:
            self.world.answer_comes()
        self.disk()

    @rule(seconds=st.sampled_from([11.0, 75.0]))
    def nothing_gets_through_for_long(self, seconds: float) -> None:
        self.world.wire.clear()
        self.world.answers.clear()
        self.world.time_passes(seconds)
        self.disk()

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 20.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.time_passes(seconds)

    @rule(funds=st.booleans(), n=st.integers(0, 5), copies=st.integers(0, 2))
    @precondition(lambda self: self.world.wire)
    def the_wire_delivers(self, funds: bool, n: int, copies: int) -> None:
        self.world.wire_delivers(funds, n, copies)

    @rule(n=st.integers(0, 5), lost=st.booleans())
    @precondition(lambda self: self.world.answers)
    def an_answer_comes(self, n: int, lost: bool) -> None:
        self.world.answer_comes(n, lost)

    @rule(n=st.integers(0, 5))
    def money_is_taken_after_its_reversal(self, n: int) -> None:
        self.world.money_is_taken_late(n)

    @rule()
    def the_link_returns(self) -> None:
        self.world.send(LinkUp())

    @rule(seconds=st.sampled_from([1.0, 30.0]))
    def the_link_is_lost(self, seconds: float) -> None:
        self.world.send(LinkDown())
        self.world.time_passes(seconds)

    @rule()
    def a_payer_pays_while_nobody_can_be_asked(self) -> None:
        self.the_link_is_lost(30.0)
        self.a_payer_comes_and_confirms("nothing")

    @rule(by_s=st.sampled_from([-20.0, 6.0, 30.0]))
    def the_clock_is_put_right(self, by_s: float) -> None:
        self.world.send(ClockCorrected(by_s, "kf-x"))

    @rule()
    def the_power_is_cut(self) -> None:
        self.world.power_is_cut()

    # -- what must always hold

    @invariant()
    def the_money_is_right(self) -> None:
        if hasattr(self, "world"):
            self.world.check()

    def teardown(self) -> None:
        """In the end, with a link and a disk that work, everything is settled and both sides agree."""
        if hasattr(self, "world"):
            self.world.settle()


STEPS = int(os.environ.get("KINGFISHER_STEPS", "20000"))
Life.TestCase.settings = settings(
    max_examples=max(1, STEPS // 50), stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)  # fmt: skip
TestLife = Life.TestCase


def test_those_lives_went_through_every_state_that_money_can_be_in() -> None:
    """Keeps the model honest: a change that makes lives shallow would let everything pass."""
    ends = {Status.APPROVED, Status.DECLINED, Status.REVERSED, Status.REFUNDED}
    seen = {status: REACHED[status] for status in UNSETTLED | ends}
    assert min(seen.values()) >= STEPS // 2000, seen
    assert AGREED["ok"] >= STEPS // 2000

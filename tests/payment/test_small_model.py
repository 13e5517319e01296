"""The small model, exhaustively: one order, a few of each thing, every interleaving up to a depth. No pair of state and
event is undefined, and nothing that follows from any of them is wrong.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import get_args

import pytest
from payment_doubles.world import RIGHT_PIN, World

from daemon.payment import core
from daemon.payment import events as ev
from daemon.payment.emvco import Merchant
from daemon.payment.money import Amount
from daemon.payment.order import Bank, Discount, Identified, Offer, Order, PayRequest, Quote, Turn
from daemon.payment.policy import OfflineCaps, Policy
from daemon.payment.settling import Settling, SettlingTimes, answered, due
from daemon.payment.state import COLLECTING, AskFactor, Paying, Reviewing, Rules, Showing, Stage, State
from daemon.payment.status import TRANSITIONS, UNSETTLED, Status

DEPTH = int(os.environ.get("KINGFISHER_DEPTH", "7"))
GRACE = Identified("grace", 0.8, 0.5, 0.9)
RULES = Rules(
    policy=Policy(offline=OfflineCaps("CNY", 5000, 10**9, 10**9, 1000)), ways=("face_first", "qr_shown"),
    merchant=Merchant("com.example", "M1", "Kingfisher", "Shanghai"), max_attempts=2, max_looks=1,
)  # fmt: skip
MEMBERS = replace(RULES, quote_s=1.0, notice="1", smile=True)
CNY = Amount(1850, "CNY")
Move = Callable[[World], None]


def face(world: World) -> None:
    world.send(ev.FaceDecided("o1", world.state.epoch, ev.FaceOutcome.MATCHED, GRACE))


def pin(world: World) -> None:
    for key in (*RIGHT_PIN, "ok"):
        world.send(ev.KeyPressed(key))


def to_the_next_deadline(world: World) -> None:
    at_s = core.next_deadline(world.state)
    assert at_s is not None
    world.now = max(world.now, at_s)
    world.send(ev.Tick())


def long_offline(world: World) -> None:
    world.send(ev.LinkDown())
    world.now += RULES.offline_after_s


def moves(world: World) -> Iterator[tuple[str, Move]]:
    """Everything that can happen next. What would change nothing by its kind is left to the test of all pairs."""
    stage = world.state.stage
    if not world.orders and not world.unwritten:
        yield "an order", lambda w: w.send(ev.OrderArrived(Order("o1", CNY, None, w.now + 300)))
    if isinstance(stage, COLLECTING):
        yield "a face", face
        yield "menu", lambda w: w.send(ev.KeyPressed("menu"))
        yield "2", lambda w: w.send(ev.KeyPressed("2"))
    if isinstance(stage, AskFactor) and not stage.checking:
        yield "the PIN", pin
    if world.quotes_asked and isinstance(stage, COLLECTING):
        yield "a quote", lambda w: w.quote_comes(200)
        yield "a quote that is over", lambda w: w.quote_comes(200, life_s=-1.0)
        yield "a quote that is soon over", lambda w: w.quote_comes(200, life_s=20.0)
        yield "another payer's quote", lambda w: w.quote_comes(200, payer="hope")
    if isinstance(stage, Reviewing) and not stage.checking:
        yield "agreed", lambda w: w.send(ev.KeyPressed("ok"))
        yield "points", lambda w: w.send(ev.KeyPressed("1"))
        yield "a while", lambda w: w.time_passes(25.0)
    if isinstance(stage, (*COLLECTING, Paying, Showing)):
        yield "cancel", lambda w: w.send(ev.KeyPressed("cancel"))
    if world.asked:
        for outcome in (ev.FactorOutcome.OK, ev.FactorOutcome.LOCKED):
            yield f"the store says {outcome}", lambda w, outcome=outcome: w.store_answers(outcome)  # type: ignore[misc]
    if world.unwritten:
        yield "the disk writes", World.disk_writes
        yield "the disk is full", World.disk_fails
    if world.wire:
        yield "the wire delivers, paid", lambda w: w.wire_delivers(True)
        yield "the wire delivers, not paid", lambda w: w.wire_delivers(False)
        yield "the wire loses", lambda w: w.wire.pop(0) and None
        yield "the wire doubles", lambda w: w.wire_delivers(True, 0, 2)
    if world.answers:
        yield "an answer", World.answer_comes
        yield "an answer is lost", lambda w: w.answer_comes(0, True)
    if core.next_deadline(world.state) is not None:
        yield "time", to_the_next_deadline
    yield "link up", lambda w: w.send(ev.LinkUp())
    yield "link down", long_offline
    yield "power cut", World.power_is_cut
    if any(status is Status.APPROVED for _, status in world.attempts.values()):
        yield "refund", lambda w: w.clerk_refunds(0)
    if any(status is Status.REVERSED for _, status in world.attempts.values()):
        yield "late money", lambda w: w.money_is_taken_late(0)


def told_apart(world: World) -> tuple[str, ...]:
    """What makes two worlds the same: everything but the clock's absolute time and the rules."""
    state, now = world.state, world.now
    stage = state.stage
    until = getattr(stage, "until_s", None)
    settling = [
        (k, s.status, round(min(s.due_s - now, 1e6), 1), s.asked, round(s.give_up_s - now, 1), s.authority)
        for k, s in state.settling.items()
    ]
    turn = getattr(stage, "turn", None)
    shown = (
        type(stage).__name__, None if until is None else round(until - now, 1), getattr(stage, "checking", None),
        len(getattr(stage, "typed", "")), turn and (turn.attempt, turn.looks, turn.flow, turn.step, turn.known.factors),
        getattr(stage, "status", None), getattr(stage, "then", None) is not None, turn and _price(turn, now),
    )  # fmt: skip
    awaiting = [
        (a.submit, a.settled, a.voucher, len(a.effects), a.show and a.show.status) for a in state.awaiting.values()
    ]
    return tuple(
        map(
            repr,
            (
                shown, settling, awaiting, len(state.waiting), state.offline_since is None, sorted(world.orders),
                sorted((o, s.value) for o, s in world.closed.items()), [(k, s) for k, (_, s) in world.attempts.items()],
                [(len(p.changes), p.token in state.awaiting) for p in world.unwritten],
                [(kind, r.attempt) for kind, r in world.wire], [(a.attempt, a.status) for a in world.answers],
                (len(world.asked), len(world.quotes_asked)), sorted(world.gateway.captured.items()),
                sorted(world.gateway.final.items()),
            ),
        )
    )  # fmt: skip


def _price(turn: Turn, now: float) -> tuple[object, ...]:
    price = turn.known.price
    quotes = [None if q is None else (q.amount.minor, q.spends_points, round(q.expires_s - now, 1)) for q in
              (price.quote, price.before, price.agreed)]  # fmt: skip
    return (price.asked_s is None, price.spends_points, *quotes)


def explored(depth: int, begin: World) -> tuple[dict[tuple[str, ...], World], int]:
    """Every world that can be reached in `depth` moves, and how many moves that took; each is checked on the way."""
    seen = {told_apart(begin): begin}
    frontier, taken = [(begin, ())], 0
    for _ in range(depth):
        following: list[tuple[World, tuple[str, ...]]] = []
        for world, path in frontier:
            for name, move in moves(world):
                after = world.copy()
                taken += 1
                try:
                    move(after)
                    after.check()
                except Exception as error:
                    raise AssertionError(" -> ".join((*path, name))) from error
                if (key := told_apart(after)) not in seen:
                    seen[key] = after
                    following.append((after, (*path, name)))
        frontier = following  # type: ignore[assignment]
    return seen, taken


def beginnings() -> Iterator[World]:
    """Nothing yet; a price that is asked for; an attempt that is sent, accepted offline, paid, given up, reversed."""
    yield World(RULES)
    member = World(MEMBERS)
    member.send(ev.OrderArrived(Order("o1", CNY, None, 300.0)))
    member.disk_writes()
    face(member)
    member.disk_writes()
    pin(member)
    yield member
    sent = World(RULES)
    sent.send(ev.OrderArrived(Order("o1", CNY, None, 300.0)))
    offline = sent.copy()
    for world in (sent, offline):
        if world is offline:
            long_offline(world)
        face(world)
        pin(world)
        world.store_answers(ev.FactorOutcome.OK)
        while world.unwritten:
            world.disk_writes()
        yield world
    paid, lost = sent.copy(), sent.copy()
    paid.wire_delivers(True)
    paid.answer_comes()
    paid.disk_writes()
    yield paid
    lost.wire_delivers(True)
    lost.answers.clear()
    lost.time_passes(75.0)
    yield lost.copy()
    for _ in range(3):
        while lost.unwritten:
            lost.disk_writes()
        lost.wire = [item for item in lost.wire if item[0] == "reverse"]
        while lost.wire:
            lost.wire_delivers(True)
        while lost.answers:
            lost.answer_comes()
    assert [status for _, status in lost.attempts.values()] == [Status.REVERSED]
    yield lost


@pytest.fixture(scope="module")
def worlds() -> list[World]:
    found: dict[tuple[str, ...], World] = {}
    for begin in beginnings():
        found |= explored(DEPTH, begin)[0]
    return list(found.values())


def test_every_interleaving_up_to_the_depth_keeps_money_right(worlds):
    reached = {status for world in worlds for _, status in world.attempts.values()}
    assert reached >= UNSETTLED - {Status.UNKNOWN} | {Status.APPROVED, Status.REVERSED, Status.REFUNDED}
    assert Status.WRITTEN_OFF in reached
    assert len(worlds) > 2000, "the model has become shallow"


def test_from_each_of_those_worlds_everything_comes_to_a_right_end(worlds):
    for world in worlds[:: max(1, len(worlds) // 500)]:
        world.copy().settle()


def quote(name: str, off: int, expires_s: float) -> Quote:
    amount = Amount(max(1, 1850 - off), "CNY")
    return Quote(name, amount, expires_s, (Discount("Coupon", off, "applied", "off"),), 30, 30)


ANSWERS_TO_A_STAGE: tuple[ev.Event, ...] = tuple(
    event
    for order_id in ("o1", "o2") for epoch in (0, 1, 2, 3)
    for event in (
        *(ev.FaceDecided(order_id, epoch, outcome, who) for outcome in ev.FaceOutcome for who in (None, GRACE)),
        ev.FaceHint(order_id, epoch, "no_face"), ev.FaceUnavailable(order_id, epoch, "gone"),
        ev.PayerFound(order_id, epoch, "grace"), ev.PayerFound(order_id, epoch, None),
        *(ev.Quoted(order_id, payer, quote("q1", off, life)) for payer in ("grace", "hope") for off in (0, 200, 1850)
          for life in (0.0, 300.0)),
        ev.BanksListed(order_id, epoch, ()), ev.BanksListed(order_id, epoch, (Bank("A", "a"), Bank("B", "b"))),
        *(ev.FactorChecked(order_id, epoch, outcome, 1) for outcome in ev.FactorOutcome),
        *(ev.Answer(order_id, 1 + epoch % 2, status, "r", CNY, None) for status in ev.AnswerStatus),
    )
)  # fmt: skip
EVENTS: tuple[ev.Event, ...] = (
    *ANSWERS_TO_A_STAGE,
    *(ev.KeyPressed(key) for key in ("ok", "cancel", "back", "dot", "menu", "nonsense", *"0129")),
    ev.OrderWithdrawn("o1", "till"), ev.OrderWithdrawn("o2", "till"), ev.SignUpReady("o1"), ev.SignUpReady("o2"),
    ev.Smiled("o1", 1), ev.Smiled("o1", 2), ev.OfferCame("o1", 1, Offer("c1", "x", 1)),
    ev.CodeScanned("134567890123456789"), ev.Persisted(1), ev.Persisted(999), ev.PersistFailed(1, "full"),
    ev.PersistFailed(999, "full"), ev.LinkUp(), ev.LinkDown(), ev.Tick(), ev.CounterTaken(), ev.CounterFree(),
    ev.ClockCorrected(3600, "kf-x"), ev.ClockCorrected(-3600, "kf-x"),
    ev.OrdersFound((Turn(Order("o3", CNY, None, 1e9)),)), ev.OrderArrived(Order("o4", CNY, None, -1)),
    ev.OrderArrived(Order("o5", None, None, 1e9)),
    ev.Passed(Order("o6", CNY, None, 1e9), GRACE), ev.Answer("o1", 1, ev.AnswerStatus.APPROVED, "too_late", CNY, "r"),
    ev.Answer("o1", 1, ev.AnswerStatus.APPROVED, "ok", Amount(1, "CNY"), "r"),
)  # fmt: skip


def every_stage() -> list[State]:
    """One state for each flow's each stage, beside those the exploration finds."""
    found: list[State] = []
    for flow in ("face_first", "phone_first", "id_card", "face_pin_bank", "qr_shown", "qr_scanned"):
        state = State(rules=MEMBERS)
        for event in (
            ev.OrderArrived(Order("o1", CNY, None, 1e9, flow)),
            *(ev.KeyPressed(key) for key in "12345678"), ev.KeyPressed("ok"),
        ):  # fmt: skip
            state, _ = core.step(state, event, 1.0)
            found.append(state)
        for event in (
            ev.PayerFound("o1", state.epoch, "grace"),
            ev.FaceDecided("o1", state.epoch + 1, ev.FaceOutcome.MATCHED, GRACE),
            ev.FaceDecided("o1", state.epoch, ev.FaceOutcome.MATCHED, GRACE),
            *(ev.KeyPressed(key) for key in (*RIGHT_PIN, "ok")),
        ):
            state, _ = core.step(state, event, 1.0)
            found.append(state)
        for epoch in range(state.epoch, state.epoch + 3):
            state, _ = core.step(state, ev.FactorChecked("o1", epoch, ev.FactorOutcome.OK, 2), 1.0)
            found.append(state)
        for event in (ev.Quoted("o1", "grace", quote("q1", 200, 300.0)), ev.KeyPressed("1")):
            state, _ = core.step(state, event, 1.0)
            found.append(state)
    return found


def test_no_pair_of_state_and_event_is_undefined(worlds):
    representatives = {repr(s.stage.__class__) + repr(len(s.settling)) + repr(s.epoch): s for s in every_stage()}
    for world in worlds:
        kinds = sorted(s.status.value for s in world.state.settling.values())
        checking = getattr(world.state.stage, "checking", None)
        representatives.setdefault(f"{type(world.state.stage).__name__} {kinds} {checking}", world.state)
    stages = {type(state.stage) for state in representatives.values()}
    assert stages == {kind for kind in get_args(Stage) if isinstance(kind, type)} | set(COLLECTING)
    assert {type(event) for event in EVENTS} | {ev.ApprovedLate, ev.RefundAsked} == set(get_args(ev.Event))
    for state in representatives.values():
        for event in EVENTS:
            after, _ = core.step(state, event, 2.0)
            stale = isinstance(event, ev.FaceDecided | ev.FactorChecked | ev.PayerFound) and event.epoch < state.epoch
            assert not stale or after == state, (state.stage, event)


def test_no_pair_of_an_attempts_state_and_an_answer_is_undefined():
    request = PayRequest("o1", 1, CNY, "grace", ("face", "pin"), "simulated", "face_first")
    for status in UNSETTLED - {Status.CONFIRMED}:
        for authority in (None, "clerk"):
            for reason in ("ok", "too_late"):
                for said in ev.AnswerStatus:
                    attempt = Settling(request, status, 0.0, authority=authority)
                    step = answered(attempt, ev.Answer("o1", 1, said, reason, CNY, None))
                    assert step.settling.status in TRANSITIONS[status] | {status}
        due(Settling(request, status, 0.0), 1.0, SettlingTimes())

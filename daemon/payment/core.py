"""`step(state, event, now) -> (state, effects)`: all that a payment ever does, in one pure function.

`now` is monotonic seconds. The core never waits for a disk: `Persist` is answered later by `Persisted`, and only then
comes what must not happen before (`Submit`, `Reverse`, the success screen). Orders and time are here; `collecting`
knows the payer's steps, `capture` the money.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import assert_never

from daemon.payment import capture, collecting, joining, reviewing, smiling
from daemon.payment import settling as settle
from daemon.payment.closing import close, closed, gathered, is_current, persist
from daemon.payment.effects import Change, Effect, OrderStored
from daemon.payment.events import (
    Answer,
    ApprovedLate,
    BanksListed,
    ClockCorrected,
    CodeScanned,
    CounterFree,
    CounterTaken,
    Event,
    FaceDecided,
    FaceHint,
    FaceUnavailable,
    FactorChecked,
    KeyPressed,
    LinkDown,
    LinkUp,
    OfferCame,
    OrderArrived,
    OrdersFound,
    OrderWithdrawn,
    Passed,
    PayerFound,
    Persisted,
    PersistFailed,
    Quoted,
    RefundAsked,
    SignUpReady,
    Smiled,
    Tick,
)
from daemon.payment.flows import FLOWS, IDENTITY
from daemon.payment.order import Order, PayRequest, Turn
from daemon.payment.passage import passed
from daemon.payment.retiming import retimed
from daemon.payment.state import (
    COLLECTING,
    AskFactor,
    AskPayer,
    ChooseBank,
    ChooseWay,
    Idle,
    Key,
    Looking,
    Paying,
    Result,
    Reviewing,
    Rules,
    ScanCode,
    Showing,
    State,
)
from daemon.payment.status import Status
from daemon.payment.withdrawal import withdrawn


def recover(
    rules: Rules, unsettled: tuple[tuple[PayRequest, Status], ...], open_orders: tuple[Turn, ...], now: float,
    refunds: Mapping[Key, str] = MappingProxyType({}),
) -> Result:  # fmt: skip
    """The state after a start, from what the disk says: unsettled attempts are asked about, open orders taken up.
    `refunds` names the authority of those that somebody asked for."""
    state = State(rules=rules)
    state = replace(state, waiting=tuple(_on_its_way(state, turn) for turn in open_orders))
    effects: tuple[Effect, ...] = ()
    for request, status in unsettled:
        state, new = capture.took(
            state,
            settle.recovered(request, status, now, rules.settling, refunds.get((request.order_id, request.attempt))),
        )
        effects += new
    state, more = _next(state, now)
    return state, effects + more


def step(state: State, event: Event, now: float) -> Result:
    """What `event` changes. An event that does not fit the stage changes nothing."""
    state, effects = _step(state, event, now)
    return state, gathered(state, effects) if len(effects) > 1 else effects


def _step(state: State, event: Event, now: float) -> Result:
    match event:
        case OrderArrived():
            return _order_arrived(state, event, now)
        case OrderWithdrawn():
            return withdrawn(state, event, now)
        case Passed():
            return passed(state, event, now)
        case KeyPressed():
            return _key(state, event.key, now)
        case CodeScanned(text):
            return collecting.code_scanned(state, text, now)
        case FaceHint() | FaceDecided() | FaceUnavailable() | PayerFound() | FactorChecked() | BanksListed():
            return _stage_answered(state, event, now) if is_current(state, event.order_id, event.epoch) else (state, ())
        case Quoted():
            return reviewing.quoted(state, event, now)
        case SignUpReady():
            return joining.ready(state, event)
        case Smiled():
            return smiling.smiled(state, event, now)
        case OfferCame():
            return smiling.offered(state, event, now)
        case Persisted():
            return capture.persisted(state, event.token, now)
        case PersistFailed():
            return capture.persist_failed(state, event, now)
        case Answer():
            return capture.answer(state, event, now)
        case ApprovedLate():
            return capture.approved_late(state, event)
        case RefundAsked():
            return capture.refund_asked(state, event)
        case LinkUp():
            return capture.link_up(state, now)
        case LinkDown():
            return replace(state, offline_since=now if state.offline_since is None else state.offline_since), ()
        case OrdersFound(turns):
            found = tuple(_on_its_way(state, turn) for turn in turns)
            return _next(replace(state, waiting=(*state.waiting, *found)), now)
        case ClockCorrected():
            return retimed(state, event), ()
        case CounterTaken():
            return replace(state, counter_taken=True), ()
        case CounterFree():
            return _next(replace(state, counter_taken=False), now)
        case Tick():
            return _tick(state, now)
        case _:
            assert_never(event)


def next_deadline(state: State) -> float | None:
    """When the core wants a `Tick`, in monotonic seconds; None when nothing is due."""
    due = [s.due_s for s in state.settling.values() if s.status is not Status.CONFIRMED]
    match state.stage:
        case Idle() | Paying():
            pass
        case Showing() as showing:
            due.append(_shown_until(state, showing))
        case stage:
            due.append(min(stage.until_s, stage.turn.order.expires_s))
    soonest = min(due, default=math.inf)
    return soonest if soonest < math.inf else None


def _stage_answered(
    state: State,
    event: FaceHint | FaceDecided | FaceUnavailable | PayerFound | FactorChecked | BanksListed,
    now: float,
) -> Result:
    """An answer of this very order and epoch; one that another stage asked for changes nothing."""
    match state.stage, event:
        case Looking() as stage, FaceHint():
            return collecting.face_hinted(state, stage, event), ()
        case Looking() as stage, FaceDecided():
            return collecting.face_decided(state, stage, event, now)
        case (Looking() | AskPayer(checking=True) | AskFactor(checking=True)) as stage, FaceUnavailable(reason=reason):
            return collecting.face_unavailable(state, stage, reason, now)
        case AskPayer() as stage, PayerFound():
            return collecting.payer_found(state, stage, event, now)
        case AskFactor() as stage, FactorChecked():
            return collecting.factor_checked(state, stage, event, now)
        case ChooseBank() as stage, BanksListed(banks=banks):
            return collecting.banks_listed(state, stage, banks, now)
        case _:
            return state, ()


# ---- orders ---------------------------------------------------------------------------------------------------------


def _order_arrived(state: State, event: OrderArrived, now: float) -> Result:
    order = event.order
    if order.expires_s <= now:
        return persist(state, _stored_and_closed(order, Status.EXPIRED, "expired_on_arrival"))
    if len(state.waiting) >= state.rules.max_waiting:
        return persist(state, _stored_and_closed(order, Status.CANCELLED, "too_many_waiting"))
    state, effects = persist(state, (OrderStored(order),)) if order.amount is not None else (state, ())
    state = replace(state, waiting=(*state.waiting, _on_its_way(state, Turn(order))))
    state, more = _next(state, now)
    return state, effects + more


def _stored_and_closed(order: Order, status: Status, reason: str) -> tuple[Change, ...]:
    """An identity check has no row among the orders: its command has one."""
    stored = () if order.amount is None else (OrderStored(order),)
    return (*stored, closed(order, status, reason))


def _on_its_way(state: State, turn: Turn) -> Turn:
    """The flow that the order names, or the box's own; an identity check never pays, whatever it names."""
    wanted = turn.order.flow if turn.order.flow in FLOWS else None
    if turn.order.amount is None:
        wanted = wanted if wanted in ("phone_first", "id_card") else IDENTITY.name
    return replace(turn, flow=wanted or state.rules.flow)


def _next(state: State, now: float) -> Result:
    """Takes up the next waiting order when the counter is free."""
    effects: tuple[Effect, ...] = ()
    while isinstance(state.stage, Idle) and state.waiting and not state.counter_taken:
        turn, rest = state.waiting[0], state.waiting[1:]
        state = replace(state, waiting=rest)
        if turn.order.expires_s <= now:
            state, more = persist(state, (closed(turn.order, Status.EXPIRED, "expired_while_waiting"),))
        else:
            state, more = collecting.enter(state, turn, now)
        effects += more
    return state, effects


def _key(state: State, key: str, now: float) -> Result:
    match state.stage:
        case Showing(then=then) if key == "cancel" and then is not None:
            return close(state, then, Status.CANCELLED, "by_payer", now)
        case Showing() as stage if key == joining.JOIN_KEY:
            return joining.asked(state, stage, now)
        case Showing() as stage if key == smiling.SMILE_KEY:
            return smiling.asked(state, stage, now)
        case Showing() as stage if key in ("ok", "cancel"):
            return _leave_showing(state, stage, now)
        case Paying() as stage if key == "cancel":
            return capture.cancel_code(state, stage)
        case Idle() | Paying() | Showing():
            return state, ()
        case stage:
            return collecting.key(state, stage, key, now)


# ---- time -----------------------------------------------------------------------------------------------------------


def _tick(state: State, now: float) -> Result:
    effects: tuple[Effect, ...] = ()
    for attempt in list(state.settling.values()):
        if attempt.status is not Status.CONFIRMED and attempt.due_s <= now:
            state, more = capture.waited(state, attempt, now)
            effects += more
    more = ()
    stage = state.stage
    if isinstance(stage, Showing) and _shown_until(state, stage) <= now:
        state, more = _leave_showing(state, stage, now)
    elif isinstance(stage, COLLECTING) and stage.turn.order.expires_s <= now:
        state, more = close(state, stage.turn, Status.EXPIRED, "expired", now)
    elif isinstance(stage, Reviewing) and stage.checking and stage.until_s <= now:
        state, more = reviewing.unanswered(state, stage, now)
    elif isinstance(stage, COLLECTING) and stage.until_s <= now:
        state, more = close(state, stage.turn, Status.CANCELLED, _walked_away(stage), now)
    return state, effects + more


def _shown_until(state: State, stage: Showing) -> float:
    """What is offered gives way to whoever waits."""
    invites = stage.thanks.offer is not None or stage.joins or stage.may_smile
    return stage.brief_until_s if state.waiting and invites else stage.until_s


def _walked_away(stage: Looking | AskPayer | AskFactor | ChooseBank | ChooseWay | ScanCode | Reviewing) -> str:
    match stage:
        case Looking():
            return "no_face"
        case AskFactor(factor=factor):
            return f"no_{factor.value}_typed"
        case AskPayer(by=by):
            return f"no_{by.value}_typed"
        case ScanCode():
            return "no_code_scanned"
        case ChooseBank() | ChooseWay():
            return "nothing_chosen"
        case Reviewing():
            return "nothing_confirmed"
        case _:
            assert_never(stage)


def _leave_showing(state: State, stage: Showing, now: float) -> Result:
    state, left = replace(state, stage=Idle()), smiling.left(stage)
    if stage.then is None:
        state, effects = _next(state, now)
        return state, left + effects
    if stage.then.order.expires_s <= now:
        return close(state, stage.then, Status.EXPIRED, "expired", now)
    return collecting.enter(state, stage.then, now)

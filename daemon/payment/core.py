"""`step(state, event, now) -> (state, effects)`: all that a payment ever does, in one pure function.

`now` is monotonic seconds. The core never waits for a disk: `Persist` is answered later by `Persisted`, and only then
comes what must not happen before (`Submit`, `Reverse`, the success screen).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import assert_never

from daemon.payment import settling as settle
from daemon.payment.effects import (
    AttemptMoved,
    Change,
    CheckPin,
    Effect,
    Halt,
    Noted,
    OrderClosed,
    OrderStored,
    Persist,
    PinCleared,
    Query,
    Reverse,
    StopWatching,
    Submit,
    Watch,
)
from daemon.payment.events import (
    Answer,
    CounterFree,
    CounterTaken,
    Event,
    FaceDecided,
    FaceHint,
    FaceOutcome,
    FaceUnavailable,
    KeyPressed,
    LinkUp,
    OrderArrived,
    OrdersFound,
    Persisted,
    PersistFailed,
    PinChecked,
    PinOutcome,
    Tick,
)
from daemon.payment.order import Identified, PayRequest, Turn
from daemon.payment.policy import Factor, rule
from daemon.payment.settling import Settling
from daemon.payment.state import After, AskPin, Idle, Key, Looking, Paying, Rules, Showing, State
from daemon.payment.status import UNSETTLED, Status

# Whose outcome is open and was asked about.
ANSWERABLE = UNSETTLED - {Status.CONFIRMED}

Result = tuple[State, tuple[Effect, ...]]

_FACE_REASONS = {
    FaceOutcome.STRANGER: "not_recognised",
    FaceOutcome.SPOOF: "spoof",
    FaceOutcome.AMBIGUOUS: "ambiguous",
}


def recover(
    rules: Rules, unsettled: tuple[tuple[PayRequest, Status], ...], open_orders: tuple[Turn, ...], now: float
) -> Result:
    """The state after a start, from what the disk says: unsettled attempts are asked about, open orders taken up."""
    state = State(rules=rules, waiting=open_orders)
    effects: tuple[Effect, ...] = ()
    for request, status in unsettled:
        done = settle.recovered(request, status, now, rules.settling)
        state, new = _took(state, done)
        effects += new
    state, more = _next(state, now)
    return state, effects + more


def step(state: State, event: Event, now: float) -> Result:
    """What `event` changes. An event that does not fit the stage changes nothing."""
    match event:
        case OrderArrived():
            return _order_arrived(state, event, now)
        case KeyPressed():
            return _key(state, event.key, now)
        case FaceHint():
            if isinstance(state.stage, Looking) and _is_current(state, event.order_id, event.epoch):
                return replace(state, stage=replace(state.stage, hint=event.hint)), ()
            return state, ()
        case FaceDecided():
            if isinstance(state.stage, Looking) and _is_current(state, event.order_id, event.epoch):
                return _face_decided(state, state.stage, event, now)
            return state, ()
        case FaceUnavailable():
            if isinstance(state.stage, Looking) and _is_current(state, event.order_id, event.epoch):
                return _close(state, state.stage.turn, Status.CANCELLED, "camera_unavailable", now)
            return state, ()
        case PinChecked():
            if isinstance(state.stage, AskPin) and _is_current(state, event.order_id, event.epoch):
                return _pin_checked(state, state.stage, event, now)
            return state, ()
        case Persisted():
            return _persisted(state, event.token, now)
        case PersistFailed():
            return _persist_failed(state, event, now)
        case Answer():
            return _answer(state, event, now)
        case LinkUp():
            return _link_up(state, now)
        case OrdersFound(turns):
            return _next(replace(state, waiting=(*state.waiting, *turns)), now)
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
        case Looking(turn, until_s) | AskPin(turn, _, until_s):
            due.append(min(until_s, turn.order.expires_s))
        case Showing(until_s=until_s):
            due.append(until_s)
        case _:
            pass
    soonest = min(due, default=math.inf)
    return soonest if soonest < math.inf else None


# ---- orders and stages ----------------------------------------------------------------------------------------------


def _order_arrived(state: State, event: OrderArrived, now: float) -> Result:
    turn = Turn(event.order)
    if event.order.expires_s <= now:
        return _persist(
            state, (OrderStored(event.order), OrderClosed(event.order.order_id, Status.EXPIRED, "expired_on_arrival"))
        )
    if len(state.waiting) >= state.rules.max_waiting:
        return _persist(
            state, (OrderStored(event.order), OrderClosed(event.order.order_id, Status.CANCELLED, "too_many_waiting"))
        )
    state, effects = _persist(state, (OrderStored(event.order),))
    state = replace(state, waiting=(*state.waiting, turn))
    state, more = _next(state, now)
    return state, effects + more


def _next(state: State, now: float) -> Result:
    """Takes up the next waiting order when the counter is free."""
    effects: tuple[Effect, ...] = ()
    while isinstance(state.stage, Idle) and state.waiting and not state.counter_taken:
        turn, rest = state.waiting[0], state.waiting[1:]
        state = replace(state, waiting=rest)
        if turn.order.expires_s <= now:
            state, more = _persist(state, (OrderClosed(turn.order.order_id, Status.EXPIRED, "expired_while_waiting"),))
        else:
            state, more = _look(state, turn, now)
        effects += more
    return state, effects


def _look(state: State, turn: Turn, now: float) -> Result:
    epoch = state.epoch + 1
    state = replace(state, epoch=epoch, stage=Looking(turn, now + state.rules.look_s))
    return state, (Watch(turn.order.order_id, epoch),)


def _close(state: State, turn: Turn, status: Status, reason: str, now: float) -> Result:
    """The order ends at the counter without any money having moved."""
    order = turn.order
    leave = (StopWatching(),) if isinstance(state.stage, Looking) else ()
    state, effects = _persist(state, (OrderClosed(order.order_id, status, reason),))
    state = replace(state, stage=Showing(order, status, reason, now + state.rules.show_s))
    return state, leave + effects


def _retry_or_close(state: State, turn: Turn, reason: str, now: float) -> Result:
    """A refused face: shown, and looked at again until `max_looks`."""
    turn = replace(turn, looks=turn.looks + 1)
    noted = Noted("face_refused", {"order_id": turn.order.order_id, "reason": reason, "look": turn.looks})
    state, effects = _persist(state, (noted,))
    if turn.looks >= state.rules.max_looks:
        state, more = _close(state, turn, Status.CANCELLED, reason, now)
        return state, effects + more
    stage = Showing(turn.order, Status.OPEN, reason, now + state.rules.show_s, then=turn)
    return replace(state, stage=stage), (StopWatching(), *effects)


# ---- the face and the factor ----------------------------------------------------------------------------------------


def _face_decided(state: State, stage: Looking, event: FaceDecided, now: float) -> Result:
    turn = stage.turn
    if event.who is None or event.outcome in (FaceOutcome.STRANGER, FaceOutcome.SPOOF):
        return _retry_or_close(state, turn, _FACE_REASONS.get(event.outcome, "not_recognised"), now)
    ruling = rule(state.rules.policy, turn.order.amount, event.who, event.outcome is FaceOutcome.AMBIGUOUS)
    facts: dict[str, str | int] = {"order_id": turn.order.order_id, "attempt": turn.attempt}
    facts |= {"factor": ruling.factor.value, "rule": ruling.rule}
    state, effects = _persist(state, (Noted("ruling", facts),))
    match ruling.factor:
        case Factor.REFUSE:
            state, more = _close(state, turn, Status.CANCELLED, ruling.rule, now)
            return state, effects + more
        case Factor.NONE:
            state, more = _confirm(state, turn, event.who, ("face",), now)
            return state, (StopWatching(), *effects, *more)
        case Factor.PIN:
            state = replace(state, stage=AskPin(turn, event.who, now + state.rules.pin_s))
            return state, (StopWatching(), *effects)
        case _:
            assert_never(ruling.factor)


def _key(state: State, key: str, now: float) -> Result:
    match state.stage:
        case Looking(turn=turn) if key == "cancel":
            return _close(state, turn, Status.CANCELLED, "by_payer", now)
        case AskPin() as stage if not stage.checking:
            return _pin_key(state, stage, key, now)
        case Showing(then=then) if key == "cancel" and then is not None:
            return _close(state, then, Status.CANCELLED, "by_payer", now)
        case Showing() if key in ("ok", "cancel"):
            return _leave_showing(state, state.stage, now)
        case _:
            return state, ()


def _pin_key(state: State, stage: AskPin, key: str, now: float) -> Result:
    rules = state.rules
    match key:
        case "cancel":
            return _close(state, stage.turn, Status.CANCELLED, "by_payer", now)
        case "back":
            after = replace(stage, typed=stage.typed[:-1], until_s=now + rules.pin_s)
        case "ok" if len(stage.typed) >= rules.pin_min:
            after = replace(stage, typed="", checking=True, until_s=now + rules.pin_s)
            check = CheckPin(stage.turn.order.order_id, state.epoch, stage.who.payer, stage.typed)
            return replace(state, stage=after), (check,)
        case _ if len(key) == 1 and key in "0123456789" and len(stage.typed) < rules.pin_max:
            after = replace(stage, typed=stage.typed + key, until_s=now + rules.pin_s, wrong_tries_left=None)
        case _:
            return state, ()
    return replace(state, stage=after), ()


def _pin_checked(state: State, stage: AskPin, event: PinChecked, now: float) -> Result:
    if not stage.checking:
        return state, ()
    match event.outcome:
        case PinOutcome.OK | PinOutcome.DURESS:
            duress = event.outcome is PinOutcome.DURESS
            return _confirm(state, stage.turn, stage.who, ("face", "pin"), now, duress=duress)
        case PinOutcome.WRONG:
            noted = Noted("pin_wrong", {"order_id": stage.turn.order.order_id, "tries_left": event.tries_left})
            state, effects = _persist(state, (noted,))
            after = replace(stage, checking=False, wrong_tries_left=event.tries_left, until_s=now + state.rules.pin_s)
            return replace(state, stage=after), effects
        case PinOutcome.LOCKED:
            return _close(state, stage.turn, Status.CANCELLED, "pin_locked", now)
        case PinOutcome.NONE_SET:
            return _close(state, stage.turn, Status.CANCELLED, "no_pin_set", now)
        case _:
            assert_never(event.outcome)


# ---- the money ------------------------------------------------------------------------------------------------------


def _confirm(
    state: State, turn: Turn, who: Identified, factors: tuple[str, ...], now: float, duress: bool = False
) -> Result:
    order = turn.order
    if order.expires_s <= now:
        return _close(state, turn, Status.EXPIRED, "expired_before_confirm", now)
    request = PayRequest(
        order.order_id, turn.attempt, order.amount, who.payer, factors, "simulated", "face_first", duress,
        state.epoch, who,
    )  # fmt: skip
    moved = AttemptMoved(order.order_id, turn.attempt, Status.CONFIRMED, request=request)
    changes: tuple[Change, ...] = (moved, PinCleared(who.payer)) if "pin" in factors else (moved,)
    attempt = Settling(request, Status.CONFIRMED, due_s=now)
    state = replace(state, stage=Paying(turn), settling=_with(state.settling, attempt))
    return _persist(state, changes, After(submit=attempt.key))


def _persisted(state: State, token: int, now: float) -> Result:
    after = state.awaiting.get(token)
    if after is None:
        return state, ()
    state = replace(state, awaiting=MappingProxyType({t: a for t, a in state.awaiting.items() if t != token}))
    effects = after.effects
    if after.settled is not None:
        state = replace(state, settling=_without(state.settling, after.settled))
    if after.submit is not None and after.submit in state.settling:
        done = settle.submitted(state.settling[after.submit], now, state.rules.settling)
        state, more = _took(state, done)
        effects += (Submit(*after.submit), *more)
    for effect in after.effects:
        if isinstance(effect, Reverse) and (attempt := state.settling.get((effect.order_id, effect.attempt))):
            attempt = settle.reversal_written(attempt, now, state.rules.settling)
            state = replace(state, settling=_with(state.settling, attempt))
    if after.show is not None and isinstance(state.stage, Paying) and state.stage.key == after.show_for:
        state = replace(state, stage=replace(after.show, until_s=now + state.rules.show_s))
    return state, effects


def _persist_failed(state: State, event: PersistFailed, now: float) -> Result:
    """Nothing was sent: an attempt that could not be written down is cancelled, and the payer told so."""
    after = state.awaiting.get(event.token)
    if after is None or after.submit is None or after.submit not in state.settling:
        return state, (Halt(event.why),)
    state = replace(state, awaiting=MappingProxyType({t: a for t, a in state.awaiting.items() if t != event.token}))
    state = replace(state, settling=_without(state.settling, after.submit))
    if isinstance(state.stage, Paying) and state.stage.key == after.submit:
        return _close(state, state.stage.turn, Status.CANCELLED, "storage", now)
    return state, ()


def _answer(state: State, event: Answer, now: float) -> Result:
    key = (event.order_id, event.attempt)
    attempt = state.settling.get(key)
    facts: dict[str, str | int] = {"order_id": event.order_id, "attempt": event.attempt, "status": event.status.value}
    if attempt is None or attempt.status not in ANSWERABLE:
        return _persist(state, (Noted("answer_unexpected", facts),))
    if event.amount != attempt.request.amount:
        return _persist(state, (Noted("answer_amount_differs", facts | {"minor": event.amount.minor}),))
    return _took(state, settle.answered(attempt, event, now, state.rules.settling))


def _link_up(state: State, now: float) -> Result:
    effects: tuple[Effect, ...] = ()
    for attempt in list(state.settling.values()):
        match attempt.status:
            case Status.QUERYING if now < attempt.give_up_s:
                # A reconnect starts the waiting afresh, so that a flapping link does not use up the schedule.
                state, more = _took(state, settle.due(replace(attempt, asked=0), now, state.rules.settling))
                effects += more
            case Status.REVERSING if attempt.due_s < math.inf:
                state, more = _took(state, settle.due(attempt, now, state.rules.settling))
                effects += more
            case Status.SUBMITTED:
                effects += (Submit(*attempt.key),)
            case _:
                pass
    return state, effects


def _took(state: State, done: settle.Step) -> Result:
    """Takes over a settling step: persists the states passed, holds back what must wait for the disk."""
    attempt = done.settling
    order_id, number = attempt.key
    over = attempt.status not in UNSETTLED
    if over:  # it counts as unsettled, for whoever is told, until its last state is on disk
        attempt = replace(attempt, due_s=math.inf)
    state = replace(state, settling=_with(state.settling, attempt))
    if not done.passed:
        return state, done.send
    changes: tuple[Change, ...] = tuple(
        AttemptMoved(order_id, number, s, done.reason, done.reference) for s in done.passed
    )
    at_counter = isinstance(state.stage, Paying) and state.stage.key == attempt.key
    show: Showing | None = None
    if attempt.status in (Status.APPROVED, Status.DECLINED, Status.REVERSING, Status.REVERSED) and at_counter:
        assert isinstance(state.stage, Paying)
        again = _again(state, state.stage.turn) if attempt.status is Status.DECLINED else None
        show = Showing(state.stage.turn.order, attempt.status, done.reason, 0.0, done.reference, again)
    if over and (show is None or show.then is None):
        changes += (OrderClosed(order_id, attempt.status, done.reason),)
    held = tuple(e for e in done.send if not isinstance(e, Query))
    after = After(effects=held, show=show, show_for=attempt.key, settled=attempt.key if over else None)
    state, effects = _persist(state, changes, after)
    return state, effects + tuple(e for e in done.send if isinstance(e, Query))


def _again(state: State, turn: Turn) -> Turn | None:
    return replace(turn, attempt=turn.attempt + 1, looks=0) if turn.attempt < state.rules.max_attempts else None


# ---- time -----------------------------------------------------------------------------------------------------------


def _tick(state: State, now: float) -> Result:
    effects: tuple[Effect, ...] = ()
    for attempt in list(state.settling.values()):
        if attempt.status is not Status.CONFIRMED and attempt.due_s <= now:
            state, more = _took(state, settle.due(attempt, now, state.rules.settling))
            effects += more
    match state.stage:
        case Looking(turn=turn) | AskPin(turn=turn) if turn.order.expires_s <= now:
            state, more = _close(state, turn, Status.EXPIRED, "expired", now)
        case Looking(turn=turn, until_s=until_s) if until_s <= now:
            state, more = _close(state, turn, Status.CANCELLED, "no_face", now)
        case AskPin(turn=turn, until_s=until_s) if until_s <= now:
            state, more = _close(state, turn, Status.CANCELLED, "no_pin_typed", now)
        case Showing() as stage if stage.until_s <= now:
            state, more = _leave_showing(state, stage, now)
        case _:
            more = ()
    return state, effects + more


def _leave_showing(state: State, stage: Showing, now: float) -> Result:
    state = replace(state, stage=Idle())
    if stage.then is None:
        return _next(state, now)
    if stage.then.order.expires_s <= now:
        return _close(state, stage.then, Status.EXPIRED, "expired", now)
    return _look(state, stage.then, now)


# ---- small things ---------------------------------------------------------------------------------------------------


def _is_current(state: State, order_id: str, epoch: int) -> bool:
    stage = state.stage
    return epoch == state.epoch and isinstance(stage, Looking | AskPin) and stage.turn.order.order_id == order_id


def _persist(state: State, changes: tuple[Change, ...], after: After | None = None) -> Result:
    token = state.next_token
    awaiting = state.awaiting if after is None else MappingProxyType({**state.awaiting, token: after})
    return replace(state, next_token=token + 1, awaiting=awaiting), (Persist(token, changes),)


def _with(known: Mapping[Key, Settling], attempt: Settling) -> Mapping[Key, Settling]:
    return MappingProxyType({**known, attempt.key: attempt})


def _without(known: Mapping[Key, Settling], key: Key) -> Mapping[Key, Settling]:
    return MappingProxyType({k: v for k, v in known.items() if k != key})

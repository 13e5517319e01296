"""The money: from the moment a payer has confirmed until the attempt's last state, its refund and its voucher."""

from __future__ import annotations

import math
from dataclasses import replace
from types import MappingProxyType

from daemon.payment import emvco, joining, routing, smiling
from daemon.payment import settling as settle
from daemon.payment.closing import close, is_offline, leaving, persist, with_attempt, without_attempt
from daemon.payment.effects import (
    AttemptMoved,
    Change,
    CheckEnded,
    Effect,
    Halt,
    Noted,
    OrderClosed,
    Query,
    Refund,
    Reverse,
    Submit,
)
from daemon.payment.events import Answer, ApprovedLate, PersistFailed, RefundAsked
from daemon.payment.joining import ANONYMOUS
from daemon.payment.order import Known, PayRequest, Turn
from daemon.payment.policy import OfflineCaps
from daemon.payment.settling import Settling
from daemon.payment.state import After, Paying, Result, Showing, State
from daemon.payment.status import UNSETTLED, Status, move

ANSWERABLE = UNSETTLED - {Status.CONFIRMED}  # whose outcome is open and was asked about
FOR_GOOD = frozenset({"order_closed", "order_expired", "already_paid"})  # no other attempt could fare better
SHOWN = (Status.APPROVED, Status.DECLINED, Status.REVERSING, Status.REVERSED)


# ---- the payer has confirmed ----------------------------------------------------------------------------------------


def finish(state: State, turn: Turn, now: float) -> Result:
    """Every step of the flow is done: pay, or say who it is."""
    known = turn.known
    if turn.order.amount is None:
        who = known.candidates[0].payer
        ended = CheckEnded(turn.order.order_id, Status.VERIFIED, "duress" if known.duress else "ok", who, known.factors)
        state, effects = persist(state, (ended,))
        showing = Showing(turn.order, Status.VERIFIED, "ok", now + state.rules.show_s)
        return replace(state, stage=showing), effects
    return _confirm(state, turn, now)


def show_code(state: State, turn: Turn, now: float) -> Result:
    """A code with the order and its amount; the payer's app pays, and the gateway says so."""
    if state.rules.merchant is None or turn.order.amount is None:
        return close(state, turn, Status.CANCELLED, "no_merchant", now)
    try:
        code = emvco.payload(state.rules.merchant, turn.order.amount, turn.order.order_id, turn.attempt)
    except emvco.CodeRefused:
        return close(state, turn, Status.CANCELLED, "no_code", now)
    return _confirm(state, turn, now, code=code)


def pay_by_code(state: State, turn: Turn, auth_code: str, now: float) -> Result:
    """The code off the payer's phone is the payer's consent to this amount."""
    return _confirm(state, turn, now, auth_code=auth_code)


def _confirm(state: State, turn: Turn, now: float, code: str | None = None, auth_code: str | None = None) -> Result:
    order, known = turn.order, turn.known
    assert order.amount is not None
    agreed = known.price.agreed
    amount = order.amount if agreed is None else agreed.amount
    if order.expires_s <= now:
        return close(state, turn, Status.EXPIRED, "expired_before_confirm", now)
    who = known.candidates[0] if known.candidates else None
    choice = routing.choose(state, amount, turn.flow, now, auth_code)
    if choice.best is None:
        why = choice.left_out[0].reason if choice.left_out else "none_configured"
        state, effects = persist(state, (Noted("no_channel", {"order_id": order.order_id, "reason": why}),))
        state, more = close(state, turn, Status.CANCELLED, "no_channel", now)
        return state, effects + more
    request = PayRequest(
        order.order_id, turn.attempt, amount, who.payer if who else ANONYMOUS, known.factors,
        choice.best.name, turn.flow, known.duress, state.epoch, who,
        known.bank.token if known.bank else None, auth_code, agreed.quote_id if agreed else None,
        order.amount if agreed else None,
    )  # fmt: skip
    if is_offline(state, now):
        return _accept_offline(state, turn, request, now)
    chosen = {"order_id": order.order_id, "channel": choice.best.name, "reason": choice.candidates[0].reason}
    moved = AttemptMoved(order.order_id, turn.attempt, Status.CONFIRMED, request=request)
    state = routing.tried(state, choice.best.name, now)
    attempt = Settling(request, Status.CONFIRMED, due_s=now)
    paying = Paying(turn, code, now + state.rules.settling.code_s if code else 0.0)
    leave = leaving(state)
    state = replace(state, stage=paying, settling=with_attempt(state.settling, attempt))
    state, effects = persist(state, (Noted("channel", chosen), moved), After(submit=attempt.key))
    return state, leave + effects


def _accept_offline(state: State, turn: Turn, request: PayRequest, now: float) -> Result:
    """Nobody can be asked: taken at the shop's own risk within the caps, or refused."""
    lower = request.quote is not None
    if lower or turn.known.duress or not within_caps(state.rules.policy.offline, request, turn.known):
        return close(state, turn, Status.CANCELLED, "offline", now)
    order_id, number = request.order_id, request.attempt
    attempt = Settling(request, move(Status.CONFIRMED, Status.ACCEPTED_OFFLINE), due_s=now)
    changes = (
        AttemptMoved(order_id, number, Status.CONFIRMED, request=request, offline=True),
        AttemptMoved(order_id, number, Status.ACCEPTED_OFFLINE, "within_caps"),
    )
    state = replace(state, stage=Paying(turn), settling=with_attempt(state.settling, replace(attempt, due_s=math.inf)))
    show = Showing(turn.order, Status.ACCEPTED_OFFLINE, "within_caps", 0.0)
    return persist(state, changes, After(show=show, show_for=attempt.key, voucher=attempt.key))


def within_caps(caps: OfflineCaps, request: PayRequest, known: Known) -> bool:
    """Each cap on its own; the counts are of the last 24 hours on this box. Only a face with a PIN behind it counts."""
    minor, around = request.amount.minor, known.around
    return (
        request.amount.currency == caps.currency
        and minor <= caps.per_payment
        and around.payer_sum_day + minor <= caps.per_payer_day
        and around.box_sum_day + minor <= caps.per_box_day
        and around.payer_count_day + 1 <= caps.payments_per_payer_day
        and {"face", "pin"} <= set(request.factors)
    )


def waited(state: State, attempt: Settling, now: float) -> Result:
    """An attempt's time has come: ask, demand, or give up."""
    if attempt.status is Status.SUBMITTED and attempt.request.flow not in settle.WAITS_FOR_PAYER:
        state = routing.silent(state, attempt.request.channel, now)
    return took(state, settle.due(attempt, now, routing.times_of(state, attempt.request)))


def cancel_code(state: State, stage: Paying) -> Result:
    """The payer gives up while the code is shown: it may have been paid this very moment, so it is reversed."""
    attempt = state.settling.get(stage.key)
    if stage.code is None or attempt is None or attempt.status is not Status.SUBMITTED:
        return state, ()
    return took(state, settle.given_up(attempt, "by_payer"))


# ---- what the disk says ---------------------------------------------------------------------------------------------


def persisted(state: State, token: int, now: float) -> Result:
    after = state.awaiting.get(token)
    if after is None:
        return state, ()
    state = replace(state, awaiting=MappingProxyType({t: a for t, a in state.awaiting.items() if t != token}))
    effects = after.effects
    if after.settled is not None:
        state = replace(state, settling=without_attempt(state.settling, after.settled))
    if after.submit is not None and after.submit in state.settling:
        sent = state.settling[after.submit]
        done = settle.submitted(sent, now, routing.times_of(state, sent.request))
        state, more = took(state, done)
        effects += (Submit(*after.submit), *more)
    for effect in after.effects:
        if isinstance(effect, Reverse | Refund) and (attempt := state.settling.get((effect.order_id, effect.attempt))):
            attempt = settle.demand_written(attempt, now, state.rules.settling)
            state = replace(state, settling=with_attempt(state.settling, attempt))
    if after.voucher is not None and after.voucher in state.settling:
        voucher = replace(state.settling[after.voucher], due_s=now)
        state = replace(state, settling=with_attempt(state.settling, voucher))
    if after.show is not None and isinstance(state.stage, Paying) and state.stage.key == after.show_for:
        invites = after.show.thanks.offer is not None or after.show.joins or after.show.may_smile
        shown_s = state.rules.offer_s if invites else state.rules.show_s
        show = replace(after.show, until_s=now + shown_s, brief_until_s=now + min(shown_s, state.rules.show_s))
        state = replace(state, stage=show)
    return state, effects


def persist_failed(state: State, event: PersistFailed, now: float) -> Result:
    """Nothing was sent: an attempt that could not be written down is cancelled, and the payer told so."""
    after = state.awaiting.get(event.token)
    if after is None or after.submit is None or after.submit not in state.settling:
        return state, (Halt(event.why),)
    state = replace(state, awaiting=MappingProxyType({t: a for t, a in state.awaiting.items() if t != event.token}))
    state = replace(state, settling=without_attempt(state.settling, after.submit))
    if isinstance(state.stage, Paying) and state.stage.key == after.submit:
        return close(state, state.stage.turn, Status.CANCELLED, "storage", now)
    return state, ()


# ---- what the gateway says ------------------------------------------------------------------------------------------


def answer(state: State, event: Answer, now: float) -> Result:
    attempt = state.settling.get((event.order_id, event.attempt))
    facts: dict[str, str | int] = {"order_id": event.order_id, "attempt": event.attempt, "status": event.status.value}
    if attempt is None or attempt.status not in ANSWERABLE:
        return persist(state, (Noted("answer_unexpected", facts),))
    if event.amount != attempt.request.amount:
        return persist(state, (Noted("answer_amount_differs", facts | {"minor": event.amount.minor}),))
    if attempt.status in (Status.SUBMITTED, Status.UNKNOWN, Status.QUERYING):  # the others say nothing of the channel
        state = routing.heard(state, attempt.request.channel, event.status.value, event.reason, now)
    return took(state, settle.answered(attempt, event))


def approved_late(state: State, event: ApprovedLate) -> Result:
    """The reversal had been acknowledged, and yet the money was taken: it goes back as a refund."""
    key = (event.request.order_id, event.request.attempt)
    if key in state.settling:
        return state, ()
    return took(state, settle.refunding(event.request, Status.REVERSED, None))


def refund_asked(state: State, event: RefundAsked) -> Result:
    """The caller has seen the authority, and that the attempt is APPROVED on disk."""
    key = (event.request.order_id, event.request.attempt)
    if key in state.settling:
        return state, ()
    return took(state, settle.refunding(event.request, Status.APPROVED, event.authority))


def link_up(state: State, now: float) -> Result:
    state = replace(state, offline_since=None)
    effects: tuple[Effect, ...] = ()
    for attempt in list(state.settling.values()):
        match attempt.status:
            case Status.QUERYING if now < attempt.give_up_s:
                # A reconnect starts the waiting afresh, so that a flapping link does not use up the schedule.
                state, more = took(state, settle.due(replace(attempt, asked=0), now, state.rules.settling))
                effects += more
            case Status.REVERSING | Status.REFUNDING | Status.ACCEPTED_OFFLINE if attempt.due_s < math.inf:
                state, more = took(state, settle.due(attempt, now, state.rules.settling))
                effects += more
            case Status.SUBMITTED:
                effects += (Submit(*attempt.key),)
            case _:
                pass
    return state, effects


def took(state: State, done: settle.Step) -> Result:
    """Takes over a settling step: persists the states passed, holds back what must wait for the disk."""
    attempt = done.settling
    order_id, number = attempt.key
    over = attempt.status not in UNSETTLED
    if over:  # it counts as unsettled, for whoever is told, until its last state is on disk
        attempt = replace(attempt, due_s=math.inf)
    refunded = attempt.key in state.settling and state.settling[attempt.key].status is Status.REFUNDING
    state = replace(state, settling=with_attempt(state.settling, attempt))
    if not done.passed:
        return state, done.send
    changes: tuple[Change, ...] = tuple(
        AttemptMoved(order_id, number, s, done.reason, done.reference) for s in done.passed
    )
    at_counter = isinstance(state.stage, Paying) and state.stage.key == attempt.key
    show: Showing | None = None
    if attempt.status in SHOWN and at_counter:
        assert isinstance(state.stage, Paying)
        turn = state.stage.turn
        again = _again(state, turn, done.reason) if attempt.status is Status.DECLINED else None
        show = Showing(
            turn.order,
            attempt.status,
            done.reason,
            0.0,
            done.reference,
            again,
            thanks=done.thanks,
            paid=attempt.request.amount,
            attempt=number,
            joins=joining.may_join(state, attempt.request, attempt.status),
            may_smile=smiling.may_smile(state, attempt.status) and done.thanks.offer is None,
        )
    if over and (show is None or show.then is None) and not (refunded and attempt.status is Status.APPROVED):
        changes += (OrderClosed(order_id, attempt.status, done.reason),)
    held = tuple(e for e in done.send if not isinstance(e, Query))
    after = After(effects=held, show=show, show_for=attempt.key, settled=attempt.key if over else None)
    state, effects = persist(state, changes, after)
    return state, effects + tuple(e for e in done.send if isinstance(e, Query))


def _again(state: State, turn: Turn, reason: str) -> Turn | None:
    if turn.attempt >= state.rules.max_attempts or reason in FOR_GOOD:
        return None
    return replace(turn, attempt=turn.attempt + 1, looks=0, step=0, known=Known())

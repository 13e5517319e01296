"""What the display shows for where payment and enrolment stand: a pure translation into the screen's views."""

from __future__ import annotations

import math
import time
from typing import assert_never

from daemon.enrolment import machine as enrolment
from daemon.payment import state as payment
from daemon.payment.collecting import ways_out
from daemon.payment.flows import TOPUP, Step
from daemon.payment.order import Order
from daemon.payment.policy import Factor
from daemon.payment.status import Status
from daemon.screen import views

STEP_S = 0.25  # a countdown moves so often; what else happens meanwhile is no reason to paint the same screen again


def view_of(state: payment.State, enrolling: enrolment.State | None, idle: views.Idle, now: float) -> views.View:
    """`idle` is shown when nobody is at the counter; `now` is monotonic seconds."""
    if enrolling is not None and not isinstance(enrolling, enrolment.Over):
        return _enrolment_view(enrolling)
    match state.stage:
        case payment.Idle():
            return idle
        case payment.Paying() as paying:
            return _paying_view(state, paying, now)
        case payment.Showing() as showing:
            return _outcome_view(showing, state.rules, now)
        case stage:
            return _collecting_view(stage, state.rules, now)


def _collecting_view(stage: payment.Collecting, rules: payment.Rules, now: float) -> views.View:
    turn = stage.turn
    amount = _amount(turn.order)
    left = _left_s(min(stage.until_s, turn.order.expires_s), now)
    others = len(ways_out(rules, turn)) > 1
    if getattr(stage, "checking", False):
        return views.Processing(*amount)
    match stage:
        case payment.Looking(hint="asking"):  # the gateway is asked whose face it is
            return views.Processing(*amount)
        case payment.Looking(hint=hint, done=done, steps=steps):
            topup = turn.flow == TOPUP.name
            return views.Look(*amount, turn.order.title, hint, left, rules.look_s, others, topup, done, steps)
        case payment.AskFactor(factor=Factor.PIN, typed=typed, wrong_tries_left=wrong):
            return views.EnterPin(*amount, len(typed), rules.pin_max, wrong, left, rules.pin_s, others)
        case payment.AskFactor(factor=Factor.ID_CARD, typed=typed, wrong_tries_left=wrong):
            return views.EnterCard(*amount, len(typed), typed[-4:], wrong is not None, left, rules.pin_s, others)
        case payment.AskFactor(factor=factor, typed=typed, wrong_tries_left=wrong):
            phone4 = factor is Factor.PHONE4
            return views.EnterPhone(
                *amount, typed, "last4" if phone4 else "whole", wrong is not None, left, rules.pin_s, others
            )  # fmt: skip
        case payment.AskPayer(by=Step.CARD, typed=typed, unknown=unknown):
            return views.EnterCard(*amount, len(typed), typed[-4:], unknown, left, rules.pin_s, others)
        case payment.AskPayer(typed=typed, unknown=unknown):
            return views.EnterPhone(*amount, typed, "whole", unknown, left, rules.pin_s, others)
        case payment.ChooseWay(ways=ways):
            return views.Choose(*amount, "way", ways, left, rules.pin_s)
        case payment.ChooseBank(banks=None):
            return views.Processing(*amount)
        case payment.ChooseBank(banks=banks):
            return views.Choose(*amount, "bank", tuple(bank.label for bank in banks or ()), left, rules.pin_s)
        case payment.Reviewing():
            return _review_view(stage, left, rules, others)
        case payment.ScanCode():
            return views.ScanCode(*_money(turn.order), left, rules.pin_s, others)
        case _:
            assert_never(stage)


def _review_view(stage: payment.Reviewing, left: float, rules: payment.Rules, others: bool) -> views.View:
    quote = stage.turn.known.price.quote
    listed, currency = _money(stage.turn.order)
    if quote is None:
        return views.Processing(listed, currency)
    rows = tuple(views.CouponRow(one.title, one.off_minor, one.reason, one.short_minor) for one in quote.lines)
    return views.Review(
        quote.amount.minor, currency, listed, rows, quote.points, quote.points_off_minor, quote.spends_points, left,
        rules.pin_s, others,
    )  # fmt: skip


def _paying_view(state: payment.State, paying: payment.Paying, now: float) -> views.View:
    attempt = state.settling.get(paying.key)
    status = attempt.status if attempt is not None else None
    money = _money(paying.turn.order)
    if status in (Status.UNKNOWN, Status.QUERYING, Status.REVERSING):
        return views.Checking(*money)
    if paying.code is not None and status is Status.SUBMITTED:
        left = _left_s(paying.code_until_s, now)
        return views.ShowCode(*money, paying.code, left, state.rules.settling.code_s)
    return views.Processing(*money)


def _left_s(until_s: float, now: float) -> float:
    return max(0.0, math.ceil((until_s - now) / STEP_S) * STEP_S)


def _amount(order: Order) -> tuple[int | None, str]:
    return (None, "") if order.amount is None else _money(order)


def _money(order: Order) -> tuple[int, str]:
    assert order.amount is not None  # an identity check never comes so far
    return order.amount.minor, order.amount.currency


_REASONS = {
    "not_recognised": views.DeclineReason.NOT_RECOGNISED,
    "ambiguous": views.DeclineReason.AMBIGUOUS,
    "spoof": views.DeclineReason.SPOOF,
    "pin_locked": views.DeclineReason.LOCKED,
    "phone_locked": views.DeclineReason.PHONE_WRONG,
    "card_locked": views.DeclineReason.CARD_WRONG,
    "no_pin_set": views.DeclineReason.NOT_SET_UP,
    "no_id_card_set": views.DeclineReason.NOT_SET_UP,
    "no_bank_bound": views.DeclineReason.NOT_SET_UP,
    "offline": views.DeclineReason.OFFLINE,
    "not_paid_in_time": views.DeclineReason.TIMEOUT,
    "no_face": views.DeclineReason.TIMEOUT,
    "no_pin_typed": views.DeclineReason.TIMEOUT,
    "no_phone4_typed": views.DeclineReason.TIMEOUT,
    "no_phone11_typed": views.DeclineReason.TIMEOUT,
    "no_id_card_typed": views.DeclineReason.TIMEOUT,
    "no_phone_typed": views.DeclineReason.TIMEOUT,
    "no_card_typed": views.DeclineReason.TIMEOUT,
    "no_code_scanned": views.DeclineReason.TIMEOUT,
    "nothing_chosen": views.DeclineReason.TIMEOUT,
    "nothing_confirmed": views.DeclineReason.TIMEOUT,
    "quote_refused": views.DeclineReason.COUPON_GONE,
    "insufficient_funds": views.DeclineReason.INSUFFICIENT_FUNDS,
    "order_expired": views.DeclineReason.EXPIRED,
    "never_received": views.DeclineReason.NETWORK,
}


def _outcome_view(showing: payment.Showing, rules: payment.Rules, now: float) -> views.View:
    match showing.status:
        case Status.VERIFIED:
            return views.Verified()
        case Status.APPROVED if showing.smiling:
            return views.Smile(_left_s(showing.until_s, now), rules.smile_s)
        case Status.APPROVED:
            return _approved_view(showing)
        case Status.ACCEPTED_OFFLINE:
            return views.Approved(*_money(showing.order), offline=True)
        case Status.REVERSING | Status.REVERSED:
            return views.Reversed(*_money(showing.order), certain=showing.status is Status.REVERSED)
        case Status.EXPIRED:
            return views.Declined(*_amount(showing.order), reason=views.DeclineReason.EXPIRED)
        case Status.CANCELLED if showing.reason == "by_payer":
            return views.Cancelled()
        case _:
            reason = showing.sentence or _REASONS.get(showing.reason, views.DeclineReason.OTHER)
            return views.Declined(*_amount(showing.order), reason=reason)


def _approved_view(showing: payment.Showing) -> views.View:
    thanks, offer = showing.thanks, showing.thanks.offer
    gift = None
    if offer is not None:
        until = time.strftime("%Y-%m-%d", time.localtime(offer.expires_at))
        gift = views.Gift(offer.code, offer.title, until, offer.red_packet)
    return views.Approved(
        *(showing.paid.minor, showing.paid.currency) if showing.paid else _money(showing.order),
        reference_tail=(showing.reference or "")[-6:] or None, points=thanks.points, points_total=thanks.points_total,
        topup=showing.order.flow == TOPUP.name, offer=gift,
        join="waiting" if showing.joining else "offered" if showing.joins else None,
        smile="seen" if showing.smiled else "offered" if showing.may_smile else None,
    )  # fmt: skip


def _enrolment_view(state: enrolment.State) -> views.View:
    match state:
        case enrolment.Authorising() as asking:
            length = max(8, len(asking.typed))
            return views.Authorise(len(asking.typed), length, asking.wrong_tries_left, asking.checking)
        case enrolment.AskingGuardian():
            return views.AskGuardian()
        case enrolment.Consenting(request):
            adult, terms = request.order_id is not None, request.terms
            fare = (terms.passage_minor, terms.day_minor, terms.currency) if terms else None
            return views.Consent(
                request.purposes, request.notice_version, request.under_14, adult, fare, request.kept_elsewhere
            )
        case enrolment.Capturing(hint=hint, progress=progress):
            return views.EnrolLook(hint, progress)
        case enrolment.NewPin(first=first, typed=typed, mismatch=mismatch):
            return views.NewPin("repeat" if first else "first", len(typed), enrolment.PIN_MAX, mismatch)
        case enrolment.Ended(reason="done"):
            return views.EnrolDone()
        case enrolment.Ended(reason="late"):
            return views.EnrolSaving(late=True)
        case enrolment.Ended(reason=reason):
            return views.EnrolFailed(reason)
        case enrolment.Storing() | enrolment.Over():
            return views.EnrolSaving()

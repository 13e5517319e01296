"""What the display shows for where payment and enrolment stand: a pure translation into the screen's views."""

from __future__ import annotations

from daemon.enrolment import machine as enrolment
from daemon.payment import state as payment
from daemon.payment.order import Order
from daemon.payment.status import Status
from daemon.screen import views


def view_of(state: payment.State, enrolling: enrolment.State | None, idle: views.Idle, now: float) -> views.View:
    """`idle` is shown when nobody is at the counter; `now` is monotonic seconds."""
    if enrolling is not None and not isinstance(enrolling, enrolment.Over):
        return _enrolment_view(enrolling)
    match state.stage:
        case payment.Looking(turn, until_s, hint):
            order, total = turn.order, state.rules.look_s
            left = max(0.0, min(until_s, order.expires_s) - now)
            return views.Look(*_amount(order), order.title, hint, left, total)
        case payment.AskPin(turn, checking=True):
            return views.Processing(*_amount(turn.order))
        case payment.AskPin(turn, _, until_s, typed, wrong_tries_left):
            left = max(0.0, min(until_s, turn.order.expires_s) - now)
            return views.EnterPin(*_amount(turn.order), len(typed), state.rules.pin_max, wrong_tries_left, left)
        case payment.Paying() as paying:
            attempt = state.settling.get(paying.key)
            doubtful = attempt is not None and attempt.status in (Status.UNKNOWN, Status.QUERYING, Status.REVERSING)
            return (views.Checking if doubtful else views.Processing)(*_amount(paying.turn.order))
        case payment.Showing() as showing:
            return _outcome_view(showing)
        case payment.Idle():
            return idle


def _amount(order: Order) -> tuple[int, str]:
    return order.amount.minor, order.amount.currency


_REASONS = {
    "not_recognised": views.DeclineReason.NOT_RECOGNISED,
    "ambiguous": views.DeclineReason.AMBIGUOUS,
    "spoof": views.DeclineReason.SPOOF,
    "pin_locked": views.DeclineReason.LOCKED,
    "no_face": views.DeclineReason.TIMEOUT,
    "no_pin_typed": views.DeclineReason.TIMEOUT,
    "amount_above_limit": views.DeclineReason.POLICY,
    "insufficient_funds": views.DeclineReason.INSUFFICIENT_FUNDS,
    "order_expired": views.DeclineReason.EXPIRED,
    "never_received": views.DeclineReason.NETWORK,
}


def _outcome_view(showing: payment.Showing) -> views.View:
    amount = _amount(showing.order)
    match showing.status:
        case Status.APPROVED:
            return views.Approved(*amount, reference_tail=(showing.reference or "")[-6:] or None)
        case Status.REVERSING | Status.REVERSED:
            return views.Reversed(*amount, certain=showing.status is Status.REVERSED)
        case Status.EXPIRED:
            return views.Declined(*amount, reason=views.DeclineReason.EXPIRED)
        case Status.CANCELLED if showing.reason == "by_payer":
            return views.Cancelled()
        case _:
            return views.Declined(*amount, reason=_REASONS.get(showing.reason, views.DeclineReason.OTHER))


def _enrolment_view(state: enrolment.State) -> views.View:
    match state:
        case enrolment.Authorising() as asking:
            length = max(8, len(asking.typed))
            return views.Authorise(len(asking.typed), length, asking.wrong_tries_left, asking.checking)
        case enrolment.AskingGuardian():
            return views.AskGuardian()
        case enrolment.Consenting(request):
            return views.Consent(request.purposes, request.notice_version, request.under_14)
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

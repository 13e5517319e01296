"""One attempt from CONFIRMED to its last state: who is asked, when, and what an answer means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import assert_never

from daemon.payment.effects import Query, Refund, Reverse, SendVoucher
from daemon.payment.events import Answer, AnswerStatus
from daemon.payment.order import NO_THANKS, PayRequest, Thanks
from daemon.payment.status import Status, move


@dataclass(frozen=True, slots=True)
class SettlingTimes:
    """Seconds on the monotonic clock. `code_s` is how long a code is shown, or its payer may take, for an answer."""

    answer_s: float = 10.0
    code_s: float = 90.0
    query_first_s: float = 1.0
    query_longest_s: float = 15.0
    query_for_s: float = 60.0
    reverse_every_s: float = 15.0

    def answer_within_s(self, request: PayRequest) -> float:
        return self.code_s if request.flow in WAITS_FOR_PAYER else self.answer_s


WAITS_FOR_PAYER = frozenset({"qr_shown", "qr_scanned"})  # the payer's own app may still ask the payer something
APPROVED_LATE = "approved_late"  # why a refund was begun, where nobody asked for it
Sent = Query | Reverse | Refund | SendVoucher


@dataclass(frozen=True, slots=True)
class Settling:
    """An attempt whose money may be on its way. `due_s` is when something must be done again; `authority` is who
    wanted a refund; None: it is of what the gateway approved after the reversal, and is never given up."""

    request: PayRequest
    status: Status
    due_s: float
    asked: int = 0
    give_up_s: float = 0.0
    authority: str | None = None

    @property
    def key(self) -> tuple[str, int]:
        return (self.request.order_id, self.request.attempt)


@dataclass(frozen=True, slots=True)
class Step:
    """What one event did: the states passed through (each is persisted), what to send once they are, and why."""

    settling: Settling
    passed: tuple[Status, ...] = ()
    send: tuple[Sent, ...] = ()
    reason: str = ""
    reference: str | None = None
    thanks: Thanks = NO_THANKS


def submitted(settling: Settling, now: float, times: SettlingTimes) -> Step:
    """The request is on disk and goes out now."""
    due_s = now + times.answer_within_s(settling.request)
    after = replace(settling, status=move(settling.status, Status.SUBMITTED), due_s=due_s)
    return Step(after, (after.status,))


def recovered(
    request: PayRequest, status: Status, now: float, times: SettlingTimes, authority: str | None = None
) -> Step:
    """An attempt found unsettled at start: whether it left the box is not known, so the gateway is asked."""
    if status in (Status.REVERSING, Status.REFUNDING, Status.ACCEPTED_OFFLINE):
        return Step(Settling(request, status, now, authority=authority))
    passed: tuple[Status, ...] = ()
    if status in (Status.CONFIRMED, Status.SUBMITTED):
        status = move(status, Status.UNKNOWN)
        passed += (status,)
    if status is Status.UNKNOWN:
        status = move(status, Status.QUERYING)
        passed += (status,)
    return Step(Settling(request, status, now, 0, now + times.query_for_s), passed, reason="restarted")


def due(settling: Settling, now: float, times: SettlingTimes) -> Step:
    """The time `due_s` has come."""
    match settling.status:
        case Status.SUBMITTED if settling.request.flow in WAITS_FOR_PAYER:
            return given_up(settling, "not_paid_in_time")
        case Status.SUBMITTED:
            after = replace(_in_doubt(settling), give_up_s=now + times.query_for_s)
            asked = _ask(after, now, times)
            return replace(asked, passed=(Status.UNKNOWN, Status.QUERYING), reason="no_answer_in_time")
        case Status.QUERYING if now >= settling.give_up_s:
            return given_up(settling, "no_answer_to_queries")
        case Status.QUERYING:
            return _ask(settling, now, times)
        case Status.REVERSING:
            return _again(settling, Reverse(*settling.key), now, times)
        case Status.REFUNDING:
            return _again(settling, Refund(*settling.key, settling.authority), now, times)
        case Status.ACCEPTED_OFFLINE:
            return _again(settling, SendVoucher(settling.request), now, times)
        case _:
            return Step(replace(settling, due_s=now + times.answer_s))


def given_up(settling: Settling, reason: str) -> Step:
    """Nobody waits for an approval any more: whatever may have been captured is demanded back.

    Nothing is due until this is on disk: `demand_written` starts the schedule.
    """
    passed: tuple[Status, ...] = ()
    if settling.status is Status.SUBMITTED:
        passed = (Status.UNKNOWN, Status.QUERYING)
        settling = _in_doubt(settling)
    after = replace(settling, status=move(settling.status, Status.REVERSING), asked=0, due_s=math.inf)
    return Step(after, (*passed, after.status), (Reverse(*after.key),), reason)


def refunding(request: PayRequest, status: Status, authority: str | None) -> Step:
    """An APPROVED attempt, or a REVERSED one whose approval came late (no `authority`), is to be paid back."""
    after = Settling(request, move(status, Status.REFUNDING), math.inf, authority=authority)
    return Step(after, (after.status,), (Refund(*after.key, authority),), authority or APPROVED_LATE)


def demand_written(settling: Settling, now: float, times: SettlingTimes) -> Settling:
    """REVERSING or REFUNDING is on disk, and the first demand goes out: when the next one is due."""
    repeats = settling.status in (Status.REVERSING, Status.REFUNDING)
    return replace(settling, due_s=now + times.reverse_every_s) if repeats else settling


def answered(settling: Settling, answer: Answer) -> Step:
    """The gateway's word. The caller has compared the amounts."""
    match settling.status:
        case Status.REVERSING:
            return _reversal_answered(settling, answer)
        case Status.REFUNDING:
            return _refund_answered(settling, answer)
        case Status.ACCEPTED_OFFLINE:
            return _voucher_answered(settling, answer)
        case _:
            pass
    match answer.status:
        case AnswerStatus.APPROVED:
            return _settled(settling, Status.APPROVED, answer)
        case AnswerStatus.DECLINED | AnswerStatus.REVERSED:
            return _settled(settling, Status.DECLINED, answer)
        case AnswerStatus.PENDING | AnswerStatus.REFUNDED:
            return Step(settling)  # the schedule goes on; nothing was ever asked to be refunded
        case _:
            assert_never(answer.status)


def _reversal_answered(settling: Settling, answer: Answer) -> Step:
    match answer.status:
        case AnswerStatus.REVERSED | AnswerStatus.DECLINED:
            return _settled(settling, Status.REVERSED, answer)
        case AnswerStatus.APPROVED if answer.reason == "too_late":
            # The gateway holds this box's own word that it took the approval: two truths, for a person to settle.
            return _settled(settling, Status.MANUAL, answer)
        case _:  # pending, or approved while being reversed: the schedule goes on
            return Step(settling)


def _refund_answered(settling: Settling, answer: Answer) -> Step:
    match answer.status:
        case AnswerStatus.REFUNDED:
            return _settled(settling, Status.REFUNDED, answer)
        case AnswerStatus.REVERSED | AnswerStatus.DECLINED if settling.authority is None:
            return _settled(settling, Status.REFUNDED, answer)  # there is nothing left to pay back
        case AnswerStatus.DECLINED:
            # Refused: the sale stands.
            return _settled(settling, Status.APPROVED, answer)
        case AnswerStatus.REVERSED:
            return _settled(settling, Status.MANUAL, answer)
        case _:  # approved or pending: how the capture stands, not the refund; the schedule goes on
            return Step(settling)


def _voucher_answered(settling: Settling, answer: Answer) -> Step:
    match answer.status:
        case AnswerStatus.APPROVED:
            return _settled(settling, Status.APPROVED, answer)
        case AnswerStatus.DECLINED | AnswerStatus.REVERSED:
            return _settled(settling, Status.WRITTEN_OFF, answer)
        case _:
            return Step(settling)


def _settled(settling: Settling, status: Status, answer: Answer) -> Step:
    after = replace(settling, status=move(settling.status, status))
    return Step(after, (status,), reason=answer.reason, reference=answer.reference, thanks=answer.thanks)


def _in_doubt(settling: Settling) -> Settling:
    move(settling.status, Status.UNKNOWN)
    return replace(settling, status=move(Status.UNKNOWN, Status.QUERYING))


def _again(settling: Settling, demand: Sent, now: float, times: SettlingTimes) -> Step:
    return Step(replace(settling, asked=settling.asked + 1, due_s=now + times.reverse_every_s), send=(demand,))


def _ask(settling: Settling, now: float, times: SettlingTimes) -> Step:
    wait = min(times.query_first_s * 2**settling.asked, times.query_longest_s)
    after = replace(settling, asked=settling.asked + 1, due_s=min(now + wait, settling.give_up_s))
    return Step(after, send=(Query(*after.key),))

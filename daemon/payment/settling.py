"""One attempt from CONFIRMED to its last state: who is asked, when, and what an answer means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from daemon.payment.effects import Query, Reverse
from daemon.payment.events import Answer, AnswerStatus
from daemon.payment.order import PayRequest
from daemon.payment.status import Status, move


@dataclass(frozen=True, slots=True)
class SettlingTimes:
    """Seconds on the monotonic clock."""

    answer_s: float = 10.0
    query_first_s: float = 1.0
    query_longest_s: float = 15.0
    query_for_s: float = 60.0
    reverse_every_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Settling:
    """An attempt whose money may be on its way. `due_s` is when something must be done again."""

    request: PayRequest
    status: Status
    due_s: float
    asked: int = 0
    give_up_s: float = 0.0

    @property
    def key(self) -> tuple[str, int]:
        return (self.request.order_id, self.request.attempt)


@dataclass(frozen=True, slots=True)
class Step:
    """What one event did: the states passed through (each is persisted), what to send once they are, and why."""

    settling: Settling
    passed: tuple[Status, ...] = ()
    send: tuple[Query | Reverse, ...] = ()
    reason: str = ""
    reference: str | None = None


def submitted(settling: Settling, now: float, times: SettlingTimes) -> Step:
    """The request is on disk and goes out now."""
    after = replace(settling, status=move(settling.status, Status.SUBMITTED), due_s=now + times.answer_s)
    return Step(after, (after.status,))


def recovered(request: PayRequest, status: Status, now: float, times: SettlingTimes) -> Step:
    """An attempt found unsettled at start: whether it left the box is not known, so the gateway is asked."""
    if status is Status.REVERSING:
        return Step(Settling(request, status, now), send=())
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
        case Status.SUBMITTED:
            move(settling.status, Status.UNKNOWN)
            move(Status.UNKNOWN, Status.QUERYING)
            after = replace(settling, status=Status.QUERYING, give_up_s=now + times.query_for_s)
            asked = _ask(after, now, times)
            return replace(asked, passed=(Status.UNKNOWN, Status.QUERYING), reason="no_answer_in_time")
        case Status.QUERYING if now >= settling.give_up_s:
            # Nothing is due until this is on disk: `reversal_written` starts the schedule.
            after = replace(settling, status=move(settling.status, Status.REVERSING), asked=0, due_s=math.inf)
            return Step(after, (after.status,), (Reverse(*after.key),), "no_answer_to_queries")
        case Status.QUERYING:
            return _ask(settling, now, times)
        case Status.REVERSING:
            after = replace(settling, asked=settling.asked + 1, due_s=now + times.reverse_every_s)
            return Step(after, send=(Reverse(*after.key),))
        case _:
            return Step(replace(settling, due_s=now + times.answer_s))


def reversal_written(settling: Settling, now: float, times: SettlingTimes) -> Settling:
    """REVERSING is on disk, and the first demand goes out: when the next one is due."""
    return replace(settling, due_s=now + times.reverse_every_s) if settling.status is Status.REVERSING else settling


def answered(settling: Settling, answer: Answer, now: float, times: SettlingTimes) -> Step:
    """The gateway's word. The caller has compared the amounts."""
    status = settling.status
    match answer.status:
        case AnswerStatus.APPROVED if status is not Status.REVERSING:
            return _settled(settling, Status.APPROVED, answer)
        case AnswerStatus.DECLINED if status is not Status.REVERSING:
            return _settled(settling, Status.DECLINED, answer)
        case AnswerStatus.REVERSED if status is not Status.REVERSING:
            return _settled(settling, Status.DECLINED, answer)
        case AnswerStatus.REVERSED | AnswerStatus.DECLINED:
            return _settled(settling, Status.REVERSED, answer)
        case AnswerStatus.APPROVED if answer.reason == "too_late":
            # The gateway holds this box's own word that it took the approval: two truths, for a person to settle.
            return _settled(settling, Status.MANUAL, answer)
        case _:  # pending, or approved while being reversed: the schedule goes on
            return Step(settling)


def _settled(settling: Settling, status: Status, answer: Answer) -> Step:
    after = replace(settling, status=move(settling.status, status))
    return Step(after, (status,), reason=answer.reason, reference=answer.reference)


def _ask(settling: Settling, now: float, times: SettlingTimes) -> Step:
    wait = min(times.query_first_s * 2**settling.asked, times.query_longest_s)
    after = replace(settling, asked=settling.asked + 1, due_s=min(now + wait, settling.give_up_s))
    return Step(after, send=(Query(*after.key),))

"""What the face side's decision means to a payment: a pure translation."""

from __future__ import annotations

from daemon.payment import events as ev
from daemon.payment.order import Identified
from pipeline.decision import Decision, Reason


def outcome(decision: Decision) -> ev.FaceOutcome:
    match decision.reason:
        case Reason.MATCHED:
            return ev.FaceOutcome.MATCHED
        case Reason.AMBIGUOUS:
            return ev.FaceOutcome.AMBIGUOUS
        case Reason.SPOOF:
            return ev.FaceOutcome.SPOOF
        case _:
            return ev.FaceOutcome.STRANGER


def identified(decision: Decision) -> Identified | None:
    if decision.handle is None:
        return None
    return Identified(
        decision.handle, decision.score, decision.margin, decision.liveness, challenged=decision.challenged,
        relief=decision.relief,
    )  # fmt: skip


def rival(decision: Decision) -> Identified | None:
    """The look-alike, of an ambiguous decision: behind by the margin."""
    if decision.rival is None:
        return None
    return Identified(
        decision.rival, decision.runner_up, -decision.margin, decision.liveness, challenged=decision.challenged,
        relief=decision.relief,
    )  # fmt: skip

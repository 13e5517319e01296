"""Where the matcher meets the ledger: whose questions are taken, and whom a pay request of an open-loop box charges."""

from __future__ import annotations

import json
import sqlite3

from fleet.matcher.desk import MatcherDesk
from fleet.money import attempts
from mqtt.schemas import AnswerReason, EventBody, PayRequestBody, PayVoucherBody, QuoteRequestBody
from mqtt.schemas.faces import FaceEnrolBody, FaceFactorBody, FaceFindBody, FaceProbeBody, SealedBody

NOT_ENROLLED = frozenset({"enrol.failed", "enrol.cancelled"})


def take(tx: sqlite3.Connection, matcher: MatcherDesk, box: str, asked: SealedBody, now: int) -> None:
    """A question is about an open order of this very box, or about a command that it was given."""
    refusal: str | None = None
    match asked:
        case FaceProbeBody() | FaceFindBody() | FaceFactorBody():
            order = attempts.order(tx, box, asked.order_id)
            if order is None:
                refusal = None if _verifies(tx, box, asked.order_id, now) else "unknown_order"
            elif order["status"] != "open" or now > order["expires_at"]:
                refusal = "order_closed"
        case FaceEnrolBody():
            row = tx.execute(
                "SELECT args, status, expires_at FROM commands WHERE command_id = ? AND box = ? AND command = 'enrol'",
                (asked.command_id, box),
            ).fetchone()
            wanted = None if row is None else json.loads(row["args"])["handle"]
            if row is None or wanted != asked.handle or row["status"] != "open":
                refusal = "unknown_command"
    matcher.ask(box, asked, refusal)


def _verifies(tx: sqlite3.Connection, box: str, command_id: str, now: int) -> bool:
    """Whether this box was asked who stands there, and has not said yet."""
    row = tx.execute(
        "SELECT 1 FROM commands WHERE command_id = ? AND box = ? AND command = 'verify' AND status = 'open'"
        " AND expires_at >= ?",
        (command_id, box, now),
    ).fetchone()
    return row is not None


def verified(matcher: MatcherDesk, box: str, event: EventBody) -> EventBody:
    """The end of an identity check at an open-loop box, with the person's own name; failed where the matcher has named
    nobody so, or has not checked what the box claims. Any other event as it is."""
    if event.event != "verify.done" or event.command_id is None:
        return event
    factors = str(event.data.get("factors", "")).split(",")
    found = matcher.identified(box, event.command_id, event.handle or "", factors)
    if found is None:
        return event
    if found.payer is None:
        reason = (found.refusal or AnswerReason.FACE_UNKNOWN).value
        return event.model_copy(update={"event": "verify.failed", "handle": None, "reason": reason, "data": {}})
    return event.model_copy(update={"handle": found.payer})


def paid_by(matcher: MatcherDesk, box: str, wanted: PayRequestBody) -> tuple[PayRequestBody, AnswerReason | None]:
    """The request in the payer's own name, and what the matcher has against it. The token is used up by it."""
    redeemed = matcher.redeem(box, wanted)
    if redeemed is None:
        return wanted, None
    if redeemed.payer is None:
        return wanted, redeemed.refusal
    return wanted.model_copy(update={"payer": redeemed.payer}), None


def accepted_by(matcher: MatcherDesk, box: str, _voucher: PayVoucherBody) -> AnswerReason | None:
    """An open-loop box knows nobody while it is offline, so it can have accepted nothing."""
    return AnswerReason.FACE_UNNAMED if matcher.is_open_loop(box) else None


def quoted_for(matcher: MatcherDesk, box: str, asked: QuoteRequestBody) -> QuoteRequestBody:
    """In the payer's own name."""
    handle = matcher.whose(box, asked.payer)
    return asked if handle is None else asked.model_copy(update={"payer": handle})


def note_event(tx: sqlite3.Connection, matcher: MatcherDesk, box: str, event: EventBody) -> None:
    """The box's word on an enrolment of its own is the last: it may have given up on an answer that was lost. Heard
    once the command is closed: what was done stays, whatever is said of it later, and by whom."""
    if event.event not in NOT_ENROLLED or event.command_id is None:
        return
    gave_up = tx.execute(
        "SELECT 1 FROM commands WHERE command_id = ? AND box = ? AND command = 'enrol'"
        " AND status IN ('failed', 'cancelled')",
        (event.command_id, box),
    ).fetchone()
    if gave_up is not None:
        matcher.undo(event.command_id)

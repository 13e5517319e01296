"""What the bodies of envelopes look like: one model per type, gathered here from the files of their subjects."""

from __future__ import annotations

from pydantic import ValidationError

from mqtt.envelope import Claims
from mqtt.errors import EnvelopeRefused, RefusalReason
from mqtt.schemas.body import (
    MAX_AMOUNT_MINOR,
    AmountMinor,
    Attempt,
    Body,
    Code,
    Currency,
    Handle,
    Id,
    Sha256,
    Shown,
    UnixTime,
)
from mqtt.schemas.commands import (
    MAX_PARTS,
    CancelArgs,
    CatalogueArgs,
    CommandBody,
    EnrolArgs,
    EraseArgs,
    KillArgs,
    ResultBody,
    VerifyArgs,
)
from mqtt.schemas.configs import MAX_FAULTS, ConfigBody, ConfigFault, ConfigReportBody, Setting, Version
from mqtt.schemas.content import (
    ContentChunkBody,
    ContentNoticeBody,
    ContentPath,
    ContentRequestBody,
    PlayAckBody,
    PlayBody,
    PlayEntry,
)
from mqtt.schemas.faces import FaceAnswerBody, FaceEnrolBody, FaceFactorBody, FaceFindBody, FaceProbeBody
from mqtt.schemas.payments import (
    AnswerReason,
    OfferBody,
    OfferMadeBody,
    OrderBody,
    OrderFlow,
    OrderMadeBody,
    PayAnswerBody,
    PayQueryBody,
    PayRefundBody,
    PayRequestBody,
    PayReverseBody,
    PayVoucherBody,
    PointsBody,
    QuoteBody,
    QuoteLine,
    QuoteRequestBody,
)
from mqtt.schemas.proofs import (
    CheckpointAckBody,
    CheckpointBody,
    DecisionBody,
    EvidenceBody,
    Jws,
    Scaled,
    ScaledDifference,
)
from mqtt.schemas.reports import MAX_UNSETTLED, AttemptRef, EventBody, HealthBody, StateBody, TimeBody, TimeRequestBody
from mqtt.schemas.tries import PayerTries, TriesBody

__all__ = [
    "BODY_OF_TYP",
    "MAX_AMOUNT_MINOR",
    "MAX_FAULTS",
    "MAX_PARTS",
    "MAX_UNSETTLED",
    "AmountMinor",
    "AnswerReason",
    "Attempt",
    "AttemptRef",
    "Body",
    "CancelArgs",
    "CatalogueArgs",
    "CheckpointAckBody",
    "CheckpointBody",
    "Code",
    "CommandBody",
    "ConfigBody",
    "ConfigFault",
    "ConfigReportBody",
    "ContentChunkBody",
    "ContentNoticeBody",
    "ContentPath",
    "ContentRequestBody",
    "Currency",
    "DecisionBody",
    "EnrolArgs",
    "EraseArgs",
    "EventBody",
    "EvidenceBody",
    "FaceAnswerBody",
    "FaceEnrolBody",
    "FaceFactorBody",
    "FaceFindBody",
    "FaceProbeBody",
    "Handle",
    "HealthBody",
    "Id",
    "Jws",
    "KillArgs",
    "OfferBody",
    "OfferMadeBody",
    "OrderBody",
    "OrderFlow",
    "OrderMadeBody",
    "PayAnswerBody",
    "PayQueryBody",
    "PayRefundBody",
    "PayRequestBody",
    "PayReverseBody",
    "PayVoucherBody",
    "PayerTries",
    "PlayAckBody",
    "PlayBody",
    "PlayEntry",
    "PointsBody",
    "QuoteBody",
    "QuoteLine",
    "QuoteRequestBody",
    "ResultBody",
    "Scaled",
    "ScaledDifference",
    "Setting",
    "Sha256",
    "Shown",
    "StateBody",
    "TimeBody",
    "TimeRequestBody",
    "TriesBody",
    "UnixTime",
    "VerifyArgs",
    "Version",
    "parse_body",
]

BODY_OF_TYP: dict[str, type[Body]] = {
    "order": OrderBody,
    "order.made": OrderMadeBody,
    "pay.request": PayRequestBody,
    "pay.voucher": PayVoucherBody,
    "pay.query": PayQueryBody,
    "pay.reverse": PayReverseBody,
    "pay.refund": PayRefundBody,
    "pay.answer": PayAnswerBody,
    "quote.request": QuoteRequestBody,
    "quote": QuoteBody,
    "offer": OfferMadeBody,
    "command": CommandBody,
    "tries": TriesBody,
    "time.request": TimeRequestBody,
    "time": TimeBody,
    "state": StateBody,
    "event": EventBody,
    "config": ConfigBody,
    "config.report": ConfigReportBody,
    "health": HealthBody,
    "result": ResultBody,
    "evidence": EvidenceBody,
    "checkpoint": CheckpointBody,
    "checkpoint.ack": CheckpointAckBody,
    "play": PlayBody,
    "play.ack": PlayAckBody,
    "content": ContentNoticeBody,
    "content.request": ContentRequestBody,
    "content.chunk": ContentChunkBody,
    "face.probe": FaceProbeBody,
    "face.find": FaceFindBody,
    "face.factor": FaceFactorBody,
    "face.enrol": FaceEnrolBody,
    "face.answer": FaceAnswerBody,
}


def parse_body(claims: Claims) -> Body:
    """The body as the model of its type. Raises EnvelopeRefused(BAD_BODY) that names the wrong paths, never values."""
    model = BODY_OF_TYP.get(claims.typ)
    if model is None:
        raise EnvelopeRefused(RefusalReason.BAD_BODY, f"no body is known for {claims.typ}")
    try:
        return model.model_validate(claims.body)
    except ValidationError as error:
        paths = ", ".join(
            f"{'.'.join(str(p) for p in item['loc'])[:80] or 'body'} ({item['type']})" for item in error.errors()[:5]
        )
        raise EnvelopeRefused(RefusalReason.BAD_BODY, paths) from None

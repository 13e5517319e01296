"""What the evidence of one attempt says: pure, and free of any secret or personal data.

Two signatures, in time's order. The *decision* is signed in the transaction that makes the attempt CONFIRMED: what was
to be paid, by which opaque handle, on which grounds. The *evidence* is signed with the attempt's last state and carries
the decision inside, so that neither can be had without the other. Format: `docs/protocol/evidence.md`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from daemon.payment.money import Amount
from daemon.payment.order import PayRequest
from daemon.payment.status import Status
from mqtt.schemas import DecisionBody, EvidenceBody

DECISION_TYP = "decision"
EVIDENCE_TYP = "evidence"
SCALE = 10_000  # scores are integers here: cosine or probability x 10,000, so that every reader hashes the same bytes


@dataclass(frozen=True, slots=True)
class Grounds:
    """What the box decided with. Hashes are SHA-256, hexadecimal."""

    policy_hash: str
    model_hash: str
    thresholds_id: str
    software: str


def fingerprint(value: Mapping[str, Any]) -> str:
    """SHA-256 of the value as canonical JSON: names sorted, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def order_hash(order_id: str, amount: Amount, title: str | None) -> str:
    """What ties the evidence to the order as the payer saw it."""
    return fingerprint(
        {"order_id": order_id, "amount_minor": amount.minor, "currency": amount.currency, "title": title}
    )


def decision(request: PayRequest, title: str | None, grounds: Grounds, wall: int) -> DecisionBody:
    """Of an attempt that is about to be submitted. A duress PIN is a PIN here: the box's disk must not tell."""
    who = request.identified
    return DecisionBody(
        order_id=request.order_id, attempt=request.attempt, epoch=request.epoch,
        order_hash=order_hash(request.order_id, request.listed or request.amount, title),
        amount_minor=request.amount.minor, currency=request.amount.currency, payer=request.payer,
        factors=request.factors, flow=request.flow, channel=request.channel,
        score=_scaled(who.score if who else None), margin=_scaled(who.margin if who else None),
        liveness=_scaled(who.liveness if who else None),
        challenged=who.challenged if who else None, relief=who.relief if who else None,
        policy_hash=grounds.policy_hash, model_hash=grounds.model_hash, thresholds=grounds.thresholds_id,
        software=grounds.software, decided_at=wall,
    )  # fmt: skip


def evidence(
    token: str, order_id: str, attempt: int, status: Status, reason: str, reference: str | None, wall: int
) -> EvidenceBody:
    """`token` is the signed decision of the same attempt."""
    return EvidenceBody(
        decision=token, order_id=order_id, attempt=attempt, status=status.value, reason=reason or status.value,
        reference=reference, at=wall,
    )  # fmt: skip


def _scaled(value: float | None) -> int | None:
    return None if value is None else round(value * SCALE)

"""What a box signs so that somebody else can check it later: decisions, evidence, the journal's head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, StringConstraints

from mqtt.schemas.body import (
    AmountMinor,
    Attempt,
    Body,
    Code,
    Count,
    Currency,
    Handle,
    Id,
    Number,
    Sha256,
    UnixTime,
    matching,
)

Scaled = Annotated[int, Field(strict=True, ge=-10_000, le=10_000)]  # a cosine or a probability, x 10,000
ScaledDifference = Annotated[int, Field(strict=True, ge=-20_000, le=20_000)]  # of two cosines; alone in a gallery: 2
Jws = Annotated[str, StringConstraints(max_length=16_384), matching(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")]


class DecisionBody(Body):
    """What the box decided on before it asked for the money. Signed on its own, it travels inside the evidence.
    `challenged`: this face had turned and blinked as it was asked to; `relief`: the camera's depth spoke for it. Both
    are left out where no face was looked at."""

    LEFT_OUT = frozenset({"challenged", "relief"})

    order_id: Id
    attempt: Attempt
    epoch: Count
    order_hash: Sha256
    amount_minor: AmountMinor
    currency: Currency
    payer: Handle
    factors: Annotated[Sequence[Code], Field(max_length=8)]
    flow: Code
    channel: Code
    score: Scaled | None = None
    margin: ScaledDifference | None = None
    liveness: Scaled | None = None
    challenged: bool | None = None
    relief: bool | None = None
    policy_hash: Sha256
    model_hash: Sha256
    thresholds: Annotated[str, StringConstraints(max_length=128)]
    software: Annotated[str, StringConstraints(max_length=64)]
    decided_at: UnixTime


class EvidenceBody(Body):
    """How an attempt ended, with the signed decision it stands on."""

    decision: Jws
    order_id: Id
    attempt: Attempt
    status: Code
    reason: Code
    reference: Id | None = None
    at: UnixTime


class CheckpointAckBody(Body):
    """The fleet holds this very checkpoint: what it covers may be forgotten once it is old."""

    seq: Number
    head: Sha256


class CheckpointBody(Body):
    """The journal's head: `seq` entries, the last one's hash. What a box has once signed, it can't cut off unseen."""

    seq: Number
    head: Sha256
    at: UnixTime

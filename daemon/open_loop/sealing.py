"""Questions to the gateway's matcher, each sealed to its key and to this very box, order and moment. Pure."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from daemon.enrolment.machine import Request, Word
from daemon.payment.effects import CheckFactor, FindPayer
from daemon.payment.policy import Factor
from mqtt.schemas import Body
from mqtt.schemas.faces import (
    EnrolSecret,
    FaceEnrolBody,
    FaceFactorBody,
    FaceFindBody,
    FaceProbeBody,
    FactorSecret,
    ProbeSecret,
    SealedBody,
    SecretTemplate,
)
from pipeline.capture import Capture
from pipeline.decision import Decision
from secure_store.sealed import seal_to

Sealable = TypeVar("Sealable", bound=SealedBody)
EMPTY = "AAAA"  # stands where the seal comes to stand


@dataclass(frozen=True, slots=True)
class Sealer:
    """`matcher` is the matcher's public key (X25519, 32 bytes), `box` this box's id."""

    matcher: bytes = field(repr=False)
    box: str
    model_hash: str

    def probe(
        self, order_id: str, epoch: int, claimed: str | None, decision: Decision, embedding: bytes, now: int
    ) -> FaceProbeBody:
        """`embedding`: float32, of length 1."""
        body = FaceProbeBody(
            nonce=_nonce(), at=now, sealed=EMPTY, order_id=order_id, epoch=epoch, model_hash=self.model_hash,
            claimed=claimed,
        )  # fmt: skip
        secret = ProbeSecret(
            embedding=_text(embedding), agreement=_share(decision.score), liveness=_share(decision.liveness),
            challenged=decision.challenged,
        )  # fmt: skip
        return self._sealed(body, secret)

    def find(self, asked: FindPayer, now: int) -> FaceFindBody:
        body = FaceFindBody(nonce=_nonce(), at=now, sealed=EMPTY, order_id=asked.order_id, epoch=asked.epoch)
        return self._sealed(body, FactorSecret(typed=asked.number))

    def factor(self, check: CheckFactor, now: int) -> FaceFactorBody:
        body = FaceFactorBody(
            nonce=_nonce(), at=now, sealed=EMPTY, order_id=check.order_id, epoch=check.epoch, payers=check.payers,
            factor=_NAMES[check.factor],
        )  # fmt: skip
        return self._sealed(body, FactorSecret(typed=check.typed))

    def enrolment(self, request: Request, word: Word, pin: str, capture: Capture, now: int) -> FaceEnrolBody:
        body = FaceEnrolBody(
            nonce=_nonce(), at=now, sealed=EMPTY, command_id=request.command_id, handle=request.handle,
            model_hash=capture.model_hash, purposes=request.purposes, notice_version=request.notice_version,
            guardian=word.guardian, authority=word.authority, under_14=request.under_14,
        )  # fmt: skip
        return self._sealed(body, EnrolSecret(templates=_templates(capture), pin=pin))

    def _sealed(self, body: Sealable, secret: Body) -> Sealable:
        sealed = seal_to(self.matcher, secret.model_dump_json().encode(), body.context(self.box))
        return body.model_copy(update={"sealed": base64.b64encode(sealed).decode("ascii")})


_NAMES: dict[Factor, Literal["phone4", "phone11", "pin", "id_card"]] = {
    Factor.PHONE4: "phone4", Factor.PHONE11: "phone11", Factor.PIN: "pin", Factor.ID_CARD: "id_card",
}  # fmt: skip


def _templates(capture: Capture) -> Sequence[SecretTemplate]:
    first = SecretTemplate(embedding=_text(capture.embedding.astype("<f4").tobytes()), quality=_share(capture.quality))
    rest = (
        SecretTemplate(embedding=_text(one.embedding.astype("<f4").tobytes()), quality=_share(one.quality))
        for one in capture.templates
    )
    return (first, *rest)


def _nonce() -> str:
    return secrets.token_hex(16)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _share(value: float) -> float:
    return min(1.0, max(0.0, float(value)))

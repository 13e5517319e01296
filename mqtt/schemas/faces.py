"""What an open-loop box asks the gateway's matcher, and what it answers.

What must stay between the two (an embedding, a phone number, a PIN) is sealed to the matcher's key (RFC 9180). The seal
holds for everything that the body says in clear and for the box that says it: put into another body, or sent by another
box, it does not open.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StringConstraints

from mqtt.schemas.body import Body, Code, Handle, Id, Sha256, UnixTime, matching
from mqtt.schemas.proofs import Scaled, ScaledDifference

Sealed = Annotated[
    str, Field(repr=False), StringConstraints(max_length=49_152, pattern=r"\A[A-Za-z0-9+/]+={0,2}\z")
]  # base64 of what `secure_store.sealed.seal_to` gives
Vector = Annotated[str, Field(repr=False), StringConstraints(max_length=8_192, pattern=r"\A[A-Za-z0-9+/]+={0,2}\z")]
Epoch = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Share = Annotated[float, Field(ge=0, le=1)]
FaceToken = Annotated[str, Field(repr=False), matching("[A-Za-z0-9_-]{8,256}")]


class SealedBody(Body):
    """`nonce` is new for each question; `at` is the box's clock."""

    TYP: ClassVar[str]

    nonce: Id
    at: UnixTime
    sealed: Sealed

    def context(self, box: str) -> str:
        """What the seal is bound to: the box and everything said in clear, in one spelling."""
        clear = self.model_dump(mode="json", exclude={"sealed"})
        return json.dumps({**clear, "box": box, "typ": self.TYP}, sort_keys=True, separators=(",", ":"))


class FaceProbeBody(SealedBody):
    """Who is it, before this order? `claimed` is whom a phone number named before; none: anybody of the box's place.
    Sealed: a ProbeSecret."""

    TYP = "face.probe"

    order_id: Id
    epoch: Epoch
    model_hash: Sha256  # of the embedding model
    claimed: Handle | None = None


class FaceFindBody(SealedBody):
    """Whose phone number is it? Sealed: a FactorSecret."""

    TYP = "face.find"

    order_id: Id
    epoch: Epoch


class FaceFactorBody(SealedBody):
    """Which of these payers does the factor fit? Sealed: a FactorSecret."""

    TYP = "face.factor"

    order_id: Id
    epoch: Epoch
    payers: Annotated[Sequence[Handle], Field(min_length=1, max_length=2)]
    factor: Literal["phone4", "phone11", "pin", "id_card"]


class FaceEnrolBody(SealedBody):
    """A new payer, whom the command `command_id` names; the consent was given at the box. Sealed: an EnrolSecret."""

    TYP = "face.enrol"

    command_id: Id
    handle: Handle
    model_hash: Sha256
    purposes: Annotated[Sequence[Code], Field(min_length=1, max_length=8)]
    notice_version: Code
    guardian: Code | None = None
    authority: Code | None = None
    under_14: bool = False


class ProbeSecret(Body):
    """`embedding`: base64 of little-endian float32, of length 1, the mean of the frames; `agreement` is that mean's own
    length, with which every cosine is multiplied. `challenged`: an active challenge was passed."""

    embedding: Vector
    agreement: Share
    liveness: Share
    challenged: bool = False


class FactorSecret(Body):
    typed: Annotated[str, Field(repr=False), matching("[0-9A-Za-z]{4,32}")]


class SecretTemplate(Body):
    embedding: Vector
    quality: Share


class EnrolSecret(Body):
    templates: Annotated[Sequence[SecretTemplate], Field(min_length=1, max_length=16)]
    pin: Annotated[str, Field(repr=False), matching("[0-9]{4,12}")]


class FoundPayer(Body):
    """`payer` is a name that is this person's at this box alone. `face_token` is good once, for this order."""

    payer: Handle
    score: Scaled
    margin: ScaledDifference
    face_token: FaceToken


class FaceAnswerBody(Body):
    """`outcome` to a probe: `matched`, `ambiguous` (two look-alikes), `stranger`; to a number: `found` or `stranger`;
    to a factor: `proven`, `duress`, `wrong`, `locked`, `both`, `none_set`; to an enrolment: `enrolled`. `refused`:
    `reason` says why nothing was compared."""

    nonce: Id
    outcome: Literal[
        "matched", "ambiguous", "stranger", "found", "proven", "duress", "wrong", "locked", "both", "none_set",
        "enrolled", "refused",
    ]  # fmt: skip
    reason: Code
    found: Annotated[Sequence[FoundPayer], Field(max_length=2)] = ()
    payer: Handle | None = None  # whom a number or a factor named
    tries_left: Annotated[int, Field(strict=True, ge=0, le=100)] = 0
    expires_at: UnixTime | None = None  # of the tokens

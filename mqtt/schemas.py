"""What the bodies of envelopes look like: frozen, strict, nothing unknown. One model per type."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from mqtt.envelope import Claims
from mqtt.errors import EnvelopeRefused, RefusalReason

MAX_AMOUNT_MINOR = 10**12
MAX_UNSETTLED = 200
MAX_FAULTS = 50  # of a config, in one report
MAX_PARTS = 64
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _shown(text: str) -> str:
    """Nothing that could upset a display: no control, private or bidi-override characters."""
    if any(unicodedata.category(c) in ("Cc", "Cs", "Co", "Zl", "Zp") or c in _BIDI for c in text):
        raise ValueError("characters that can't be shown")
    return text


def _text(pattern: str) -> StringConstraints:
    return StringConstraints(pattern=rf"\A{pattern}\z")


AmountMinor = Annotated[int, Field(strict=True, gt=0, le=MAX_AMOUNT_MINOR)]  # the currency's smallest unit
Currency = Annotated[str, _text("[A-Z]{3}")]  # ISO 4217
Id = Annotated[str, _text("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")]
Handle = Annotated[str, _text("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")]  # a payer's opaque name, never a phone number
Code = Annotated[str, _text("[a-z0-9][a-z0-9_.-]{0,63}")]  # a machine's word: reason, event, factor, channel
Shown = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_shown)]
UnixTime = Annotated[int, Field(strict=True, ge=0, le=2**40)]
Version = Annotated[int, Field(strict=True, ge=1, le=2**40)]  # of a config
Setting = Annotated[str, _text("[a-z][a-z0-9_]{0,39}")]
Attempt = Annotated[int, Field(strict=True, ge=1, le=1000)]


class Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    LEFT_OUT: ClassVar[frozenset[str]] = frozenset()  # members that are not there at all where they are None

    def to_json(self) -> dict[str, Any]:
        """What goes into an envelope."""
        body = self.model_dump(mode="json")
        return {name: value for name, value in body.items() if value is not None or name not in self.LEFT_OUT}


class OrderBody(Body):
    LEFT_OUT = frozenset({"flow", "phone"})

    order_id: Id
    amount_minor: AmountMinor
    currency: Currency
    title: Shown | None = None
    expires_at: UnixTime
    flow: Code | None = None  # how the payer is to be known; none: the box's own way
    phone: Annotated[str, _text("[0-9]{7,15}")] | None = None  # a member's, from a log-in; never written down


class OrderMadeBody(Body):
    """An order that a box made: its id begins with the box's own. `reference` is its till's name for it."""

    order_id: Id
    amount_minor: AmountMinor
    currency: Currency
    title: Shown | None = None
    source: Literal["clerk", "cart", "till"]
    reference: Id | None = None
    made_at: UnixTime
    expires_at: UnixTime


class PayRequestBody(Body):
    LEFT_OUT = frozenset({"account", "auth_code", "face_token", "quote"})

    order_id: Id
    attempt: Attempt
    amount_minor: AmountMinor
    currency: Currency
    payer: Handle
    factors: Annotated[Sequence[Code], Field(max_length=8)]
    channel: Code
    decided_at: UnixTime
    flow: Code
    account: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None  # an opaque token, no PAN
    auth_code: Annotated[str, _text("[A-Za-z0-9]{8,64}")] | None = Field(
        default=None, repr=False
    )  # off the payer's app
    face_token: Annotated[str, _text("[A-Za-z0-9_-]{8,256}")] | None = Field(default=None, repr=False)  # good once
    quote: Id | None = None  # the member's: then the amount is that of the quote


class PayVoucherBody(Body):
    """A payment that the box accepted while it could ask nobody. Repeated until it is answered."""

    order_id: Id
    attempt: Attempt
    amount_minor: AmountMinor
    currency: Currency
    payer: Handle
    factors: Annotated[Sequence[Code], Field(max_length=8)]
    flow: Code
    accepted_at: UnixTime


class PayQueryBody(Body):
    order_id: Id
    attempt: Attempt


class PayReverseBody(Body):
    order_id: Id
    attempt: Attempt


class PayRefundBody(Body):
    """The whole of a captured attempt is to be paid back. Repeated until it is answered `refunded` or `declined`.
    `authority` is whose: clerk or technician; missing where the box itself must pay back what came late."""

    LEFT_OUT = frozenset({"authority"})

    order_id: Id
    attempt: Attempt
    authority: Literal["clerk", "technician"] | None = None


class QuoteRequestBody(Body):
    """What would this member pay for the order, with the coupons he has?"""

    order_id: Id
    payer: Handle


class QuoteLine(Body):
    """One coupon: how much it takes off (0: nothing, and `why` says why not)."""

    title: Shown
    off_minor: Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT_MINOR)]
    reason: Code
    why: Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_shown)]


class QuoteBody(Body):
    """`amount_minor` is what is left to pay: the order's amount less the sum of the lines. Good for a pay request of
    this payer until `expires_at`. `points`: how many the member has."""

    order_id: Id
    payer: Handle
    quote: Id
    amount_minor: AmountMinor
    currency: Currency
    lines: Annotated[Sequence[QuoteLine], Field(max_length=32)]
    points: Annotated[int, Field(strict=True, ge=0)]
    expires_at: UnixTime


class OfferBody(Body):
    """A coupon for the success screen; the QR shown there holds `code` and nothing else."""

    code: Id
    title: Shown
    expires_at: UnixTime


class AnswerReason(StrEnum):
    """The reasons the gateway gives. A box must cope with others: they are words for the journal, not for decisions."""

    OK = "ok"
    IN_PROGRESS = "in_progress"
    UNKNOWN_ORDER = "unknown_order"
    UNKNOWN_PAYER = "unknown_payer"
    AMOUNT_MISMATCH = "amount_mismatch"
    CURRENCY_MISMATCH = "currency_mismatch"
    ORDER_EXPIRED = "order_expired"
    ORDER_CLOSED = "order_closed"
    ALREADY_PAID = "already_paid"
    ATTEMPT_IN_PROGRESS = "attempt_in_progress"
    SUPERSEDED = "superseded"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    NEVER_RECEIVED = "never_received"
    ACQUIRER_DECLINED = "acquirer_declined"
    TOO_LATE = "too_late"
    REVERSED_ON_REQUEST = "reversed_on_request"
    UNKNOWN_CHANNEL = "unknown_channel"
    CHANNEL_REFUSES_CURRENCY = "channel_refuses_currency"
    RESOLVED_BY_OPERATOR = "resolved_by_operator"
    NOTHING_TO_REFUND = "nothing_to_refund"
    QUOTE_REFUSED = "quote_refused"


class PayAnswerBody(Body):
    """`approved`, `declined` and `reversed` are final; `pending` says ask again. The amount is the issued order's;
    it is missing only where the gateway knows no such order of this box. With `unknown_channel`, `channels` says
    which there are."""

    LEFT_OUT = frozenset({"channels", "offer"})

    order_id: Id
    attempt: Attempt
    status: Literal["approved", "declined", "pending", "reversed", "refunded"]
    reason: Code
    amount_minor: AmountMinor | None = None
    currency: Currency | None = None
    reference: Id | None = None
    channels: Annotated[Sequence[Code], Field(max_length=32)] | None = None
    offer: OfferBody | None = None

    @model_validator(mode="after")
    def _approval_names_its_amount(self) -> PayAnswerBody:
        if self.status == "approved" and (self.amount_minor is None or self.currency is None or self.reference is None):
            raise ValueError("an approval names amount, currency and reference")
        return self


class CommandBody(Body):
    """`command_id` is the command's identity: sent again in a new envelope, it is still the same command."""

    command_id: Id
    command: Code
    args: dict[str, JsonValue]


class EnrolArgs(Body):
    """Arguments of the command `enrol`. For a child `under_14` a guardian consents on the box; with the authority
    `clerk` a clerk's or technician's PIN is typed there first."""

    handle: Handle
    purposes: Annotated[Sequence[Code], Field(min_length=1, max_length=8)]
    notice_version: Code
    expires_at: UnixTime
    under_14: bool = False
    authority: Literal["fleet", "clerk"] = "fleet"


class VerifyArgs(Body):
    """Arguments of the command `verify`: who stands before the box? No money moves."""

    expires_at: UnixTime
    title: Shown | None = None
    flow: Literal["identity", "phone_first", "id_card"] = "identity"


class EraseArgs(Body):
    """Arguments of the command `erase`."""

    handle: Handle


class AttemptRef(Body):
    order_id: Id
    attempt: Attempt


class StateBody(Body):
    """What a box has. `online: false` is its last will: signed, and even so a hint only. `session` is made up anew
    for each connection and is the same in its will, so that a late will does not hide a box that is back; `instance`
    is made up at each start, so that two boxes with one key are told apart."""

    online: bool
    session: Id | None = None
    instance: Id | None = None
    versions: dict[Code, int | Annotated[str, StringConstraints(max_length=64)]] = Field(default_factory=dict)
    unsettled: Annotated[Sequence[AttemptRef], Field(max_length=MAX_UNSETTLED)] = ()
    open_orders: Annotated[Sequence[Id], Field(max_length=200)] = ()
    open_commands: Annotated[Sequence[Id], Field(max_length=200)] = ()


class EventBody(Body):
    """Something happened on the box. Names in use: order.open, order.approved (data: attempt), order.cancelled,
    order.expired, enrol.open, enrol.done, enrol.cancelled, enrol.failed, erase.done, erase.failed,
    consent.withdrawn. A departure that no command asked for names its handle, and as reason on whose word it was."""

    event: Code
    at: UnixTime
    order_id: Id | None = None
    command_id: Id | None = None
    handle: Handle | None = None
    reason: Code | None = None
    data: dict[Code, int | bool | Annotated[str, StringConstraints(max_length=256)]] = Field(default_factory=dict)


Scaled = Annotated[int, Field(strict=True, ge=-10_000, le=10_000)]  # a cosine or a probability, x 10,000
ScaledDifference = Annotated[int, Field(strict=True, ge=-20_000, le=20_000)]  # of two cosines; alone in a gallery: 2
Sha256 = Annotated[str, _text("[0-9a-f]{64}")]
Jws = Annotated[str, StringConstraints(max_length=16_384), _text(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")]


class DecisionBody(Body):
    """What the box decided on before it asked for the money. Signed on its own, it travels inside the evidence."""

    order_id: Id
    attempt: Attempt
    epoch: Annotated[int, Field(strict=True, ge=0)]
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


class CheckpointBody(Body):
    """The journal's head: `seq` entries, the last one's hash. What a box has once signed, it can't cut off unseen."""

    seq: Annotated[int, Field(strict=True, ge=1)]
    head: Sha256
    at: UnixTime


class ConfigBody(Body):
    """What the fleet wants of a box, by section and name. `version` only ever grows, for each box."""

    version: Version
    settings: dict[Setting, dict[Code, JsonValue]]


class ConfigFault(Body):
    """One thing that is wrong with a config: the setting's path, and why."""

    path: Annotated[str, StringConstraints(min_length=1, max_length=160)]
    why: Annotated[str, StringConstraints(max_length=240)]


class ConfigReportBody(Body):
    """What became of a config. `trial`: it is in force and watched; the other three are final. `running` is the
    version in force now, 0 for none of the fleet's."""

    version: Version
    outcome: Literal["trial", "applied", "rejected", "rolled_back"]
    running: Annotated[int, Field(strict=True, ge=0, le=2**40)]
    at: UnixTime
    reason: Code | None = None
    errors: Annotated[Sequence[ConfigFault], Field(max_length=MAX_FAULTS)] = ()


class HealthBody(Body):
    """A heartbeat: how the box is. Small, sent now or not at all. `beat_s` says when the next one is due."""

    at: UnixTime
    beat_s: Annotated[int, Field(strict=True, ge=1, le=3600)]
    up_s: Annotated[int, Field(strict=True, ge=0)]
    stage: Code
    conditions: Annotated[Sequence[Code], Field(max_length=32)] = ()
    figures: Annotated[dict[Code, Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]], Field(max_length=32)] = (
        Field(default_factory=dict)
    )


class ResultBody(Body):
    """A part of what a remote command brought to light: `part` of `parts`, base64 of `media`."""

    command_id: Id
    part: Annotated[int, Field(strict=True, ge=1, le=MAX_PARTS)]
    parts: Annotated[int, Field(strict=True, ge=1, le=MAX_PARTS)]
    media: Literal["application/json", "image/png"]
    data: Annotated[str, StringConstraints(max_length=36_000, pattern=r"\A[A-Za-z0-9+/]*={0,2}\z")]


class PlayEntry(Body):
    """One complete showing of an advertisement; `seq` grows by one with each, on each box."""

    seq: Annotated[int, Field(strict=True, ge=1)]
    campaign: Id
    sha256: Sha256
    slot: Code
    at: UnixTime
    seconds: Annotated[int, Field(strict=True, ge=1, le=3600)]


class PlayBody(Body):
    """Proofs of play, repeated until they are acknowledged. `first` is the lowest number the box still has: what is
    missing before it was dropped for want of room."""

    first: Annotated[int, Field(strict=True, ge=1)]
    plays: Annotated[Sequence[PlayEntry], Field(min_length=1, max_length=100)]


class PlayAckBody(Body):
    """The fleet has every showing up to `through`, or knows that it is lost."""

    through: Annotated[int, Field(strict=True, ge=0)]


class ContentNoticeBody(Body):
    """There is new content: come and fetch it now."""

    version: Annotated[int, Field(strict=True, ge=1)]


ContentPath = Annotated[
    str, StringConstraints(max_length=256), _text(r"(?:metadata|targets)(?:/[A-Za-z0-9][A-Za-z0-9._-]*){1,3}")
]


class ContentRequestBody(Body):
    """Where HTTP is blocked: some bytes of a file of the content repository, please."""

    request_id: Id
    path: ContentPath
    offset: Annotated[int, Field(strict=True, ge=0, le=2**40)]
    length: Annotated[int, Field(strict=True, ge=1, le=32 * 1024)]


class ContentChunkBody(Body):
    """The bytes, in base64. `total` is the file's length, -1 where there is none of this name."""

    request_id: Id
    total: Annotated[int, Field(strict=True, ge=-1)]
    data: Annotated[str, StringConstraints(max_length=44 * 1024)]


class KillArgs(Body):
    """Arguments of the command `ads.kill`: every campaign that must not be shown, whatever the document says."""

    campaigns: Annotated[Sequence[Id], Field(max_length=1000)]


class TimeRequestBody(Body):
    nonce: Id


class TimeBody(Body):
    """The fleet's time, for the nonce that the box has just made up. `store`: the highest counter that the box's store
    ever had; a store below it is an older copy that was put back. Left out where the fleet knows of none."""

    nonce: Id
    now: UnixTime
    store: Annotated[int, Field(strict=True, ge=0, le=2**53)] | None = None

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)


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
    "command": CommandBody,
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
    "play": PlayBody,
    "play.ack": PlayAckBody,
    "content": ContentNoticeBody,
    "content.request": ContentRequestBody,
    "content.chunk": ContentChunkBody,
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

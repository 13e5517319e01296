"""Orders, payments and what a member pays less: the bodies that are about money."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from mqtt.schemas.body import (
    MAX_AMOUNT_MINOR,
    AmountMinor,
    Attempt,
    Body,
    Code,
    Count,
    Currency,
    Handle,
    Id,
    Shown,
    UnixTime,
    matching,
    shown,
)

# How a payer may be known: docs/paying.md.
OrderFlow = Literal[
    "face_first", "face_phone", "phone_first", "id_card", "face_pin_bank", "qr_shown", "qr_scanned", "topup"
]


class OrderBody(Body):
    LEFT_OUT = frozenset({"flow", "phone"})

    order_id: Id
    amount_minor: AmountMinor
    currency: Currency
    title: Shown | None = None
    expires_at: UnixTime
    flow: Code | None = None  # how the payer is to be known; none: the box's own way
    phone: Annotated[str, matching("[0-9]{7,15}")] | None = None  # a member's, from a log-in; never written down


class OrderMadeBody(Body):
    """An order that a box made: its id begins with the box's own. `reference` is its till's name for it."""

    order_id: Id
    amount_minor: AmountMinor
    currency: Currency
    title: Shown | None = None
    source: Literal["clerk", "cart", "till", "gate"]
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
    auth_code: Annotated[str, matching("[A-Za-z0-9]{8,64}")] | None = Field(
        default=None, repr=False
    )  # off the payer's app
    face_token: Annotated[str, matching("[A-Za-z0-9_-]{8,256}")] | None = Field(default=None, repr=False)  # good once
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
    """What would this payer pay for the order, with the coupons he has, and with points if he wants to spend them?"""

    LEFT_OUT = frozenset({"spend_points"})

    order_id: Id
    payer: Handle
    spend_points: bool | None = None


class QuoteLine(Body):
    """One coupon, or the points: how much it takes off (0: nothing, and `why` says why not). `short_minor`: so much
    more the order would have to be."""

    LEFT_OUT = frozenset({"short_minor"})

    title: Shown
    off_minor: Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT_MINOR)]
    reason: Code
    why: Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(shown)]
    short_minor: AmountMinor | None = None


class QuoteBody(Body):
    """`amount_minor` is what is left to pay: the order's amount less the sum of the lines. Good for a pay request of
    this payer until `expires_at`; `quote` is missing where nothing is taken off. `points`: how many the member has;
    `points_off_minor` is what they would take off, and is among the lines with `spend_points`, as it was asked."""

    LEFT_OUT = frozenset({"quote", "spend_points"})

    order_id: Id
    payer: Handle
    quote: Id | None = None
    amount_minor: AmountMinor
    currency: Currency
    lines: Annotated[Sequence[QuoteLine], Field(max_length=32)]
    points: Count
    points_off_minor: Annotated[int, Field(strict=True, ge=0, le=MAX_AMOUNT_MINOR)] = 0
    spend_points: bool | None = None
    expires_at: UnixTime


class OfferBody(Body):
    """A coupon or a red packet (money) for the success screen; the QR shown there holds `code` and nothing else."""

    code: Id
    title: Shown
    expires_at: UnixTime
    kind: Literal["coupon", "red_packet"] = "coupon"


class OfferMadeBody(Body):
    """What the fleet offers for a payment after its approval; good for as long as its payer stands there."""

    order_id: Id
    attempt: Attempt
    offer: OfferBody


class PointsBody(Body):
    """A member's points: what this payment brought, and how many there are now."""

    earned: Count
    total: Count


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
    NOT_THIS_WAY = "not_this_way"
    FACE_UNNAMED = "face_token_missing"
    FACE_UNKNOWN = "face_token_unknown"
    FACE_OF_ANOTHER = "face_token_of_another"
    FACE_USED = "face_token_used"
    FACE_EXPIRED = "face_token_expired"
    FACTOR_UNPROVEN = "factor_unproven"


class PayAnswerBody(Body):
    """`approved`, `declined` and `reversed` are final; `pending` says ask again. The amount is the issued order's;
    it is missing only where the gateway knows no such order of this box. With `unknown_channel`, `channels` says
    which there are."""

    LEFT_OUT = frozenset({"channels", "offer", "points"})

    order_id: Id
    attempt: Attempt
    status: Literal["approved", "declined", "pending", "reversed", "refunded"]
    reason: Code
    amount_minor: AmountMinor | None = None
    currency: Currency | None = None
    reference: Id | None = None
    channels: Annotated[Sequence[Code], Field(max_length=32)] | None = None
    offer: OfferBody | None = None
    points: PointsBody | None = None

    @model_validator(mode="after")
    def _approval_names_its_amount(self) -> PayAnswerBody:
        if self.status == "approved" and (self.amount_minor is None or self.currency is None or self.reference is None):
            raise ValueError("an approval names amount, currency and reference")
        return self

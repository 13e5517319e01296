"""Between the fleet's messages and the box's own values: pure translations, and what of a message is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydantic import ValidationError

from daemon.enrolment import machine as enrolment
from daemon.errors import DaemonError
from daemon.payment.effects import AskQuote, CheckEnded, Refund
from daemon.payment.events import Answer, AnswerStatus, OfferCame, Quoted
from daemon.payment.money import Amount
from daemon.payment.order import Discount, Offer, Order, PayRequest, Quote, Thanks
from daemon.payment.settling import SettlingTimes
from daemon.payment.status import Status
from mqtt.schemas import (
    CancelArgs,
    CatalogueArgs,
    CommandBody,
    EnrolArgs,
    EraseArgs,
    EventBody,
    KillArgs,
    OfferBody,
    OfferMadeBody,
    OrderBody,
    PayAnswerBody,
    PayQueryBody,
    PayRefundBody,
    PayRequestBody,
    PayReverseBody,
    PayVoucherBody,
    QuoteBody,
    QuoteRequestBody,
    TimeRequestBody,
    VerifyArgs,
)


class CommandRefused(DaemonError):
    """A command this box does not know, or whose arguments are wrong. `reason` is a machine's word."""

    def __init__(self, kind: str, reason: str, why: str) -> None:
        self.kind, self.reason = kind, reason
        super().__init__(f"command {kind}: {why}")


@dataclass(frozen=True, slots=True)
class EraseRequest:
    command_id: str
    handle: str


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """The fleet takes an order back."""

    command_id: str
    order_id: str
    handle: str = ""


@dataclass(frozen=True, slots=True)
class CatalogueOffer:
    """A catalogue of this box's own, to be fetched: the file has this SHA-256 and so many bytes."""

    command_id: str
    version: int
    sha256: str
    length: int
    handle: str = ""


@dataclass(frozen=True, slots=True)
class KillAds:
    """These campaigns and no others are switched off."""

    command_id: str
    campaigns: tuple[str, ...]
    handle: str = ""


@dataclass(frozen=True, slots=True)
class IdentityCheck:
    """Somebody is to be verified, and no money moves. The order's id is the command's."""

    command_id: str
    order: Order
    handle: str = ""


def order_of(body: OrderBody, now: float, wall: int) -> Order:
    """Raises AmountRefused for a currency that this box does not know."""
    expires_s = now + body.expires_at - wall
    amount = Amount(body.amount_minor, body.currency)
    return Order(body.order_id, amount, body.title, expires_s, body.flow, body.phone or "")


def answer_of(body: PayAnswerBody, asked: Amount | None) -> Answer | None:
    """None when nobody here waits for it. An answer without an amount speaks of the amount that was asked.

    Raises:
        AmountRefused: for a currency that this box does not know.
    """
    if asked is None:
        return None
    amount = asked
    if body.amount_minor is not None and body.currency is not None:
        amount = Amount(body.amount_minor, body.currency)
    status = AnswerStatus(body.status)
    return Answer(body.order_id, body.attempt, status, body.reason, amount, body.reference, thanks_of(body))


def thanks_of(body: PayAnswerBody) -> Thanks:
    """What an approval brings beside the money."""
    points = body.points
    offer = _offer(body.offer) if body.offer else None
    return Thanks(points.earned if points else 0, points.total if points else None, offer)


def _offer(body: OfferBody) -> Offer:
    return Offer(body.code, body.title, body.expires_at, body.kind == "red_packet")


def quote_request(asked: AskQuote) -> QuoteRequestBody:
    return QuoteRequestBody(
        order_id=asked.order_id, payer=asked.payer, spend_points=True if asked.spends_points else None
    )


def quoted(body: QuoteBody, now: float, wall: int) -> Quoted:
    """Raises AmountRefused for a currency that this box does not know."""
    lines = tuple(Discount(one.title, one.off_minor, one.reason, one.why, one.short_minor) for one in body.lines)
    quote = Quote(
        body.quote, Amount(body.amount_minor, body.currency), now + body.expires_at - wall, lines, body.points,
        body.points_off_minor, body.spend_points is True,
    )  # fmt: skip
    return Quoted(body.order_id, body.payer, quote)


def command_of(
    body: CommandBody, now: float, wall: int
) -> enrolment.Request | EraseRequest | IdentityCheck | CancelOrder | CatalogueOffer | KillAds:
    """Raises CommandRefused."""
    try:
        match body.command:
            case "enrol":
                args = EnrolArgs.model_validate(body.args)
                expires_s = now + args.expires_at - wall
                if expires_s <= now:
                    raise CommandRefused("enrol", "expired", "it came after its time")
                return enrolment.Request(
                    body.command_id, args.handle, tuple(args.purposes), args.notice_version, expires_s,
                    args.under_14, args.authority, args.order_id,
                )  # fmt: skip
            case "erase":
                return EraseRequest(body.command_id, EraseArgs.model_validate(body.args).handle)
            case "order.cancel":
                return CancelOrder(body.command_id, CancelArgs.model_validate(body.args).order_id)
            case "catalogue":
                offer = CatalogueArgs.model_validate(body.args)
                return CatalogueOffer(body.command_id, offer.version, offer.sha256, offer.length)
            case "ads.kill":
                return KillAds(body.command_id, tuple(KillArgs.model_validate(body.args, strict=False).campaigns))
            case "verify":
                wanted = VerifyArgs.model_validate(body.args)
                order = Order(body.command_id, None, wanted.title, now + wanted.expires_at - wall, wanted.flow)
                if order.expires_s <= now:
                    raise CommandRefused("verify", "expired", "it came after its time")
                return IdentityCheck(body.command_id, order)
            case other:
                raise CommandRefused(other, "unknown_command", "this box does not know it")
    except ValidationError as error:
        paths = ", ".join(".".join(str(p) for p in item["loc"]) for item in error.errors())
        raise CommandRefused(body.command, "bad_arguments", f"wrong arguments: {paths}") from error


def pay_request(request: PayRequest, wall: int) -> PayRequestBody:
    """A duress PIN looks like any other on the box; the gateway reads it from the factor's name."""
    factors = tuple("pin_duress" if request.duress and name == "pin" else name for name in request.factors)
    return PayRequestBody(
        order_id=request.order_id, attempt=request.attempt, amount_minor=request.amount.minor,
        currency=request.amount.currency, payer=request.payer, factors=factors, channel=request.channel,
        decided_at=wall, flow=request.flow, account=request.account, auth_code=request.auth_code,
        face_token=request.identified.face_token if request.identified else None, quote=request.quote,
    )  # fmt: skip


def voucher(request: PayRequest, accepted_at: int) -> PayVoucherBody:
    """What was accepted while nobody could be asked; the envelope carries the box's signature."""
    return PayVoucherBody(
        order_id=request.order_id, attempt=request.attempt, amount_minor=request.amount.minor,
        currency=request.amount.currency, payer=request.payer, factors=request.factors, flow=request.flow,
        accepted_at=accepted_at,
    )  # fmt: skip


def request_life_s(times: SettlingTimes) -> int:
    """A pay request that reaches the gateway later than this is refused there: the box is asking what became of it."""
    return math.ceil(times.answer_s) + 20


def query(order_id: str, attempt: int) -> PayQueryBody:
    return PayQueryBody(order_id=order_id, attempt=attempt)


def reverse(order_id: str, attempt: int) -> PayReverseBody:
    return PayReverseBody(order_id=order_id, attempt=attempt)


def refund(wanted: Refund) -> PayRefundBody:
    body = {"order_id": wanted.order_id, "attempt": wanted.attempt, "authority": wanted.authority}
    return PayRefundBody.model_validate(body)


def time_request(nonce: str) -> TimeRequestBody:
    return TimeRequestBody(nonce=nonce)


def order_approved(order_id: str, attempt: int, wall: int) -> EventBody:
    """The box's word that it took the approval: the till hands over the goods on this alone."""
    return EventBody(event="order.approved", at=wall, order_id=order_id, data={"attempt": attempt})


def order_accepted_offline(order_id: str, attempt: int, wall: int) -> EventBody:
    """The goods have gone within the box's caps; the voucher follows."""
    return EventBody(event="order.accepted_offline", at=wall, order_id=order_id, data={"attempt": attempt})


def member_wanted(order_id: str, attempt: int, notice: str, wall: int) -> EventBody:
    """Whoever paid this wants to become a member; the fleet answers with an enrolment that names the order."""
    data: dict[str, int | bool | str] = {"attempt": attempt, "notice_version": notice}
    return EventBody(event="member.wanted", at=wall, order_id=order_id, data=data)


def smile_label(order_id: str, attempt: int, wall: int) -> EventBody:
    """A label that the payer asked for, and nothing of a face."""
    return EventBody(event="label.smile", at=wall, order_id=order_id, data={"attempt": attempt})


def offer_came(body: OfferMadeBody) -> OfferCame:
    return OfferCame(body.order_id, body.attempt, _offer(body.offer))


def identity_checked(ended: CheckEnded, wall: int) -> EventBody:
    """`verify.done` names whom the box has verified and how; `verify.failed` says why nobody. A duress PIN is a reason
    that only the fleet sees."""
    done = ended.status is Status.VERIFIED
    return EventBody(
        event="verify.done" if done else "verify.failed", at=wall, command_id=ended.order_id, handle=ended.payer,
        reason=ended.reason, data={"factors": ",".join(ended.factors)} if done else {},
    )  # fmt: skip


def order_closed(order_id: str, status: Status, reason: str, wall: int) -> EventBody | None:
    """What the fleet is told of an order's end; None where its own answer was that end."""
    match status:
        case Status.EXPIRED:
            return EventBody(event="order.expired", at=wall, order_id=order_id, reason=reason)
        case Status.MANUAL:
            return EventBody(event="order.manual", at=wall, order_id=order_id, reason=reason or status.value)
        case Status.DECLINED:
            return EventBody(event="order.declined", at=wall, order_id=order_id, reason=reason or status.value)
        case Status.WRITTEN_OFF:
            return EventBody(event="order.written_off", at=wall, order_id=order_id, reason=reason or status.value)
        case Status.REFUNDED:
            return EventBody(event="order.refunded", at=wall, order_id=order_id, reason=reason or status.value)
        case Status.CANCELLED | Status.REVERSED:
            return EventBody(event="order.cancelled", at=wall, order_id=order_id, reason=reason or status.value)
        case _:
            return None

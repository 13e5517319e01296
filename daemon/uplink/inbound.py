"""What a verified message means here: an event for a machine, an errand, or a refusal that is written and reported."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass

from daemon.books import commands, payments
from daemon.books.scribe import Scribe
from daemon.enrolment import machine as enrolment
from daemon.logs import note
from daemon.payment import events as ev
from daemon.payment.effects import Noted
from daemon.payment.money import AmountRefused
from daemon.payment.settling import Settling
from daemon.payment.state import Key
from daemon.payment.status import Status
from daemon.people.payer_tries import PayerTries, locks_begin_anew
from daemon.remote.requests import RemoteRequest, request_of
from daemon.uplink import contract
from daemon.uplink.clock import Heard, TrustedClock
from daemon.uplink.contract import CancelOrder, CatalogueOffer, EraseRequest, IdentityCheck, KillAds, order_approved
from daemon.uplink.fleet_link import FleetLink, Message
from mqtt.schemas import (
    CheckpointAckBody,
    CommandBody,
    ConfigBody,
    ContentChunkBody,
    ContentNoticeBody,
    EventBody,
    FaceAnswerBody,
    OfferMadeBody,
    OrderBody,
    PayAnswerBody,
    PlayAckBody,
    QuoteBody,
    TimeBody,
    TriesBody,
)

log = logging.getLogger("daemon.uplink.inbound")


@dataclass(frozen=True, slots=True)
class TimeHeard:
    """The fleet has answered the nonce: the clock may be believed. `corrected`: it was wrong, or in doubt, before.
    `store` is the highest counter that the fleet ever heard of the box's store."""

    corrected: bool
    store: int | None = None
    by_s: int = 0  # so far was the clock behind


Meaning = (
    ev.OrderArrived | ev.Answer | ev.ApprovedLate | ev.Quoted | ev.OfferCame | IdentityCheck | enrolment.Request
    | EraseRequest | TimeHeard | CancelOrder | CatalogueOffer | CheckpointAckBody
    | ConfigBody | KillAds | PlayAckBody | ContentNoticeBody | ContentChunkBody | FaceAnswerBody
    | RemoteRequest
)  # fmt: skip


class Inbound:
    """Used on the main loop alone. What `read` returns is for the caller to act on; an order, an answer or a config is
    not written yet, everything else is."""

    def __init__(
        self, link: FleetLink, reader: sqlite3.Connection, clock: TrustedClock, scribe: Scribe, tries: PayerTries
    ) -> None:
        self._link, self._reader, self._clock, self._scribe, self._tries = link, reader, clock, scribe, tries
        self._orders_seen: set[str] = set()
        self._commands_seen: set[str] = set()  # also those whose row is not on disk yet

    def read(self, message: Message, settling: Mapping[Key, Settling]) -> Meaning | None:
        """None when there is nothing to do: it was repeated, refused, or awaited by nobody."""
        claims = message.claims
        if self._scribe.joins_one_under_way(message):
            self._link.refused["replayed"] += 1
            return None
        if self._link.inbox.seen(self._reader, jti=claims.jti, issuer=claims.iss):
            self._link.refused["replayed"] += 1
            message.done()
            return None
        match message.body:
            case OrderBody() as body:
                return self._order(body, message)
            case PayAnswerBody() as body:
                return self._answer(body, message, settling)
            case CommandBody() as body:
                return self._command(body, message)
            case ConfigBody() as config:
                return config
            case (
                PlayAckBody()
                | ContentNoticeBody()
                | ContentChunkBody()
                | FaceAnswerBody()
                | CheckpointAckBody() as content
            ):
                message.done()  # said twice or lost, it does no harm: nothing of it is worth a write
                return content
            case OfferMadeBody() as made:
                message.done()  # whoever it is for stands there now, or never
                return contract.offer_came(made)
            case QuoteBody() as body:
                return self._quote(body, message)
            case TimeBody(nonce=nonce, now=now, store=store):
                before, wall = self._clock.certain(), self._clock.now()
                heard = self._clock.answered(nonce, now)
                noted = (Noted("clock_corrected", {"now": now}),) if heard is Heard.CORRECTED else ()
                self._scribe.write(noted, message, also=lambda tx: locks_begin_anew(tx, before, self._clock))
                if heard is Heard.IGNORED:
                    return None
                return TimeHeard(heard is Heard.CORRECTED, store, self._clock.now() - wall)
            case TriesBody() as locks:
                self._scribe.write((), message, also=lambda tx: self._tries.adopt(tx, locks))
                return None
            case _:
                self._scribe.write((), message)
                return None

    def _order(self, body: OrderBody, message: Message) -> ev.OrderArrived | None:
        if body.order_id in self._orders_seen or payments.is_known(self._reader, body.order_id):
            note(log, "order_repeated", order=body.order_id)
            self._scribe.write((), message)
            return None
        if not self._clock.trusted:
            self._refuse_order(body, message, "clock_not_trusted", "this box has no trusted clock")
            return None
        try:
            order = contract.order_of(body, time.monotonic(), self._clock.now())
        except AmountRefused as refused:
            self._refuse_order(body, message, "amount_refused", str(refused))
            return None
        note(log, "order_arrived", order=order.order_id, amount=order.amount)
        self._orders_seen.add(order.order_id)
        return ev.OrderArrived(order)

    def forget(self) -> None:
        """From time to time: what is on disk by now need not be remembered here."""
        self._orders_seen = {name for name in self._orders_seen if not payments.is_known(self._reader, name)}
        self._commands_seen = {n for n in self._commands_seen if commands.outcome(self._reader, n) is None}

    def _refuse_order(self, body: OrderBody, message: Message, reason: str, why: str) -> None:
        note(log, "order_refused", logging.WARNING, order=body.order_id, why=why)
        event = EventBody(event="order.cancelled", at=self._clock.now(), order_id=body.order_id, reason=reason)
        noted = Noted("order_refused", {"order_id": body.order_id, "reason": reason})
        self._scribe.write((noted,), message, report=(event,))

    def _answer(
        self, body: PayAnswerBody, message: Message, settling: Mapping[Key, Settling]
    ) -> ev.Answer | ev.ApprovedLate | None:
        facts: dict[str, str | int] = {"order_id": body.order_id, "attempt": body.attempt, "status": body.status}
        known = settling.get((body.order_id, body.attempt))
        try:
            answer = contract.answer_of(body, known.request.amount if known else None)
        except AmountRefused as refused:
            note(log, "answer_refused", logging.WARNING, order=body.order_id, why=str(refused))
            self._scribe.write((Noted("answer_refused", facts),), message)
            return None
        late = self._approved_late(body) if answer is None else None
        if late is not None:
            note(log, "approved_late", logging.ERROR, order=body.order_id, attempt=body.attempt)
            return late
        if answer is None:
            taken = payments.attempt_status(self._reader, body.order_id, body.attempt) is Status.APPROVED
            again = order_approved(body.order_id, body.attempt, self._clock.now())
            if taken and body.status == "approved":  # our word on it may have got lost: the till waits for it
                self._scribe.write((), message, report=(again,))
            else:
                self._scribe.write((Noted("answer_unexpected", facts),), message)
            return None
        note(log, "answer_arrived", order=body.order_id, attempt=body.attempt, status=body.status, reason=body.reason)
        return answer

    def _quote(self, body: QuoteBody, message: Message) -> ev.Quoted | None:
        """Like what is shown it lives in memory alone; it is believed for as long as the clock can tell."""
        message.done()
        if not self._clock.trusted:
            return None
        try:
            return contract.quoted(body, time.monotonic(), self._clock.now())
        except AmountRefused as refused:
            note(log, "quote_refused", logging.WARNING, order=body.order_id, why=str(refused))
            return None

    def _approved_late(self, body: PayAnswerBody) -> ev.ApprovedLate | None:
        """An approval of what this box holds as reversed: the money must go back."""
        known = payments.request_of(self._reader, body.order_id, body.attempt)
        if known is None or known[1] is not Status.REVERSED or body.status != "approved":
            return None
        answer = contract.answer_of(body, known[0].amount)
        return ev.ApprovedLate(known[0], answer) if answer is not None else None

    def _command(
        self, body: CommandBody, message: Message
    ) -> (
        enrolment.Request | EraseRequest | IdentityCheck | CancelOrder | CatalogueOffer | KillAds | RemoteRequest | None
    ):
        wall = self._clock.now()
        before = commands.outcome(self._reader, body.command_id)
        if before is None and body.command_id in self._commands_seen:
            self._scribe.write((), message)
            return None
        if before is not None:
            again: tuple[EventBody, ...] = ()
            if before.event:
                again = (EventBody(event=before.event, at=wall, command_id=body.command_id, reason=before.reason),)
            self._scribe.write((), message, report=again)
            return None
        try:
            request = request_of(body) or contract.command_of(body, time.monotonic(), wall)
        except contract.CommandRefused as refused:
            note(log, "command_refused", logging.WARNING, command=body.command, why=str(refused))
            event = EventBody(event="command.failed", at=wall, command_id=body.command_id, reason=refused.reason)
            self._scribe.write((Noted("command_refused", {"command": body.command}),), message, report=(event,))
            return None
        note(log, "command_arrived", command=body.command, id=body.command_id)
        self._commands_seen.add(body.command_id)
        handle = request.handle
        self._scribe.write(
            (Noted("command_arrived", {"command": body.command, "id": body.command_id}),), message,
            also=lambda tx: commands.begin(tx, body.command_id, body.command, handle, wall),
        )  # fmt: skip
        return request

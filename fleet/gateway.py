"""The gateway's mind: one message in, its effect and its answers written in one transaction. No sockets here.

Everything runs inside a transaction of the desk. What is to be sent goes into the outbox of the same transaction,
so that an answer exists if and only if the postings it speaks of do.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleet.boxes import audit, commands, departures, verifications
from fleet.boxes import register as boxes
from fleet.boxes.catalogues import PATH, Catalogues
from fleet.boxes.tries_desk import TriesDesk
from fleet.channels.adapter import Channel
from fleet.content.desk import ContentDesk
from fleet.content.repository import Repository
from fleet.database import INBOX, OUTBOX
from fleet.health import hearing
from fleet.matcher import at_gateway
from fleet.matcher.desk import MatcherDesk
from fleet.members import quotes, signing_up, smiles
from fleet.money import accounts, box_orders, order_view, orders, tombstones
from fleet.money.payments import Errands, Payments
from fleet.remote import answers
from fleet.rollout.books import Rollouts
from mqtt import topics
from mqtt.envelope import Claims, Limits, Signer, TrustedKey, Verifier
from mqtt.errors import EnvelopeRefused, RefusalReason
from mqtt.outbox import Priority
from mqtt.schemas import (
    MAX_UNSETTLED,
    Body,
    CheckpointAckBody,
    CheckpointBody,
    CommandBody,
    ConfigBody,
    ConfigReportBody,
    ContentRequestBody,
    EventBody,
    EvidenceBody,
    FaceAnswerBody,
    HealthBody,
    OrderBody,
    OrderMadeBody,
    PayAnswerBody,
    PayQueryBody,
    PayRefundBody,
    PayRequestBody,
    PayReverseBody,
    PayVoucherBody,
    PlayBody,
    QuoteRequestBody,
    ResultBody,
    StateBody,
    TimeBody,
    TimeRequestBody,
    parse_body,
)
from mqtt.schemas.faces import SealedBody

log = logging.getLogger("fleet.gateway")

ANSWER_LIFE_S = 24 * 3600
TIME_LIFE_S = 60
FORGET_AT_ONCE = 200  # some 2 ms


@dataclass
class Gateway:
    """`channels`: the payment providers by the names that boxes call them; `errands` makes the calls to them."""

    signer: Signer
    channels: Mapping[str, Channel]
    now: Callable[[], int]
    errands: Errands
    refused: Counter[str] = field(default_factory=Counter)
    payments: Payments = field(init=False)
    tries: TriesDesk = field(init=False)
    rollouts: Rollouts = field(init=False)
    repository: Repository | None = None
    catalogues: Catalogues | None = None
    matcher: MatcherDesk | None = None
    content: ContentDesk | None = field(init=False, default=None)
    phones: dict[str, str] = field(default_factory=dict, repr=False)  # of open orders, from a log-in; in memory alone

    def __post_init__(self) -> None:
        if self.repository is not None:
            self.content = ContentDesk(self.repository, self._put, self.now)
        self.tries = TriesDesk(self._put, self.now)
        self.payments = Payments(self.channels, self.errands, self.now, self._answer, self.tries.note_approved)
        self.rollouts = Rollouts(self._send_config)

    # --- from the boxes -------------------------------------------------------------------------------------------

    def receive(self, tx: sqlite3.Connection, topic: str, payload: bytes, retained: bool) -> None:
        """One message off the wire. What is refused is counted and has no effect."""
        try:
            claims = self._believe(tx, topic, payload, retained)
            body = parse_body(claims)
        except EnvelopeRefused as error:
            self.refused[error.reason] += 1
            count = self.refused[error.reason]
            if error.reason is not RefusalReason.REPLAYED and count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th ...
                log.warning("event=refused reason=%s so_far=%d", error.reason, count)
            return
        boxes.note_seen(tx, claims.iss, self.now())
        self._act(tx, claims, body, payload)

    def _believe(self, tx: sqlite3.Connection, topic: str, payload: bytes, retained: bool) -> Claims:
        def key_of(kid: str) -> TrustedKey | None:
            return boxes.trusted_key(tx, kid)

        claims = Verifier(key_of, self.signer.issuer, self.now, Limits()).verify(payload, topic, retained=retained)
        fresh = INBOX.accept(
            tx, jti=claims.jti, issuer=claims.iss, topic=topic, payload=payload, exp=claims.exp, handled=True
        )
        if not fresh:
            raise EnvelopeRefused(RefusalReason.REPLAYED, claims.jti)
        return claims

    def _act(self, tx: sqlite3.Connection, claims: Claims, body: Body, payload: bytes) -> None:
        box, now = claims.iss, self.now()
        self.tries.note(tx, box, body)
        match body:
            case OrderMadeBody():
                taken = box_orders.take(tx, box, body, now)
                log.info("event=order_made box=%s order=%s source=%s taken=%s", box, body.order_id, body.source, taken)
            case PayRequestBody() if self.matcher is not None:
                named, refusal = at_gateway.paid_by(self.matcher, box, body)
                self.payments.take(tx, box, named, refusal)
            case PayVoucherBody() if self.matcher is not None:
                self.payments.take(tx, box, body, at_gateway.accepted_by(self.matcher, box, body))
            case PayRequestBody() | PayVoucherBody() | PayQueryBody() | PayReverseBody() | PayRefundBody():
                self.payments.take(tx, box, body)
            case SealedBody() if self.matcher is not None:
                at_gateway.take(tx, self.matcher, box, body, now)
            case QuoteRequestBody():
                named_too = body if self.matcher is None else at_gateway.quoted_for(self.matcher, box, body)
                if (quote := quotes.answer(tx, box, named_too, now)) is not None:
                    quote = quote.model_copy(update={"payer": body.payer})
                    self._put(tx, box, "quote", quote, quote.expires_at, Priority.MONEY)
            case StateBody():
                if boxes.note_state(tx, box, body, claims.iat, now) and body.online:
                    self._note_settled(tx, box, body, claims.iat)
                    audit.note_store(tx, box, body.versions, now)
                    self._send_what_is_missing(tx, box, body)
                    self.rollouts.desired.note_state(tx, box, body, now)
                    if hearing.note_instance(tx, box, body, now):
                        self._tell_of_a_twin(tx, box)
                    if self.content is not None:
                        self.content.note_state(tx, box, body)
                    self._offer_catalogues(tx, box)
            case PlayBody() if self.content is not None:
                self.content.note_plays(tx, box, body)
            case ContentRequestBody(path=path) if path.startswith(PATH) and self.catalogues is not None:
                piece = self.catalogues.hand_out(box, body)
                self._put(tx, box, "content.chunk", piece, now + TIME_LIFE_S, Priority.TELEMETRY)
            case ContentRequestBody() if self.content is not None:
                self.content.hand_out(tx, box, body)
            case EventBody():
                self._note_event(tx, box, body)
            case CheckpointBody() | EvidenceBody():
                self._note_audit(tx, box, body, payload.decode("ascii"))
            case HealthBody():
                hearing.note_health(tx, box, body, now)
            case ResultBody():
                answers.note_result(tx, box, body)
            case ConfigReportBody():
                self.rollouts.note_report(tx, box, body, now)
            case TimeRequestBody(nonce=nonce):
                time_body = TimeBody(nonce=nonce, now=now, store=audit.store_reached(tx, box))
                self._put(tx, box, "time", time_body, now + TIME_LIFE_S, Priority.CONTROL)
            case _:
                log.warning("event=unhandled typ=%s box=%s", claims.typ, box)

    def _note_audit(self, tx: sqlite3.Connection, box: str, body: CheckpointBody | EvidenceBody, token: str) -> None:
        if isinstance(body, CheckpointBody):
            fault = audit.note_checkpoint(tx, box, body, token, self.now())
        else:
            trusted = boxes.trusted_key(tx, box)
            if trusted is None:  # revoked since its signature was checked
                return
            fault = audit.note_evidence(tx, box, body, token, trusted, self.signer.issuer, self.now())
        if fault is None and isinstance(body, CheckpointBody):
            ack = CheckpointAckBody(seq=body.seq, head=body.head)
            self._put(tx, box, "checkpoint.ack", ack, self.now() + TIME_LIFE_S, Priority.TELEMETRY)
        if fault is not None:
            log.error("event=audit_fault box=%s fault=%s", box, fault)

    def _note_event(self, tx: sqlite3.Connection, box: str, event: EventBody) -> None:
        log.info("event=box_event box=%s name=%s", box, event.event)
        if self.matcher is not None:
            event = at_gateway.verified(self.matcher, box, event)
        verifications.note_event(tx, box, event)
        commands.note_event(tx, box, event, self.now())
        departures.note_event(tx, box, event, self.now())
        signing_up.note_event(tx, box, event, self.now())
        if self.matcher is not None:
            at_gateway.note_event(tx, self.matcher, box, event)
        if event.order_id is None:
            return
        if event.event == "order.open":
            orders.note_on_box(tx, event.order_id, box, self.now())
        elif event.event in ("order.cancelled", "order.declined"):
            orders.note_cancelled(tx, event.order_id, box, event.reason)
        elif event.event == "member.wanted":
            if (enrolment := signing_up.wanted(tx, box, event, self.now())) is not None:
                self.send_command(tx, box, *enrolment)
        elif event.event == "label.smile":
            if (made := smiles.answer(tx, box, event, self.now())) is not None:
                self._put(tx, box, "offer", made, self.now() + smiles.LIFE_S, Priority.CONTROL)
        elif event.event == "order.approved":
            self.payments.note_approved(tx, box, event.order_id, event.data.get("attempt"))

    def _note_settled(self, tx: sqlite3.Connection, box: str, state: StateBody, made_at: int) -> None:
        """A confirmation may get lost (a broker that forgets, a box away for a day): the list of what a box has not
        settled is then the proof, unless that list is full."""
        if len(state.unsettled) >= MAX_UNSETTLED:
            return
        unsettled = {(item.order_id, item.attempt) for item in state.unsettled}
        self.payments.note_unsettled(tx, box, unsettled, made_at)

    def _send_what_is_missing(self, tx: sqlite3.Connection, box: str, state: StateBody) -> None:
        now = self.now()
        for order_id in state.open_orders:
            orders.note_on_box(tx, order_id, box, now)
        unsettled = {item.order_id for item in state.unsettled}
        for order in orders.open_bodies(tx, box, now, self.phones):
            if order.order_id not in state.open_orders and order.order_id not in unsettled:
                self._put_order(tx, box, order)
        for item in state.unsettled:
            self.payments.answer_again(tx, box, (item.order_id, item.attempt))
        for command, expires_at in commands.open_bodies(tx, box, now):
            if command.command_id not in state.open_commands:
                self._put(tx, box, "command", command, expires_at, Priority.CONTROL)
        self.tries.tell_standing(tx, box)

    # --- on the gateway's own account -----------------------------------------------------------------------------

    def resume(self, tx: sqlite3.Connection) -> None:
        """After a start: whatever providers owe an answer to is asked about."""
        self.payments.resume(tx)
        self.rollouts.take_up(tx, self.now())

    def sweep(self, tx: sqlite3.Connection) -> None:
        """Now and then: what providers still owe an answer to, and what need not be remembered any more."""
        self.payments.resume(tx)
        now = self.now()
        self.rollouts.advance(tx, now)
        self.rollouts.desired.resend(tx, now)
        if self.content is not None:
            self.content.tidy(tx)
        answers.forget(tx, now)
        tombstones.forget(tx, now)
        self.tries.sweep(tx)
        self._offer_catalogues(tx, None)
        self.phones = {order_id: phone for order_id, phone in self.phones.items() if orders.is_open(tx, order_id, now)}
        OUTBOX.prune(tx, now)

    def forget_received(self, tx: sqlite3.Connection) -> bool:
        """Some of the messages that could not be played again any more. True: there are more. A few at a time: whoever
        waits for a commit meanwhile waits for this too."""
        return INBOX.prune(tx, self.now(), FORGET_AT_ONCE) == FORGET_AT_ONCE

    def settle_batch(self, tx: sqlite3.Connection, *, go_on: bool = True) -> float | None:
        """Once for all that is committed together: what many boxes are to have, and what their reports lead to. In so
        many seconds there is more of it; None: there is not. `go_on` False: no box more for now."""
        return self.rollouts.settle(tx, self.now(), go_on=go_on)

    def resend_open(self, tx: sqlite3.Connection) -> None:
        """After a (re)connect: a broker that keeps no sessions has lost what it had for the boxes, and what they had
        for us: a box that gets an approval again says again that it took it."""
        now = self.now()
        for row in tx.execute("SELECT id FROM boxes WHERE revoked_at IS NULL").fetchall():
            for order in orders.open_bodies(tx, row["id"], now, self.phones):
                self._put_order(tx, row["id"], order)
            for command, expires_at in commands.open_bodies(tx, row["id"], now):
                self._put(tx, row["id"], "command", command, expires_at, Priority.CONTROL)
        self.payments.answer_unconfirmed(tx)

    # --- for the operator -----------------------------------------------------------------------------------------

    def order(
        self,
        tx: sqlite3.Connection,
        *,
        box: str | None,
        amount_minor: int,
        currency: str,
        title: str | None,
        life_s: int,
        flow: str | None = None,
        phone: str | None = None,
        key: str | None = None,
    ) -> dict[str, Any]:
        """A new order, on its way; or the one that was made for this `key` before. Raises BoxUnknown, RequestRefused
        for a key that stands for another order, pydantic.ValidationError."""
        now = self.now()
        chosen = boxes.choose(tx, box)
        if key is not None and orders.made_before(tx, key, chosen["id"], amount_minor, currency):
            return order_view.view(tx, orders.id_of_key(key), now)
        order = orders.create(
            tx, box=chosen["id"], merchant=chosen["merchant"], amount_minor=amount_minor, currency=currency,
            title=title, expires_at=now + life_s, now=now, flow=flow, phone=phone, key=key,
        )  # fmt: skip
        if phone is not None:
            self.phones[order.order_id] = phone
        self._put_order(tx, chosen["id"], order)
        return order_view.view(tx, order.order_id, now)

    def enrol(
        self,
        tx: sqlite3.Connection,
        *,
        box: str | None,
        payer: str,
        balance_minor: int,
        currency: str,
        purposes: list[str],
        notice_version: str,
        life_s: int,
        under_14: bool = False,
        authority: commands.Authority = "fleet",
    ) -> dict[str, Any]:
        """An account for the payer (an existing one stays as it is) and the command to the box. Raises as `order`."""
        now = self.now()
        chosen = boxes.choose(tx, box)
        expires_at = now + life_s
        command = commands.create_enrolment(
            tx, chosen["id"], payer, purposes, notice_version, expires_at, now, under_14=under_14, authority=authority
        )
        opened = accounts.open_payer(tx, payer, balance_minor, currency, now)
        self._put(tx, chosen["id"], "command", command, expires_at, Priority.CONTROL)
        return commands.view(tx, command.command_id, now) | {"account_opened": opened}

    # --- out ------------------------------------------------------------------------------------------------------

    def answer_face(self, tx: sqlite3.Connection, box: str, answer: FaceAnswerBody) -> None:
        self._put(tx, box, "face.answer", answer, self.now() + TIME_LIFE_S, Priority.MONEY)

    def _put_order(self, tx: sqlite3.Connection, box: str, order: OrderBody) -> None:
        outbox_id = self._put(tx, box, "order", order, order.expires_at, Priority.MONEY)
        orders.note_queued(tx, order.order_id, outbox_id)

    def withdraw(self, tx: sqlite3.Connection, order_id: str) -> str | None:
        """Tells the box of an order that the ledger has cancelled; the command's id, None where the box can't have it
        on its display any more. Told once, however often it is cancelled."""
        now = self.now()
        row = tx.execute("SELECT box, expires_at FROM orders WHERE order_id = ?", (order_id,)).fetchone()
        if row is None or row["expires_at"] <= now:
            return None
        told = commands.named(tx, row["box"], "order.cancel", {"order_id": order_id})
        if told is not None:
            return told
        body = commands.create(tx, row["box"], "order.cancel", {"order_id": order_id}, row["expires_at"], now)
        self.send_command(tx, row["box"], body, row["expires_at"])
        return body.command_id

    def send_command(self, tx: sqlite3.Connection, box: str, body: CommandBody, expires_at: int) -> None:
        self._put(tx, box, "command", body, expires_at, Priority.CONTROL)

    def _offer_catalogues(self, tx: sqlite3.Connection, box: str | None) -> None:
        if self.catalogues is not None:
            for one, body, expires_at in self.catalogues.catch_up(tx, self.now(), box):
                self.send_command(tx, one, body, expires_at)

    def _tell_of_a_twin(self, tx: sqlite3.Connection, box: str) -> None:
        """Each of the two hears it, since each comes back in its turn."""
        if hearing.twins_are_told(tx, box, self.now()):
            return
        expires_at = self.now() + TIME_LIFE_S
        body = commands.create(tx, box, hearing.TWICE, {}, expires_at, self.now())
        self.send_command(tx, box, body, expires_at)

    def _send_config(self, tx: sqlite3.Connection, box: str, body: ConfigBody) -> None:
        self._put(tx, box, "config", body, self.now() + ANSWER_LIFE_S, Priority.CONTROL)

    def _answer(self, tx: sqlite3.Connection, box: str, answer: PayAnswerBody) -> None:
        log.info(
            "event=answer box=%s order=%s attempt=%d status=%s reason=%s",
            box, answer.order_id, answer.attempt, answer.status, answer.reason,
        )  # fmt: skip
        self._put(tx, box, "pay.answer", answer, self.now() + ANSWER_LIFE_S, Priority.MONEY)

    def _put(
        self,
        tx: sqlite3.Connection,
        box: str,
        typ: str,
        body: Body,
        expires_at: int,
        priority: Priority,
    ) -> int:
        sealed = self.signer.seal(typ, box, body.to_json(), min(expires_at - self.now(), ANSWER_LIFE_S))
        topic = topics.topic_of(typ, box)
        return OUTBOX.put(tx, topic=topic, payload=sealed.token, kind=typ, priority=priority, expires_at=sealed.exp)

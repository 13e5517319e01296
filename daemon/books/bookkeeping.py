"""What each change means on disk: its row, its journal line and what the fleet is told, all in one transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import assert_never

from daemon.books import commands, fleet_tries, journal, payments, pin_tries, receipt_numbers
from daemon.evidence import record, shelf
from daemon.evidence.record import Grounds
from daemon.payment import effects as fx
from daemon.payment.settling import SettlingTimes
from daemon.payment.status import UNSETTLED, Status
from daemon.people.factor_check import tries_of
from daemon.uplink import contract
from daemon.uplink.fleet_link import FleetLink
from mqtt.outbox import Priority
from mqtt.schemas import EventBody

EVENT_LIFE_S = 24 * 3600
EVIDENCE_LIFE_S = 24 * 3600  # as a message; what it proves does not expire


@dataclass(frozen=True)
class Bookkeeping:
    """Never commits: the transaction is the caller's."""

    link: FleetLink
    times: SettlingTimes
    grounds: Grounds

    def apply(self, tx: sqlite3.Connection, change: fx.Change, wall: int, mono: float) -> None:
        """`wall` (unix seconds) and `mono` (monotonic seconds) are the same moment."""
        match change:
            case fx.OrderStored(order):
                assert order.amount is not None
                payments.store_order(tx, order, round(wall + order.expires_s - mono), wall)
                receipt_numbers.give(tx, order.order_id)
                facts: dict[str, str | int] = {"order_id": order.order_id}
                facts |= {"minor": order.amount.minor, "currency": order.amount.currency}
                journal.append(tx, "order_stored", facts, wall)
                self.report(tx, EventBody(event="order.open", at=wall, order_id=order.order_id))
            case fx.OrderClosed(order_id, status, reason):
                payments.close_order(tx, order_id, status, reason, wall)
                facts = {"order_id": order_id, "status": status.value, "reason": reason}
                journal.append(tx, "order_closed", facts, wall)
                closed = contract.order_closed(order_id, status, reason, wall)
                if closed is not None:
                    self.report(tx, closed)
            case fx.AttemptMoved():
                self._attempt(tx, change, wall)
            case fx.CheckEnded():
                self._identity_checked(tx, change, wall)
            case fx.SignUpAsked(order_id, attempt, notice):
                journal.append(tx, "sign_up_asked", {"order_id": order_id, "attempt": attempt}, wall)
                self.report(tx, contract.member_wanted(order_id, attempt, notice, wall))
            case fx.SmileSeen(order_id, attempt):
                journal.append(tx, "smile_label", {"order_id": order_id, "attempt": attempt}, wall)
                self.report(tx, contract.smile_label(order_id, attempt, wall))
            case fx.TriesCleared(payer, factor):
                fleet_tries.not_wrong(tx, tries_of(payer, factor))
                pin_tries.clear(tx, tries_of(payer, factor))
            case fx.TrySpared(payer, factor):
                fleet_tries.not_wrong(tx, tries_of(payer, factor))
                pin_tries.spare(tx, tries_of(payer, factor))
            case fx.Noted(name, noted):
                journal.append(tx, name, noted, wall)
            case _:
                assert_never(change)

    def report(self, tx: sqlite3.Connection, event: EventBody) -> None:
        """Tells the fleet, as soon as there is a link."""
        self.link.put(tx, "event", event, EVENT_LIFE_S, Priority.CONTROL)

    def _identity_checked(self, tx: sqlite3.Connection, ended: fx.CheckEnded, wall: int) -> None:
        """The command's end; the signed event is what a hotel, a ward or a gate goes by."""
        facts: dict[str, str | int] = {"id": ended.order_id, "status": ended.status.value, "reason": ended.reason}
        journal.append(tx, "identity_check", facts | {"factors": ",".join(ended.factors)}, wall)
        event = contract.identity_checked(ended, wall)
        commands.end(tx, ended.order_id, event.event, event.reason or ended.reason, wall)
        self.report(tx, event)

    def _attempt(self, tx: sqlite3.Connection, moved: fx.AttemptMoved, wall: int) -> None:
        facts: dict[str, str | int] = {"order_id": moved.order_id, "attempt": moved.attempt}
        facts |= {"status": moved.status.value, "reason": moved.reason}
        request = moved.request
        if request is None:
            payments.move_attempt(tx, moved.order_id, moved.attempt, moved.status, moved.reason, moved.reference, wall)
            if moved.reference:
                facts["reference"] = moved.reference
            if moved.status not in UNSETTLED:
                facts |= self._evidence(tx, moved, wall)
        else:
            payments.open_attempt(tx, request, wall)
            body = contract.pay_request(request, wall)
            if not moved.offline:
                self.link.put(tx, "pay.request", body, contract.request_life_s(self.times), Priority.MONEY)
            facts |= {"minor": request.amount.minor, "currency": request.amount.currency}
            facts |= {"factors": ",".join(request.factors)}  # whether under duress is the gateway's to know
            title = payments.title_of(tx, request.order_id)
            decided = record.decision(request, title, self.grounds, wall)
            token = self.link.sign(record.DECISION_TYP, decided, EVIDENCE_LIFE_S)
            facts["decision"] = shelf.keep_decision(tx, request.order_id, request.attempt, token)
        journal.append(tx, "attempt", facts, wall)
        if moved.status is Status.ACCEPTED_OFFLINE:
            self.report(tx, contract.order_accepted_offline(moved.order_id, moved.attempt, wall))
        if moved.status is Status.APPROVED:
            self.report(tx, contract.order_approved(moved.order_id, moved.attempt, wall))

    def _evidence(self, tx: sqlite3.Connection, moved: fx.AttemptMoved, wall: int) -> dict[str, str | int]:
        """The signed end of an attempt: kept, sent, and named in the journal by its hash."""
        decided = shelf.decision_of(tx, moved.order_id, moved.attempt)
        if decided is None:  # an attempt of a release that left no evidence
            return {}
        ended = record.evidence(
            decided, moved.order_id, moved.attempt, moved.status, moved.reason, moved.reference, wall
        )
        token = self.link.put(tx, record.EVIDENCE_TYP, ended, EVIDENCE_LIFE_S, Priority.CONTROL)
        return {"evidence": shelf.keep_evidence(tx, moved.order_id, moved.attempt, token)}

"""Payments at the gateway: what boxes ask, what providers answer, what operators decide, each in one transaction.

The ledger is moved on here and the answers to the boxes are given out; calls to providers are only asked for, and are
made by `fleet.money.errands` once the transaction is on disk.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

from fleet.channels.adapter import Answer, Channel, Charge, OwnBooks, Trade
from fleet.errors import NotFound, RefundRefused
from fleet.members import book as members
from fleet.members import thanks, topups
from fleet.money import answers, attempts, orders, outcomes, reconcile, refunds, resolutions
from fleet.money.outcomes import Ask, Task
from fleet.money.settlement import Confirmed, Settlement, unconfirmed
from mqtt.schemas import (
    AnswerReason,
    PayAnswerBody,
    PayQueryBody,
    PayRefundBody,
    PayRequestBody,
    PayReverseBody,
    PayVoucherBody,
)

log = logging.getLogger("fleet.money.payments")

PaymentBody = PayRequestBody | PayVoucherBody | PayQueryBody | PayReverseBody | PayRefundBody


OFFLINE_CHANNEL = "simulated"  # closed-loop: the payer's account is in the fleet's own books


class Errands(Protocol):
    """What is to be asked of the providers once this transaction is on disk; see `fleet.money.errands`."""

    def pay(self, charge: Charge, channel: str) -> None: ...
    def answered(self, channel: str, answer: Answer) -> None:
        """A payment for which nobody had to be called."""
        ...

    def ask(self, key: attempts.Key) -> None: ...
    def adopt(self, key: attempts.Key) -> None: ...
    def reverse(self, key: attempts.Key) -> None: ...
    def refund(self, refund_id: str) -> None: ...


class Payments:
    """`answer(tx, box, body)` puts an answer into the outbox. `channels` by the names that boxes call them.
    `approved(tx, order_id, attempt)` is called once for each attempt that a channel has paid, in the transaction that
    books it."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        errands: Errands,
        now: Callable[[], int],
        answer: Callable[[sqlite3.Connection, str, PayAnswerBody], None],
        approved: Callable[[sqlite3.Connection, str, int], None] = lambda *_: None,
    ) -> None:
        self.channels, self._errands, self._now, self._put = channels, errands, now, answer
        self._approved = approved
        self._settlement = Settlement(channels)
        self._own_books = {name: channel for name, channel in channels.items() if isinstance(channel, OwnBooks)}

    # --- from the boxes -------------------------------------------------------------------------------------------

    def take(
        self, tx: sqlite3.Connection, box: str, body: PaymentBody, refusal: AnswerReason | None = None
    ) -> None:  # fmt: skip
        """`refusal`: what is already known against a request or a voucher."""
        key, now = (body.order_id, body.attempt), self._now()
        standing: PayAnswerBody | Charge | None
        match body:
            case PayRequestBody():
                standing = self._settlement.request(tx, box, body, now, refusal=refusal)
                if isinstance(standing, Charge):
                    self._charge(tx, standing, body.channel)
                    return
            case PayVoucherBody():
                standing = self._take_voucher(tx, box, body, refusal)
            case PayQueryBody():
                standing = self._settlement.query(tx, box, *key, now)
                if standing is None:
                    self._errands.ask(key)
            case PayReverseBody():
                standing = self._settlement.reverse(tx, box, *key, now)
                if standing is None:
                    self._errands.reverse(key)
            case PayRefundBody():
                standing = self._refund_for_box(tx, box, body)
        if standing is not None:
            self._send(tx, box, standing)

    def _charge(self, tx: sqlite3.Connection, charge: Charge, name: str) -> None:
        own = self._own_books.get(name)
        answer = own.pay_within(tx, charge) if own is not None else None
        if answer is None:
            self._errands.pay(charge, name)
            return
        self._errands.answered(name, answer)
        self.heard(tx, Task(Ask.PAY, name, charge), answer)

    def _take_voucher(
        self, tx: sqlite3.Connection, box: str, voucher: PayVoucherBody, refusal: AnswerReason | None
    ) -> PayAnswerBody | None:
        """A payment that the box accepted while it could ask nobody: charged now, from the payer's account here. None:
        the answer follows, or its order is still on the way and the box will say it again."""
        key, now = (voucher.order_id, voucher.attempt), self._now()
        if attempts.order(tx, box, voucher.order_id) is None:
            log.warning("event=voucher_without_order box=%s order=%s", box, voucher.order_id)
            return None
        wanted = PayRequestBody(
            order_id=voucher.order_id, attempt=voucher.attempt, amount_minor=voucher.amount_minor,
            currency=voucher.currency, payer=voucher.payer, factors=voucher.factors, channel=OFFLINE_CHANNEL,
            decided_at=voucher.accepted_at, flow=voucher.flow,
        )  # fmt: skip
        said = self._settlement.request(tx, box, wanted, now, min(voucher.accepted_at, now), refusal)
        if isinstance(said, Charge):
            self._charge(tx, said, OFFLINE_CHANNEL)
            return None
        if said is not None and said.status == "declined":
            log.warning("event=voucher_refused box=%s order=%s attempt=%d reason=%s", box, *key, said.reason)
        return said

    def _refund_for_box(self, tx: sqlite3.Connection, box: str, wanted: PayRefundBody) -> PayAnswerBody | None:
        """All of the attempt that is left; None: the answer follows. A box asks only for what it took as approved,
        which confirms it."""
        key, now = (wanted.order_id, wanted.attempt), self._now()
        standing = answers.standing(tx, box, *key)
        if standing is None:
            return answers.unknown_order(*key)
        if standing.status != "approved":
            return standing
        self._settlement.confirm(tx, box, *key, now)
        before = refunds.last(tx, *key)
        if before is not None and before["status"] == "refunding":
            return None
        if refunds.left(tx, *key) == 0:
            return answers.of_refund(tx, box, key, before)
        refund_id = f"box-{key[0]}-{key[1]}"
        try:
            refund = refunds.ask(
                tx, refund_id=refund_id, order_id=key[0], amount_minor=None, box=box, now=now,
                asked_by=f"box:{box}", why=wanted.authority or "late_approval",
            )  # fmt: skip
        except RefundRefused as refused:
            return standing.model_copy(update={"status": "declined", "reason": refused.reason})
        if refund["status"] != "refunding":
            return answers.of_refund(tx, box, key, refund)
        self._errands.refund(refund_id)
        return None

    def note_approved(self, tx: sqlite3.Connection, box: str, order_id: str, attempt: object) -> None:
        """The box's word is what makes an approval final."""
        if type(attempt) is not int or not 0 < attempt < 2**31:
            log.warning("event=confirmation_without_attempt box=%s order=%s", box, order_id)
            return
        outcome = self._settlement.confirm(tx, box, order_id, attempt, self._now())
        level = logging.WARNING if outcome is Confirmed.CONTRADICTED else logging.INFO
        log.log(level, "event=confirmed box=%s order=%s attempt=%d outcome=%s", box, order_id, attempt, outcome)

    def note_unsettled(
        self, tx: sqlite3.Connection, box: str, unsettled: Collection[attempts.Key], made_at: int
    ) -> None:
        """The box's whole list: what it holds no longer unsettled, it has taken as approved."""
        for order_id, attempt in self._settlement.infer(tx, box, unsettled, made_at, self._now()):
            log.info("event=confirmed_by_state box=%s order=%s attempt=%d", box, order_id, attempt)

    def answer_again(self, tx: sqlite3.Connection, box: str, key: attempts.Key) -> None:
        """The final answer that the box lacks, if there is one."""
        standing = answers.standing(tx, box, *key)
        if standing is not None and standing.status != "pending":
            self._send(tx, box, standing)

    def answer_unconfirmed(self, tx: sqlite3.Connection) -> None:
        for box, answer in unconfirmed(tx):
            self._send(tx, box, answer)

    # --- from the providers ---------------------------------------------------------------------------------------

    def heard(self, tx: sqlite3.Connection, done: Task, answer: Answer) -> bool:
        """What a provider said of an attempt; True: it ended, and the box is told."""
        final = outcomes.heard(tx, self.channels, done, answer, self._now())
        for refund_id in refunds.under_way(tx, done.charge.order_id):
            self._errands.refund(refund_id)
        if final is not None:
            members.note_payment(tx, final.order_id, final.attempt, final.status, self._now())
            if final.status == "approved":
                self._approved(tx, final.order_id, final.attempt)
            self._answer_order(tx, final)
        return final is not None

    def refund_heard(self, tx: sqlite3.Connection, refund_id: str, answer: Answer) -> None:
        ended = refunds.heard(tx, refund_id, answer, self._now())
        if ended is not None:
            level = logging.ERROR if ended["status"] == "manual" else logging.INFO
            log.log(level, "event=refund refund=%s status=%s reason=%s", refund_id, ended["status"], ended["reason"])
            members.note_refund(tx, ended["order_id"], ended["attempt"], refund_id, self._now())
            if ended["box"] is not None:
                key = (ended["order_id"], ended["attempt"])
                self._send(tx, ended["box"], answers.of_refund(tx, ended["box"], key, ended))

    def tell(self, tx: sqlite3.Connection, key: attempts.Key) -> None:
        """How the attempt stands now, to the box that asked."""
        order = attempts.order(tx, None, key[0])
        standing = answers.standing(tx, order["box"], *key) if order is not None else None
        if standing is not None:
            self._answer_order(tx, standing)

    # --- for the operator -----------------------------------------------------------------------------------------

    def refund(
        self, tx: sqlite3.Connection, *, refund_id: str, order_id: str, amount_minor: int | None, who: str, why: str
    ) -> dict[str, Any]:
        """Part or all of a paid order goes back; asked again with the same id, how that stands. Raises RefundRefused,
        NotFound."""
        if refund_id.startswith(refunds.OWN_NAMES):
            what = f"refund {refund_id[:64]}"
            raise RefundRefused(what, "the gateway names its own refunds so", "take another id", "id_taken")
        row = refunds.ask(
            tx, refund_id=refund_id, order_id=order_id, amount_minor=amount_minor, asked_by=f"operator:{who}",
            why=why, now=self._now(),
        )  # fmt: skip
        self._errands.refund(refund_id)
        return refunds.view(row)

    def resolve(
        self, tx: sqlite3.Connection, key: attempts.Key, decision: resolutions.Decision, who: str, why: str
    ) -> dict[str, Any]:
        """A person's decision takes effect, and the box hears how it ended. Raises NotFound, ResolutionRefused."""
        row = resolutions.resolve(tx, key, decision, who, why, self._now())
        log.warning("event=resolved order=%s attempt=%d decision=%s", *key, decision)
        if row["status"] == "reversing":
            self._errands.reverse(key)
        elif row["status"] in ("approved", "reversed"):
            members.note_payment(tx, *key, row["status"], self._now())
            if row["status"] == "approved":
                topups.credit(tx, *key, self._now())
            self.tell(tx, key)
        for refund_id in refunds.under_way(tx, key[0]):
            self._errands.refund(refund_id)
        return resolutions.view(tx, key)

    def cancel(self, tx: sqlite3.Connection, order_id: str, who: str) -> None:
        """An order that nobody has paid, nor is paying, won't be. Raises NotFound, RefundRefused."""
        if attempts.order(tx, None, order_id) is None:
            raise NotFound(f"order {order_id[:64]}", "never issued")
        orders.cancel(tx, order_id, f"operator:{who}"[:64], self._now())

    def reconcile(
        self, tx: sqlite3.Connection, channel: str, day: str, utc_offset_min: int, trades: Sequence[Trade]
    ) -> list[dict[str, Any]]:
        """What the provider's own list and the ledger disagree about; late successes are looked at now."""
        found = reconcile.against_provider(tx, channel, day, utc_offset_min, trades)
        for key in reconcile.look_again(tx, found, self._now()):
            self._errands.adopt(key)
        return found

    # --- on the gateway's own account -----------------------------------------------------------------------------

    def resume(self, tx: sqlite3.Connection) -> None:
        """After a start, and now and then: what providers must be asked about is asked, unless it is already."""
        for key, channel in attempts.under_way(tx, self._now()):
            if channel in self.channels:
                self._errands.adopt(key)
            else:
                log.error("event=channel_missing channel=%s order=%s attempt=%d", channel, *key)
        for refund_id in refunds.under_way(tx):
            self._errands.refund(refund_id)

    def _send(self, tx: sqlite3.Connection, box: str, answer: PayAnswerBody) -> None:
        """An approval carries the coupon that was issued with it, and a member's points, however often it is said."""
        if answer.status == "approved":
            answer = answer.model_copy(update=thanks.of(tx, answer.order_id, answer.attempt))
        self._put(tx, box, answer)

    def _answer_order(self, tx: sqlite3.Connection, answer: PayAnswerBody) -> None:
        """To the box whose order it is."""
        order = attempts.order(tx, None, answer.order_id)
        if order is not None:
            self._send(tx, order["box"], answer)

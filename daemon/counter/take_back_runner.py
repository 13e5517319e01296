"""Runs a clerk's taking back of a sale: finds it, has the PIN checked, and asks the payment for it. On the main loop
alone."""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import Protocol, assert_never

from daemon.books import payments, receipt_numbers
from daemon.box_events import ClerkChecked, Stop
from daemon.counter import take_back
from daemon.counter.take_back import Sale, Standing
from daemon.enrolment.pin_check import PinDesk
from daemon.logs import note
from daemon.payment import events as ev
from daemon.payment.status import RELEASES_GOODS, UNSETTLED, Status
from daemon.receipts.receipt import order_in_code
from daemon.screen import views
from daemon.uplink.clock import TrustedClock

log = logging.getLogger("daemon.take_back")


class Payments(Protocol):
    """What of the payment's runner is needed here."""

    def step(self, event: ev.Event) -> Stop | None:
        """One event for the core."""

    def refund(self, order_id: str, authority: str) -> tuple[str, Stop | None]:
        """`refunding`, or why not."""

    def withdraw(self, order_id: str, reason: str) -> Stop | None:
        """Ends an order for which no money can be on its way; any other stays as it is."""


class TakeBackRunner:
    """Every call returns a Stop when the process must end. `pins` answers with `ClerkChecked`."""

    def __init__(
        self, rules: take_back.Rules, payments: Payments, reader: sqlite3.Connection, clock: TrustedClock,
        pins: PinDesk | None,
    ) -> None:  # fmt: skip
        self.rules = rules
        self.state: take_back.State = take_back.Closed()
        self._payments, self._reader, self._clock, self._pins = payments, reader, clock, pins

    @property
    def busy(self) -> bool:
        return not isinstance(self.state, take_back.Closed)

    @property
    def possible(self) -> bool:
        """Whether there is anybody whose PIN could be right."""
        return self._pins is not None and self._pins.anybody

    def view(self) -> views.View | None:
        """What the display shows; None while nobody takes anything back."""
        match self.state:
            case take_back.AskPin() as asking:
                length = max(8, len(asking.typed))
                return views.Authorise(
                    len(asking.typed), length, asking.wrong_tries_left, asking.checking, to="takeback"
                )
            case take_back.AskNumber(typed=typed, note=about):
                return views.EnterReceipt(typed, about)
            case take_back.Confirm(sale=sale):
                refund = sale.standing is Standing.PAID
                return views.AskTakeBack(sale.number, sale.amount.minor, sale.amount.currency, refund)
            case take_back.Told(word, sale=None):
                return views.TakenBack(word)
            case take_back.Told(word, sale=sale):
                assert sale is not None
                return views.TakenBack(word, sale.amount.minor, sale.amount.currency)
            case take_back.Closed():
                return None

    def next_deadline(self) -> float | None:
        return take_back.next_deadline(self.state)

    def begin(self, order_id: str | None = None) -> Stop | None:
        """By the menu key, or for a sale that the till names. Nothing happens where nobody's PIN could be right."""
        if not self.possible:
            return None
        return self._step(take_back.Begin(self.sale(order_id) if order_id is not None else None))

    def key(self, key: str) -> Stop | None:
        return self._step(take_back.Key(key))

    def scanned(self, text: str) -> Stop | None:
        """The QR code of a receipt."""
        order_id = order_in_code(text)
        if not isinstance(self.state, take_back.AskNumber) or order_id is None:
            return None
        return self._step(take_back.SaleFound(self.sale(order_id)))

    def checked(self, answer: ClerkChecked) -> Stop | None:
        return self._step(take_back.PinChecked(answer.check, answer.role, answer.left))

    def tick(self, now: float) -> Stop | None:
        due = self.next_deadline()
        return self._step(take_back.Tick()) if due is not None and due <= now else None

    def sale(self, order_id: str) -> Sale | None:
        """As it is on disk; None for an order that this box never had."""
        found = payments.sale_of(self._reader, order_id)
        if found is None:
            return None
        today = time.localtime(self._clock.now())[:3] == time.localtime(found.at)[:3]
        number = receipt_numbers.of(self._reader, order_id) or order_id[-6:]
        return Sale(order_id, number, found.amount, _standing(found.order, found.attempt), today)

    def _step(self, event: take_back.Event) -> Stop | None:
        self.state, effects = take_back.step(self.state, event, self.rules, time.monotonic())
        stop: Stop | None = None
        for effect in effects:
            stop = self._carry_out(effect) or stop
        return stop

    def _carry_out(self, effect: take_back.Effect) -> Stop | None:
        match effect:
            case take_back.TakeCounter():
                return self._payments.step(ev.CounterTaken())
            case take_back.FreeCounter():
                return self._payments.step(ev.CounterFree())
            case take_back.CheckPin(check, pin):
                assert self._pins is not None  # else nothing ever began
                self._pins.ask(check, pin)
                return None
            case take_back.FindSale(number):
                order_id = receipt_numbers.order_of(self._reader, number)
                return self._step(take_back.SaleFound(self.sale(order_id) if order_id is not None else None))
            case take_back.TakeBack(sale, role):
                return self._take_back(sale, role)
            case _:
                assert_never(effect)

    def _take_back(self, sale: Sale, role: str) -> Stop | None:
        """How the sale stands is read again: it may have moved while the clerk looked at it."""
        now = self.sale(sale.order_id)
        why_not = "sale_unpaid" if now is None else take_back.refusal(role, now, self.rules)
        stop: Stop | None = None
        if now is None or why_not is not None:
            word = why_not or "sale_unpaid"
        elif now.standing is Standing.WAITING:
            stop = self._payments.withdraw(sale.order_id, f"by_{role}")
            word = "cancelled"
        else:
            word, stop = self._payments.refund(sale.order_id, role)
        note(log, "take_back", order=sale.order_id, by=role, answer=word)
        return self._step(take_back.Done(word)) or stop


def _standing(order: Status, attempt: Status | None) -> Standing:
    if attempt is Status.APPROVED:
        return Standing.PAID
    if attempt in (Status.REFUNDING, Status.REFUNDED):
        return Standing.BACK
    if attempt in UNSETTLED or attempt in RELEASES_GOODS:
        return Standing.PAYING  # also what was accepted offline: its voucher has yet to be booked
    return Standing.WAITING if order is Status.OPEN else Standing.UNPAID

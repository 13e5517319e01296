"""Runs the clerk's machine: makes its orders, hands the counter over and back. On the main loop alone."""

from __future__ import annotations

import logging
import time
from typing import Protocol, assert_never

from daemon.books.own_orders import Made, OwnOrders
from daemon.box_events import Stop
from daemon.counter import machine
from daemon.counter.view import view_of
from daemon.logs import note
from daemon.payment import events as ev
from daemon.screen import views

log = logging.getLogger("daemon.counter")


class Payments(Protocol):
    """What of the payment's runner is needed here."""

    def step(self, event: ev.Event) -> Stop | None:
        """One event for the core."""

    def start(self, made: Made) -> Stop | None:
        """An order that this box made."""


class CounterRunner:
    """Every call returns a Stop when the process must end."""

    def __init__(self, rules: machine.Rules, payments: Payments, orders: OwnOrders) -> None:
        self.rules = rules
        self.state: machine.State = machine.Closed()
        self._payments, self._orders = payments, orders

    @property
    def busy(self) -> bool:
        """Whether the display and the keypad are the clerk's."""
        return not isinstance(self.state, machine.Closed)

    def view(self) -> views.View | None:
        return view_of(self.state)

    def next_deadline(self) -> float | None:
        return machine.next_deadline(self.state)

    def key(self, key: str) -> Stop | None:
        return self._step(machine.Key(key))

    def scanned(self, text: str) -> Stop | None:
        return self._step(machine.Scanned(text))

    def tick(self, now: float) -> Stop | None:
        due = self.next_deadline()
        return self._step(machine.Tick()) if due is not None and due <= now else None

    def _step(self, event: machine.Event) -> Stop | None:
        self.state, effects = machine.step(self.state, event, self.rules, time.monotonic())
        stop: Stop | None = None
        for effect in effects:
            stop = self._carry_out(effect) or stop
        return stop

    def _carry_out(self, effect: machine.Effect) -> Stop | None:
        match effect:
            case machine.TakeCounter():
                return self._payments.step(ev.CounterTaken())
            case machine.FreeCounter():
                return self._payments.step(ev.CounterFree())
            case machine.MakeOrder(amount, cart):
                made = self._orders.make(amount, "cart" if cart else "clerk", cart=cart)
                if made is None:
                    return self._step(machine.OrderRefused("no_clock"))
                note(log, "order_made", order=made.order.order_id, amount=amount, source="cart" if cart else "clerk")
                stop = self._payments.start(made)
                return self._step(machine.OrderMade()) or stop
            case _:
                assert_never(effect)

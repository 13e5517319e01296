"""What the box does with a till's words: orders once per reference, answers after the commit, news until it was heard.

On the main loop alone. The truth is the disk: `committed` is called after every commit, and only what is there is said.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, assert_never

from daemon.books import payments
from daemon.books.own_orders import Made, OwnOrders
from daemon.box_events import Stop
from daemon.logs import note
from daemon.payment.money import Amount, AmountRefused
from daemon.till import standing
from daemon.till.words import (
    FINAL,
    CancelWanted,
    Heard,
    Hello,
    Misheard,
    News,
    No,
    OrderState,
    OrderWanted,
    RefundWanted,
    Reply,
    Request,
    SayAgain,
    Standing,
    StateWanted,
    Yes,
)

log = logging.getLogger("daemon.till")

SAY_AGAIN_S = 2.0
TRIES = 5
MAX_N = 9999
REMEMBERED_DAYS = payments.KEPT_S // 86_400


class Payments(Protocol):
    """What of the payment's runner is needed here."""

    def start(self, made: Made) -> Stop | None:
        """An order that this box made."""

    def withdraw(self, order_id: str, reason: str) -> Stop | None:
        """Ends an order for which no money can be on its way; any other stays as it is."""


TakeBack = Callable[[str], tuple[str | None, Stop | None]]  # by the order's id


@dataclass(frozen=True)
class TillRules:
    """`currency` is the box's; `limit_minor` the most an order may be; `max_open` how many may be open at a time."""

    currency: str
    limit_minor: int
    max_open: int = 8


@dataclass(frozen=True, slots=True)
class _Unheard:
    news: News
    due_s: float
    tries: int = 1


@dataclass(frozen=True, slots=True)
class _Written:
    """An order on its way to the disk, where nothing is known of it yet; `n` is the line that is to be answered."""

    n: int | None
    order_id: str
    state: OrderState


class TillDesk:
    """`say` must return at once. Every call returns a Stop when the process must end."""

    def __init__(
        self, rules: TillRules, payments: Payments, orders: OwnOrders, reader: sqlite3.Connection,
        say: Callable[[Reply], None], take_back: TakeBack,
    ) -> None:  # fmt: skip
        """`take_back` begins it on the box's own display and keypad: None, or why not; and a Stop as all calls."""
        self.rules = rules
        self._payments, self._orders, self._reader, self._say = payments, orders, reader, say
        self._take_back = take_back
        self._being_written: dict[str, _Written] = {}  # by reference
        self._asking: list[StateWanted] = []  # how something stands that is being written
        self._cancelling: dict[str, int | None] = {}
        self._last: dict[str, OrderState] = {}  # what the till was last told, of orders that have not ended
        self._unheard: dict[int, _Unheard] = {}
        self._n = 0

    def begin(self) -> None:
        """At a start: whatever of the till's was open is watched again."""
        for reference in standing.unfinished(self._reader):
            state = standing.of(self._reader, reference)
            if state is not None:
                self._last[reference] = state

    def next_deadline(self) -> float | None:
        return min((unheard.due_s for unheard in self._unheard.values()), default=None)

    def tick(self, now: float) -> None:
        for n, unheard in list(self._unheard.items()):
            if unheard.due_s <= now:
                self._again(n, unheard, now)

    def heard(self, request: Request, now: float) -> Stop | None:
        match request:
            case OrderWanted():
                return self._order(request)
            case StateWanted(reference=reference) if self._is_being_written(reference):
                self._asking.append(request)
            case StateWanted(n, reference):
                self._say(self._standing(n, reference))
            case CancelWanted():
                return self._cancel(request)
            case RefundWanted():
                return self._refund(request)
            case Hello(n):
                self._say(Yes(n))
            case Heard(n):
                self._unheard.pop(n, None)
            case SayAgain(n):
                if (unheard := self._unheard.get(n)) is not None:
                    self._again(n, unheard, now)
            case Misheard(n, reason):
                self._say(No(n, reason))
            case _:
                assert_never(request)
        return None

    def committed(self, now: float) -> None:
        """Something is on disk that was not: answers that waited for it, and news."""
        for reference, written in list(self._being_written.items()):
            state = standing.of(self._reader, reference)
            if state is not None:
                del self._being_written[reference]
                if state.standing not in FINAL:
                    self._last[reference] = state
                self._say(Yes(written.n, state))
        asking, self._asking = self._asking, []
        for asked in asking:
            if asked.reference in self._being_written:
                self._asking.append(asked)
            else:
                self._say(self._standing(asked.n, asked.reference))
        for reference, before in list(self._last.items()):
            state = standing.of(self._reader, reference)
            if state is not None and state != before:
                self._tell(state, now)
        for reference, n in list(self._cancelling.items()):
            state = standing.of(self._reader, reference)
            if state is not None and state.standing is not Standing.WAITING:
                del self._cancelling[reference]
                self._say(Yes(n, state))

    # ---- orders -----------------------------------------------------------------------------------------------------

    def _order(self, wanted: OrderWanted) -> Stop | None:
        known = standing.of(self._reader, wanted.reference)
        if known is None and (written := self._being_written.get(wanted.reference)) is not None:
            known = written.state
            if _same(known, wanted):
                self._being_written[wanted.reference] = replace(written, n=wanted.n)  # answered once, by the newest n
                return None
        if known is not None:
            self._say(Yes(wanted.n, known) if _same(known, wanted) else No(wanted.n, "conflict"))
            return None
        reason = self._refusal(wanted)
        if reason is not None:
            self._say(No(wanted.n, reason))
            return None
        amount = Amount(wanted.amount_minor, wanted.currency)
        made = self._orders.make(
            amount, "till", title=wanted.title, reference=wanted.reference, life_s=wanted.life_s
        )  # fmt: skip
        if made is None:
            self._say(No(wanted.n, "not_now"))
            return None
        note(log, "order_made", order=made.order.order_id, amount=amount, source="till")
        taken = OrderState(wanted.reference, Standing.WAITING, wanted.amount_minor, wanted.currency)
        self._being_written[wanted.reference] = _Written(wanted.n, made.order.order_id, taken)
        return self._payments.start(made)

    def _refusal(self, wanted: OrderWanted) -> str | None:
        try:
            Amount(wanted.amount_minor, wanted.currency)
        except AmountRefused:
            return "bad_currency" if wanted.currency != self.rules.currency else "bad_amount"
        if wanted.currency != self.rules.currency:
            return "bad_currency"
        if wanted.amount_minor > self.rules.limit_minor:
            return "above_limit"
        under_way = sum(state.standing in (Standing.WAITING, Standing.PAYING) for state in self._last.values())
        if len(self._being_written) + under_way >= self.rules.max_open:
            return "busy"
        return None

    def _is_being_written(self, reference: str) -> bool:
        return reference in self._being_written and standing.of(self._reader, reference) is None

    def _standing(self, n: int | None, reference: str) -> Reply:
        state = standing.of(self._reader, reference)
        return Yes(n, state) if state is not None else No(n, "unknown_ref", REMEMBERED_DAYS)

    def _cancel(self, wanted: CancelWanted) -> Stop | None:
        """Answered at once when nothing can be cancelled any more, else when the end is on disk."""
        if self._is_being_written(wanted.reference):
            self._cancelling[wanted.reference] = wanted.n
            return self._payments.withdraw(self._being_written[wanted.reference].order_id, "by_till")
        state = standing.of(self._reader, wanted.reference)
        if state is None or state.standing is not Standing.WAITING:
            self._say(self._standing(wanted.n, wanted.reference))
            return None
        self._cancelling[wanted.reference] = wanted.n
        return self._payments.withdraw(standing.order_id(self._reader, wanted.reference), "by_till")

    def _refund(self, wanted: RefundWanted) -> Stop | None:
        """A sale that is paid and booked is shown at the box, where a clerk's PIN is wanted; any other is only said."""
        state = standing.of(self._reader, wanted.reference)
        if state is None or state.standing is not Standing.APPROVED or state.reason:
            self._say(self._standing(wanted.n, wanted.reference))
            return None
        why_not, stop = self._take_back(standing.order_id(self._reader, wanted.reference))
        if why_not is None:
            self._last[wanted.reference] = state  # how it ends is news
        self._say(Yes(wanted.n, state) if why_not is None else No(wanted.n, why_not))
        return stop

    # ---- news -------------------------------------------------------------------------------------------------------

    def _tell(self, state: OrderState, now: float) -> None:
        self._last[state.reference] = state
        if state.standing in FINAL:
            del self._last[state.reference]
        for n, unheard in list(self._unheard.items()):
            if unheard.news.state.reference == state.reference:
                del self._unheard[n]  # overtaken
        self._n = self._n % MAX_N + 1
        news = News(self._n, state)
        self._unheard[news.n] = _Unheard(news, now + SAY_AGAIN_S)
        self._say(news)

    def _again(self, n: int, unheard: _Unheard, now: float) -> None:
        if unheard.tries >= TRIES:
            note(log, "till_does_not_listen", logging.WARNING, reference=unheard.news.state.reference)
            del self._unheard[n]
            return
        self._unheard[n] = replace(unheard, tries=unheard.tries + 1, due_s=now + SAY_AGAIN_S)
        self._say(unheard.news)


def _same(known: OrderState, wanted: OrderWanted) -> bool:
    return (known.amount_minor, known.currency) == (wanted.amount_minor, wanted.currency)

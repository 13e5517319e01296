"""The simulated provider: the fleet's own accounts with balances, and on request the weaknesses of a real one.

Its books are the fleet's. A payment is made in the transaction of its request; where it is to be slow or to fail, each
call is a transaction of its own, like a call to anybody else. The ways to fail
live here, on the provider's side of the border, so that the gateway's own code has one path only:
  decline       says no to everything
  lose-request  never sees the request; asked later, it knows nothing of it
  lose-answer   moves the money, but its answer gets lost; asked later, it tells
  hang          keeps the request and does not finish it
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fleet.channels.adapter import Answer, Charge, Reason, RefundOrder, Times, Trade, Verdict
from fleet.money import accounts, books
from fleet.money.fail_mode import FailMode

T = TypeVar("T")
UTC_OFFSET_S = 8 * 3600  # the day of its list, like the others' here

Run = Callable[[Callable[[sqlite3.Connection], Any]], Awaitable[Any]]


class Simulated:
    """`fail_first`: only the first N payments fail in `fail_mode`; None: all of them. `delay_s` is how long it takes
    to act on a payment. `run` does a job in a transaction of the ledger."""

    name = "simulated"
    currencies: frozenset[str] | None = None
    has_accounts = True

    def __init__(
        self,
        run: Run,
        now: Callable[[], int],
        delay_s: float = 0.0,
        fail_mode: FailMode = FailMode.NONE,
        fail_first: int | None = None,
    ) -> None:
        self.times = Times()
        self._run, self._now, self._delay_s = run, now, delay_s
        self._fail_mode, self._failures_left = fail_mode, fail_first
        self._at_work: set[str] = set()

    async def pay(self, charge: Charge) -> Answer:
        mode = self._next_mode()
        if mode is FailMode.DECLINE:
            return Answer(Verdict.DECLINED, Reason.ACQUIRER_DECLINED)
        if mode is FailMode.LOSE_REQUEST:
            return Answer(Verdict.UNKNOWN, Reason.TIMEOUT)
        self._at_work.add(charge.key)
        if mode is FailMode.HANG:
            return Answer(Verdict.UNKNOWN, Reason.TIMEOUT)
        try:
            if self._delay_s > 0:
                await asyncio.sleep(self._delay_s)
            answer: Answer = await self._run(lambda tx: capture(tx, charge, self._now()))
        finally:
            self._at_work.discard(charge.key)
        return Answer(Verdict.UNKNOWN, Reason.TIMEOUT) if mode is FailMode.LOSE_ANSWER else answer

    def pay_within(self, tx: sqlite3.Connection, charge: Charge) -> Answer | None:
        """Where it has none of a real provider's weaknesses."""
        if self._delay_s > 0 or self._fail_mode is not FailMode.NONE:
            return None
        return capture(tx, charge, self._now())

    async def query(self, charge: Charge) -> Answer:
        taken = await self._run(lambda tx: books.captured(tx, charge.order_id, charge.attempt))
        if taken is not None:
            return Answer(Verdict.APPROVED, Reason.OK, _reference(taken["id"]))
        if charge.key in self._at_work:
            return Answer(Verdict.PENDING, Reason.IN_PROGRESS)
        return Answer(Verdict.DECLINED, Reason.NEVER_RECEIVED)  # these books are sure of it

    async def reverse(self, charge: Charge) -> Answer:
        self._at_work.discard(charge.key)
        await self._run(lambda tx: books.reverse(tx, charge.order_id, charge.attempt, self._now()))
        return Answer(Verdict.APPROVED, Reason.OK)

    async def refund(self, refund: RefundOrder) -> Answer:
        charge = refund.charge
        await self._run(
            lambda tx: books.refund(
                tx, refund.refund_id, charge.order_id, charge.attempt, refund.amount_minor, False, self._now()
            )
        )
        return Answer(Verdict.APPROVED, Reason.OK, refund.key)

    async def trades(self, day: str) -> Sequence[Trade]:
        found: list[Trade] = await self._run(lambda tx: _trades(tx, day))
        return found

    async def close(self) -> None:
        return None

    def _next_mode(self) -> FailMode:
        if self._failures_left is None:
            return self._fail_mode
        if self._failures_left <= 0:
            return FailMode.NONE
        self._failures_left -= 1
        return self._fail_mode


def capture(tx: sqlite3.Connection, charge: Charge, now: int) -> Answer:
    """From the payer's account, if there is one with enough on it and the attempt is still wanted."""
    known = books.captured(tx, charge.order_id, charge.attempt)
    if known is not None:
        return Answer(Verdict.APPROVED, Reason.OK, _reference(known["id"]))
    wanted = tx.execute(
        "SELECT 1 FROM attempts WHERE order_id = ? AND attempt = ? AND status = 'submitted'",
        (charge.order_id, charge.attempt),
    ).fetchone()
    if wanted is None:
        return Answer(Verdict.DECLINED, Reason.CLOSED)
    payer = accounts.payer_account(charge.payer)
    if accounts.balance(tx, payer, charge.currency) < charge.amount_minor:
        known_payer = accounts.exists(tx, payer)
        return Answer(Verdict.DECLINED, Reason.INSUFFICIENT_FUNDS if known_payer else Reason.UNKNOWN_PAYER)
    return Answer(Verdict.APPROVED, Reason.OK, _reference(books.capture(tx, charge, payer, now)))


def _trades(tx: sqlite3.Connection, day: str) -> list[Trade]:
    rows = tx.execute(
        "SELECT a.provider_key, e.kind, p.amount_minor, p.currency, e.id FROM entries e"
        " JOIN postings p ON p.entry = e.id AND p.amount_minor > 0 JOIN attempts a USING (order_id, attempt)"
        " WHERE e.kind IN ('capture', 'reversal', 'refund') AND a.channel = 'simulated'"
        " AND a.provider_key IS NOT NULL AND date(e.at + ?, 'unixepoch') = ? ORDER BY e.id",
        (UTC_OFFSET_S, day),
    )
    return [
        Trade(key, "capture" if kind == "capture" else "refund", amount, currency, _reference(entry))
        for key, kind, amount, currency, entry in rows
    ]


def _reference(entry: int) -> str:
    return f"R{entry:010d}"

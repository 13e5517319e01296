"""The simulated acquirer: accounts with balances, and on request the weaknesses of a real one.

Its books are the fleet's entries and postings; each call works in the caller's transaction. The ways to fail live
here, on the acquirer's side of the border, so that the gateway's own code has one path only:
  decline       says no to everything
  lose-request  never sees the request; asked later, it knows nothing of it
  lose-answer   moves the money, but its answer gets lost; asked later, it tells
  hang          keeps the request and does not finish it
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Protocol

from fleet import accounts
from fleet.fail_mode import FailMode
from mqtt.schemas import AnswerReason


@dataclass(frozen=True, slots=True)
class Charge:
    """What is to be captured. (`order_id`, `attempt`) is the idempotency key."""

    order_id: str
    attempt: int
    payer: str
    merchant: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Captured:
    reference: str


@dataclass(frozen=True, slots=True)
class NotCaptured:
    """And never will be, under this key."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody knows yet."""


Outcome = Captured | NotCaptured | NoAnswer


class Acquirer(Protocol):
    """Idempotent by the charge's key. `delay_s` is how long it takes to answer a submitted charge."""

    delay_s: float

    def submit(self, tx: sqlite3.Connection, charge: Charge, now: int) -> Outcome: ...
    def query(self, tx: sqlite3.Connection, charge: Charge) -> Outcome: ...
    def reverse(self, tx: sqlite3.Connection, charge: Charge, now: int) -> None: ...


class SimulatedAcquirer:
    """`fail_first`: only the first N submissions fail in `fail_mode`; None: all of them."""

    def __init__(
        self, delay_s: float = 0.0, fail_mode: FailMode = FailMode.NONE, fail_first: int | None = None
    ) -> None:
        self.delay_s = delay_s
        self._fail_mode, self._failures_left = fail_mode, fail_first
        self._lost: set[tuple[str, int]] = set()

    def submit(self, tx: sqlite3.Connection, charge: Charge, now: int) -> Outcome:
        known = self._captured(tx, charge)
        if known is not None:
            return known
        mode = self._next_mode()
        if mode is FailMode.DECLINE:
            return NotCaptured(AnswerReason.ACQUIRER_DECLINED)
        if mode is FailMode.LOSE_REQUEST:
            self._lost.add((charge.order_id, charge.attempt))
            return NoAnswer()
        if mode is FailMode.HANG:
            return NoAnswer()
        outcome = self._capture(tx, charge, now)
        return NoAnswer() if mode is FailMode.LOSE_ANSWER else outcome

    def query(self, tx: sqlite3.Connection, charge: Charge) -> Outcome:
        known = self._captured(tx, charge)
        if known is not None:
            return known
        if (charge.order_id, charge.attempt) in self._lost:
            return NotCaptured(AnswerReason.NEVER_RECEIVED)
        return NoAnswer()

    def reverse(self, tx: sqlite3.Connection, charge: Charge, now: int) -> None:
        """Posts the money back where it was captured. A charge that was not captured can't be any more: the gateway
        submits only attempts that it holds open, and this one it closes in the same transaction."""
        if self._captured(tx, charge) is None:
            return
        done = tx.execute("SELECT 1 FROM entries WHERE order_id = ? AND kind = 'reversal'", (charge.order_id,))
        if done.fetchone() is None:
            accounts.transfer(
                tx,
                "reversal",
                accounts.merchant_account(charge.merchant),
                accounts.payer_account(charge.payer),
                charge.amount_minor,
                charge.currency,
                now,
                charge.order_id,
                charge.attempt,
            )

    def _capture(self, tx: sqlite3.Connection, charge: Charge, now: int) -> Outcome:
        payer = accounts.payer_account(charge.payer)
        if not accounts.exists(tx, payer):
            return NotCaptured(AnswerReason.UNKNOWN_PAYER)
        if accounts.balance(tx, payer, charge.currency) < charge.amount_minor:
            return NotCaptured(AnswerReason.INSUFFICIENT_FUNDS)
        entry = accounts.transfer(
            tx,
            "capture",
            payer,
            accounts.merchant_account(charge.merchant),
            charge.amount_minor,
            charge.currency,
            now,
            charge.order_id,
            charge.attempt,
        )
        return Captured(_reference(entry))

    def _captured(self, tx: sqlite3.Connection, charge: Charge) -> Captured | None:
        row = tx.execute(
            "SELECT id FROM entries WHERE order_id = ? AND attempt = ? AND kind = 'capture'",
            (charge.order_id, charge.attempt),
        ).fetchone()
        return Captured(_reference(row[0])) if row is not None else None

    def _next_mode(self) -> FailMode:
        if self._failures_left is None:
            return self._fail_mode
        if self._failures_left <= 0:
            return FailMode.NONE
        self._failures_left -= 1
        return self._fail_mode


def _reference(entry: int) -> str:
    return f"R{entry:010d}"

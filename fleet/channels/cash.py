"""Money that a clerk has taken into the drawer: for top-ups, which nobody but the fleet's operator can begin.

The drawer owes it to the merchant; what became of the notes is not for these books to know.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from fleet.channels.adapter import Answer, Charge, Reason, Trade, Verdict
from fleet.channels.simulated import Run, Simulated
from fleet.members.topups import CASH
from fleet.money import books


class Cash(Simulated):
    name = CASH
    has_accounts = False

    def __init__(self, run: Run, now: Callable[[], int]) -> None:
        super().__init__(run, now)

    async def pay(self, charge: Charge) -> Answer:
        answer: Answer = await self._run(lambda tx: take(tx, charge, self._now()))
        return answer

    def pay_within(self, tx: sqlite3.Connection, charge: Charge) -> Answer | None:
        return take(tx, charge, self._now())

    async def trades(self, day: str) -> Sequence[Trade]:
        """There is no second list to compare."""
        return ()


def take(tx: sqlite3.Connection, charge: Charge, now: int) -> Answer:
    """Once, while the attempt is wanted."""
    known = books.captured(tx, charge.order_id, charge.attempt)
    wanted = tx.execute(
        "SELECT 1 FROM attempts WHERE order_id = ? AND attempt = ? AND status = 'submitted'",
        (charge.order_id, charge.attempt),
    ).fetchone()
    if known is None and wanted is None:
        return Answer(Verdict.DECLINED, Reason.CLOSED)
    entry = int(known["id"]) if known is not None else books.capture(tx, charge, books.clearing_account(CASH), now)
    return Answer(Verdict.APPROVED, Reason.OK, f"R{entry:010d}")

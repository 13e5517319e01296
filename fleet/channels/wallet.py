"""A simulated payment app: it reads the code off a box's display and pays it, or shows a code that a box scans.

The payers' money is on the fleet's own accounts; whoever posts names the app's owner (`fleet.money.wallet_routes`).
A code that is shown waits for its payer: the attempt is pending until it is paid, or reversed by its box.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Sequence

from daemon.payment import emvco
from fleet.channels.adapter import Answer, Charge, Reason, Times, Trade, Verdict
from fleet.channels.simulated import Run, Simulated
from fleet.errors import NotFound, RequestRefused
from fleet.money import accounts, attempts, books
from fleet.money.amounts import parse_amount

NAME = "wallet"
CODE_LIFE_S = 60
_DIGITS = 18
_NO_SUCH = "scan the code that the box shows now"


class Wallet(Simulated):
    """Shown and scanned codes. The payer is known once the app has paid."""

    name = NAME
    has_accounts = False

    def __init__(self, run: Run, now: Callable[[], int]) -> None:
        super().__init__(run, now)
        self.times = Times(query_s=(0.5, 1.0), give_up_s=600.0)
        self._codes: dict[str, tuple[str, int]] = {}

    def new_code(self, payer: str) -> tuple[str, int]:
        """(a code off this payer's app, good once; until when, unix seconds)."""
        now = self._now()
        self._codes = {code: held for code, held in self._codes.items() if held[1] > now}
        code, until = f"13{secrets.randbelow(10 ** (_DIGITS - 2)):0{_DIGITS - 2}d}", now + CODE_LIFE_S
        self._codes[code] = (payer, until)
        return code, until

    async def pay(self, charge: Charge) -> Answer:
        if charge.credential is None:
            return Answer(Verdict.PENDING, Reason.PAYER_IS_ASKED)
        payer, until = self._codes.pop(charge.credential.code, ("", 0))
        if not payer or self._now() >= until:
            return Answer(Verdict.DECLINED, Reason.CREDENTIAL_REFUSED)
        answer: Answer = await self._run(lambda tx: take(tx, charge, payer, self._now()))
        return answer

    def pay_within(self, tx: sqlite3.Connection, charge: Charge) -> Answer | None:
        """Who pays is known to the app alone, once its owner has paid."""
        return None

    async def query(self, charge: Charge) -> Answer:
        taken = await self._run(lambda tx: books.captured(tx, charge.order_id, charge.attempt))
        if taken is not None:
            return Answer(Verdict.APPROVED, Reason.OK, _reference(taken["id"]))
        return Answer(Verdict.PENDING, Reason.PAYER_IS_ASKED)

    async def trades(self, day: str) -> Sequence[Trade]:
        """Its books are the fleet's: there is no second list to compare."""
        return ()


def pay_shown(tx: sqlite3.Connection, code: str, payer: str, now: int) -> Answer:
    """The app has read a code and its owner agrees. Raises RequestRefused: it is no code, or not one that waits."""
    try:
        read = emvco.read(code)
        more = emvco.objects(read.get("62", ""))
    except emvco.CodeRefused as refused:
        raise RequestRefused("the code", str(refused), _NO_SUCH) from refused
    number = more.get("05", "")
    found = [
        row for row in tx.execute(
            "SELECT order_id, attempt FROM attempts WHERE status = 'submitted' AND channel = ? AND flow = 'qr_shown'",
            (NAME,),
        )
        if emvco.bill_number(row["order_id"]) == more.get("01") and str(row["attempt"]) == number
    ]  # fmt: skip
    if not found:
        raise RequestRefused(
            "the code", "no payment waits for it: it was paid, cancelled, or its time is over", _NO_SUCH
        )
    order, row = attempts.order(tx, None, found[0]["order_id"]), attempts.row(tx, *found[0])
    if order is None or row is None:
        raise NotFound(f"order {found[0]['order_id']}", "never issued")
    charge = attempts.charge(order, row)
    if read.get("53") != emvco.NUMERIC.get(charge.currency) or parse_amount(
        read.get("54", ""), charge.currency
    ) != charge.amount_minor:  # fmt: skip
        raise RequestRefused("the code", "its amount is not the order's", _NO_SUCH)
    return take(tx, charge, payer, now)


def take(tx: sqlite3.Connection, charge: Charge, payer: str, now: int) -> Answer:
    """From the app owner's account, once, while the attempt is wanted; from now on the attempt's payer is known."""
    known = books.captured(tx, charge.order_id, charge.attempt)
    if known is not None:
        return Answer(Verdict.APPROVED, Reason.OK, _reference(known["id"]))
    row = attempts.row(tx, charge.order_id, charge.attempt)
    if row is None or row["status"] != "submitted":
        return Answer(Verdict.DECLINED, Reason.CLOSED)
    account = accounts.payer_account(payer)
    if not accounts.exists(tx, account):
        return Answer(Verdict.DECLINED, Reason.UNKNOWN_PAYER)
    if accounts.balance(tx, account, charge.currency) < charge.amount_minor:
        return Answer(Verdict.DECLINED, Reason.INSUFFICIENT_FUNDS)
    key = (charge.order_id, charge.attempt)
    tx.execute("UPDATE attempts SET payer = ? WHERE order_id = ? AND attempt = ?", (payer, *key))
    return Answer(Verdict.APPROVED, Reason.OK, _reference(books.capture(tx, charge, account, now)))


def _reference(entry: int) -> str:
    return f"R{entry:010d}"

"""The postings of a payment: capture, reversal, refund. Each happens once, whoever asks for it and however often.

A payer with an account here pays from it. Where a provider holds the money, it owes the merchant what it took: that
stands on the provider's clearing account. Money that came after its attempt was reversed belongs to nobody here: it
stands in suspense until the provider has given it back.
"""

from __future__ import annotations

import sqlite3
from typing import Literal

from fleet.channels.adapter import Charge
from fleet.money import accounts

SUSPENSE = "suspense:late"
OnceForAnAttempt = Literal["capture", "reversal", "late_capture"]


def clearing_account(channel: str) -> str:
    return f"clearing:{channel}"


def captured(tx: sqlite3.Connection, order_id: str, attempt: int) -> sqlite3.Row | None:
    """The capture of this attempt: `id`, `debit`, `credit`, `amount_minor`, `currency`."""
    return _entry(tx, "capture", order_id, attempt)


def capture(tx: sqlite3.Connection, charge: Charge, source: str, now: int) -> int:
    """From `source` to the merchant; the entry's id, old or new. Raises sqlite3.IntegrityError: the order was captured
    by another attempt."""
    known = captured(tx, charge.order_id, charge.attempt)
    if known is not None:
        return int(known["id"])
    accounts.open_account(tx, source, now)
    return accounts.transfer(
        tx, "capture", source, accounts.merchant_account(charge.merchant), charge.amount_minor, charge.currency, now,
        charge.order_id, charge.attempt,
    )  # fmt: skip


def capture_late(tx: sqlite3.Connection, charge: Charge, channel: str, now: int) -> bool:
    """The provider took the money after all. False: known already."""
    if _entry(tx, "late_capture", charge.order_id, charge.attempt) is not None:
        return False
    for account in (clearing_account(channel), SUSPENSE):
        accounts.open_account(tx, account, now)
    accounts.transfer(
        tx, "late_capture", clearing_account(channel), SUSPENSE, charge.amount_minor, charge.currency, now,
        charge.order_id, charge.attempt,
    )  # fmt: skip
    return True


def reverse(tx: sqlite3.Connection, order_id: str, attempt: int, now: int) -> bool:
    """The capture, back where it came from. False: there was none."""
    taken = captured(tx, order_id, attempt)
    if taken is None:
        return False
    if _entry(tx, "reversal", order_id, attempt) is None:
        accounts.transfer(
            tx, "reversal", taken["credit"], taken["debit"], taken["amount_minor"], taken["currency"], now,
            order_id, attempt,
        )  # fmt: skip
    return True


def refund(
    tx: sqlite3.Connection, refund_id: str, order_id: str, attempt: int, amount_minor: int, late: bool, now: int
) -> None:
    """Part or all of a capture (`late`: of one in suspense), back where it came from, once per `refund_id`."""
    if tx.execute("SELECT 1 FROM entries WHERE kind = 'refund' AND key = ?", (refund_id,)).fetchone() is not None:
        return
    taken = _entry(tx, "late_capture" if late else "capture", order_id, attempt)
    if taken is None:
        raise sqlite3.IntegrityError(f"a refund of {order_id}/{attempt}, which was not captured")
    accounts.transfer(
        tx,
        "refund",
        taken["credit"],
        taken["debit"],
        amount_minor,
        taken["currency"],
        now,
        order_id,
        attempt,
        refund_id,
    )


def _entry(tx: sqlite3.Connection, kind: OnceForAnAttempt, order_id: str, attempt: int) -> sqlite3.Row | None:
    # The kind stands in the statement: were it a parameter, SQLite would plan anew each time, as the index hangs on it.
    row = tx.execute(
        "SELECT e.id, d.account AS debit, c.account AS credit, c.amount_minor, c.currency FROM entries e"
        " JOIN postings d ON d.entry = e.id AND d.amount_minor < 0 JOIN postings c ON c.entry = e.id"
        f" AND c.amount_minor > 0 WHERE e.kind = '{kind}' AND e.order_id = ? AND e.attempt = ?",
        (order_id, attempt),
    ).fetchone()
    return row if isinstance(row, sqlite3.Row) else None

"""Points: postings like money, in a unit of their own, from and to accounts of the fleet's.

A member gets one for each whole unit of the currency that stays paid. A hundred of them are worth one whole unit: what
they take off is rounded down to the minor unit, and what that costs is rounded up to whole points.
"""

from __future__ import annotations

import sqlite3

from daemon.payment.money import decimals
from fleet.money import accounts
from fleet.money.accounts import POINTS

EARNED, SPENT = "equity:points", "equity:points-spent"
A_UNIT = 100  # points


def worth_minor(points: int, currency: str) -> int:
    """What so many points take off."""
    return max(0, points) * int(10 ** decimals(currency)) // A_UNIT


def cost(off_minor: int, currency: str) -> int:
    """How many points that takes."""
    return -(-off_minor * A_UNIT // int(10 ** decimals(currency)))


def has(tx: sqlite3.Connection, handle: str) -> int:
    """Below nought where points were spent whose payment was given back since."""
    return accounts.balance(tx, _account(handle), POINTS)


def earned(tx: sqlite3.Connection, handle: str, order_id: str, attempt: int) -> int:
    """What this attempt has brought, and not lost again."""
    row = tx.execute(
        "SELECT coalesce(sum(p.amount_minor), 0) FROM entries e JOIN postings p ON p.entry = e.id AND p.account = ?"
        " JOIN postings g ON g.entry = e.id AND g.account = ?"
        " WHERE e.kind = 'points' AND e.order_id = ? AND e.attempt = ?",
        (_account(handle), EARNED, order_id, attempt),
    ).fetchone()
    return int(row[0])


def settle(
    tx: sqlite3.Connection, handle: str, order_id: str, attempt: int, kept_minor: int, currency: str, now: int, why: str
) -> int:
    """Gives or takes what is due for `kept_minor`; `why` names the event, which counts once. The points posted."""
    change = kept_minor // int(10 ** decimals(currency)) - earned(tx, handle, order_id, attempt)
    if change:
        giver, taker = (EARNED, _account(handle)) if change > 0 else (_account(handle), EARNED)
        _post(tx, giver, taker, abs(change), now, order_id, attempt, why)
    return change


def spend(tx: sqlite3.Connection, handle: str, points: int, order_id: str, attempt: int, now: int) -> None:
    """They are gone as soon as the payment is asked for, so that nobody spends them twice."""
    if points:
        _post(tx, _account(handle), SPENT, points, now, order_id, attempt, "spent")


def give_back(tx: sqlite3.Connection, order_id: str, attempt: int, now: int) -> None:
    """What was spent on an attempt that has come to nothing; once."""
    row = tx.execute(
        "SELECT p.account, -p.amount_minor FROM entries e JOIN postings p ON p.entry = e.id AND p.amount_minor < 0"
        " WHERE e.kind = 'points' AND e.key = ? AND NOT EXISTS"
        " (SELECT 1 FROM entries b WHERE b.kind = 'points' AND b.key = ?)",
        (_key(order_id, attempt, "spent"), _key(order_id, attempt, "given_back")),
    ).fetchone()
    if row is not None:
        _post(tx, SPENT, row[0], row[1], now, order_id, attempt, "given_back")


def _post(
    tx: sqlite3.Connection, giver: str, taker: str, points: int, now: int, order_id: str, attempt: int, why: str
) -> None:
    for account in (EARNED, SPENT):
        accounts.open_account(tx, account, now)
    accounts.transfer(
        tx, "points", giver, taker, points, POINTS, now, order_id, attempt, _key(order_id, attempt, why)
    )  # fmt: skip


def _key(order_id: str, attempt: int, why: str) -> str:
    return f"{order_id}/{attempt}/{why}"


def _account(handle: str) -> str:
    return f"points:{handle}"

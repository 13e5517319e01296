"""Double-entry bookkeeping: every entry's postings sum to zero, and nothing is ever changed afterwards."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from fleet.errors import NotFound
from fleet.money.amounts import format_amount

OPENING = "equity:opening"
POINTS = "PTS"  # members' points, a unit beside the currencies of ISO 4217


@dataclass(frozen=True, slots=True)
class Balance:
    account: str
    kind: str
    currency: str | None  # None: nothing was ever posted
    amount_minor: int


def payer_account(handle: str) -> str:
    return f"payer:{handle}"


def merchant_account(name: str) -> str:
    return f"merchant:{name}"


def exists(tx: sqlite3.Connection, account: str) -> bool:
    return tx.execute("SELECT 1 FROM accounts WHERE name = ?", (account,)).fetchone() is not None


def open_account(tx: sqlite3.Connection, account: str, now: int) -> bool:
    """False: it is open already. The kind is the name's first part."""
    kind = account.split(":", 1)[0]
    cursor = tx.execute("INSERT INTO accounts VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (account, kind, now))
    return cursor.rowcount == 1


def open_payer(tx: sqlite3.Connection, handle: str, balance_minor: int, currency: str, now: int) -> bool:
    """A payer's account with an opening balance. False: it is open already, and its balance is left as it is."""
    open_account(tx, OPENING, now)
    fresh = open_account(tx, payer_account(handle), now)
    if fresh and balance_minor > 0:
        transfer(tx, "opening", OPENING, payer_account(handle), balance_minor, currency, now)
    return fresh


def transfer(
    tx: sqlite3.Connection,
    kind: str,
    debit: str,
    credit: str,
    amount_minor: int,
    currency: str,
    now: int,
    order_id: str | None = None,
    attempt: int | None = None,
    key: str | None = None,
) -> int:
    """Move money from `debit` to `credit`; the entry's id. sqlite3.IntegrityError: an unknown account, a second
    capture of one order, or a `key` that this kind of entry had before (the schema forbids it)."""
    entry = tx.execute(
        "INSERT INTO entries (kind, order_id, attempt, at, key) VALUES (?, ?, ?, ?, ?)",
        (kind, order_id, attempt, now, key),
    ).lastrowid
    tx.executemany(
        "INSERT INTO postings VALUES (?, ?, ?, ?)",
        [(entry, debit, currency, -amount_minor), (entry, credit, currency, amount_minor)],
    )
    return int(entry or 0)


def balance(tx: sqlite3.Connection, account: str, currency: str) -> int:
    """Minor units; 0 for an account that never saw this currency."""
    row = tx.execute(
        "SELECT amount_minor FROM balances WHERE account = ? AND currency = ?", (account, currency)
    ).fetchone()
    return 0 if row is None else int(row[0])


def balances(tx: sqlite3.Connection) -> list[Balance]:
    rows = tx.execute(
        "SELECT a.name, a.kind, b.currency, coalesce(b.amount_minor, 0) FROM accounts a"
        " LEFT JOIN balances b ON b.account = a.name ORDER BY a.kind DESC, a.name, b.currency"
    )
    return [Balance(*row) for row in rows]


def listing(tx: sqlite3.Connection) -> list[dict[str, Any]]:
    """Every account with its balance, one row per currency."""
    return [
        {
            "account": item.account,
            "kind": item.kind,
            "currency": item.currency,
            "balance_minor": item.amount_minor,
            "balance": _shown(item),
        }
        for item in balances(tx)
    ]


def payer_balance(tx: sqlite3.Connection, handle: str, currency: str) -> int:
    """Raises NotFound."""
    if not exists(tx, payer_account(handle)):
        raise NotFound(f"account of {handle}", "never opened")
    return balance(tx, payer_account(handle), currency)


def _shown(item: Balance) -> str:
    if item.currency is None or item.currency == POINTS:
        return str(item.amount_minor)
    return format_amount(item.amount_minor, item.currency)

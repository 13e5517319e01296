"""Stored value that is bought at a box: an order of the fleet's whose money becomes the member's balance.

The member looks and confirms there; a clerk takes the money. It becomes balance when the box has said that it took the
approval, for from then on nobody reverses it. A refund takes it off the balance before anybody gives anything back.
"""

from __future__ import annotations

import sqlite3

from fleet.errors import NotFound, RefundRefused, RequestRefused
from fleet.money import accounts, books
from fleet.money.amounts import format_amount

FLOW = "topup"
CASH = "cash"  # the channel of a clerk's drawer


def known(tx: sqlite3.Connection, slip: str, handle: str, amount_minor: int, currency: str) -> str | None:
    """The order that this slip has begun already. Raises RequestRefused: it was for something else; NotFound: there is
    no such account."""
    if not accounts.exists(tx, accounts.payer_account(handle)):
        raise NotFound(f"account of {handle[:64]}", "never opened", "`kingfisher-fleet enrol`")
    row = tx.execute(
        "SELECT t.order_id, t.handle, o.amount_minor, o.currency FROM topup_orders t JOIN orders o USING (order_id)"
        " WHERE t.slip = ?",
        (slip,),
    ).fetchone()
    if row is not None and tuple(row)[1:] != (handle, amount_minor, currency):
        raise RequestRefused(f"top-up {slip[:64]}", "another one has this id", "take a new id")
    return None if row is None else str(row["order_id"])


def note(tx: sqlite3.Connection, order_id: str, handle: str, slip: str) -> None:
    tx.execute("INSERT INTO topup_orders VALUES (?, ?, ?)", (order_id, handle, slip))


def member_of(tx: sqlite3.Connection, order_id: str) -> str | None:
    """Whose balance the order adds to; None: it is a sale."""
    row = tx.execute("SELECT handle FROM topup_orders WHERE order_id = ?", (order_id,)).fetchone()
    return str(row[0]) if row is not None else None


def fits(tx: sqlite3.Connection, order_id: str, payer: str, channel: str) -> bool:
    """A top-up is for its own member and into the drawer; a sale is never paid with what nobody saw."""
    handle = member_of(tx, order_id)
    return channel != CASH if handle is None else (handle, CASH) == (payer, channel)


def credit(tx: sqlite3.Connection, order_id: str, attempt: int, now: int) -> None:
    """The attempt is final: its money is the member's balance, once. Nothing for a sale."""
    handle, taken = member_of(tx, order_id), books.captured(tx, order_id, attempt)
    key = f"order:{order_id}/{attempt}"
    if handle is None or taken is None or _posted(tx, key):
        return
    accounts.transfer(
        tx, "topup", taken["credit"], accounts.payer_account(handle), taken["amount_minor"], taken["currency"], now,
        key=key,
    )  # fmt: skip


def take_back(tx: sqlite3.Connection, order_id: str, attempt: int, refund_id: str, amount_minor: int, now: int) -> None:
    """Off the balance, once per refund. Raises RefundRefused: not so much is left of it."""
    handle, taken = member_of(tx, order_id), books.captured(tx, order_id, attempt)
    key = f"refund:{refund_id}"
    if handle is None or taken is None or _posted(tx, key):
        return
    account, currency = accounts.payer_account(handle), taken["currency"]
    has = accounts.balance(tx, account, currency)
    if has < amount_minor:
        why = f"{format_amount(max(0, has), currency)} of it is left, the rest was spent"
        raise RefundRefused(f"order {order_id}", why, "refund a part of it", "topup_spent")
    accounts.transfer(tx, "topup", account, taken["credit"], amount_minor, currency, now, key=key)


def give_again(tx: sqlite3.Connection, refund: sqlite3.Row, now: int) -> None:
    """The refund was declined: the balance is as it was."""
    handle = member_of(tx, refund["order_id"])
    taken = books.captured(tx, refund["order_id"], refund["attempt"])
    key = f"kept:{refund['refund_id']}"
    if handle is None or taken is None or _posted(tx, key) or not _posted(tx, f"refund:{refund['refund_id']}"):
        return
    accounts.transfer(
        tx, "topup", taken["credit"], accounts.payer_account(handle), refund["amount_minor"], taken["currency"], now,
        key=key,
    )  # fmt: skip


def _posted(tx: sqlite3.Connection, key: str) -> bool:
    return tx.execute("SELECT 1 FROM entries WHERE kind = 'topup' AND key = ?", (key,)).fetchone() is not None

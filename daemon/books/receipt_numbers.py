"""Short numbers for sales, to be typed on a keypad: one after another, each with a check digit.

The check digit is that of ISO/IEC 7812-1, annex B (Luhn): one wrong digit, or two that changed places, name no sale.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils  # slow to import: only where tables are made


LONGEST = 12


def create_schema(database: sqlite_utils.Database) -> None:
    database.execute(  # AUTOINCREMENT: a number that was forgotten is never given to another sale
        "CREATE TABLE IF NOT EXISTS receipt_numbers (number INTEGER PRIMARY KEY AUTOINCREMENT,"
        " order_id TEXT NOT NULL UNIQUE REFERENCES orders (order_id))"
    )


def give(tx: sqlite3.Connection, order_id: str) -> None:
    """The next number is this order's, in the transaction that stores it."""
    tx.execute("INSERT INTO receipt_numbers (order_id) VALUES (?)", (order_id,))


def of(connection: sqlite3.Connection, order_id: str) -> str | None:
    """As it stands on the receipt; None for an order from before there were numbers."""
    row = connection.execute("SELECT number FROM receipt_numbers WHERE order_id = ?", (order_id,)).fetchone()
    return with_check_digit(int(row[0])) if row is not None else None


def order_of(connection: sqlite3.Connection, typed: str) -> str | None:
    """The order behind a number as it was typed; None where it is no number, or nobody's."""
    if not (typed.isascii() and typed.isdigit() and 2 <= len(typed) <= LONGEST):
        return None
    number = int(typed[:-1])
    if with_check_digit(number) != typed:
        return None
    row = connection.execute("SELECT order_id FROM receipt_numbers WHERE number = ?", (number,)).fetchone()
    return str(row[0]) if row is not None else None


def with_check_digit(number: int) -> str:
    """1234 -> "12344"."""
    digits = [int(digit) for digit in reversed(str(number))]
    doubled = sum(sum(divmod(2 * digit, 10)) if place % 2 == 0 else digit for place, digit in enumerate(digits))
    return f"{number}{-doubled % 10}"

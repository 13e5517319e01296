"""A balance is kept beside its postings: it is what they come to, in an old file too, and a difference is found."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fleet import database
from fleet.database import open_database
from fleet.migrations import MIGRATIONS
from fleet.money import accounts, ledger_check

NOW = 1_800_000_000
BEFORE = next(number for number, step in enumerate(MIGRATIONS) if step.version == 19)


def pay(tx: sqlite3.Connection, order: str, amount_minor: int) -> None:
    accounts.open_account(tx, "merchant:main", NOW)
    accounts.transfer(tx, "capture", "payer:grace", "merchant:main", amount_minor, "CNY", NOW, order, 1)


def test_a_balance_is_the_sum_of_its_postings_by_currency(tmp_path: Path) -> None:
    tx = open_database(tmp_path / "ledger.db")
    accounts.open_payer(tx, "grace", 10_000, "CNY", NOW)
    pay(tx, "o1", 1850)
    pay(tx, "o2", 50)
    assert accounts.payer_balance(tx, "grace", "CNY") == 8100
    assert accounts.payer_balance(tx, "grace", "EUR") == 0
    assert accounts.balance(tx, "merchant:main", "CNY") == 1900


def test_what_was_rolled_back_is_in_no_balance(tmp_path: Path) -> None:
    tx = open_database(tmp_path / "ledger.db")
    accounts.open_payer(tx, "grace", 10_000, "CNY", NOW)
    tx.execute("BEGIN")
    tx.execute("SAVEPOINT job")
    pay(tx, "o1", 1850)
    tx.execute("ROLLBACK TO job")
    tx.execute("COMMIT")
    assert accounts.payer_balance(tx, "grace", "CNY") == 10_000


def test_an_old_file_gets_the_balances_of_its_postings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as then:
        then.setattr(database, "MIGRATIONS", MIGRATIONS[:BEFORE])
        then.setattr(database, "SCHEMA_VERSION", MIGRATIONS[BEFORE - 1].version)
        old = open_database(tmp_path / "ledger.db")
        accounts.open_account(old, accounts.OPENING, NOW)
        accounts.open_account(old, "payer:grace", NOW)
        accounts.transfer(old, "opening", accounts.OPENING, "payer:grace", 10_000, "CNY", NOW)
        pay(old, "o1", 1850)
        old.close()
    tx = open_database(tmp_path / "ledger.db")
    assert accounts.payer_balance(tx, "grace", "CNY") == 8150
    assert accounts.balance(tx, accounts.OPENING, "CNY") == -10_000


def test_a_balance_that_somebody_has_changed_is_found(tmp_path: Path) -> None:
    tx = open_database(tmp_path / "ledger.db")
    accounts.open_payer(tx, "grace", 10_000, "CNY", NOW)
    assert ledger_check.verify(tx, NOW)["faults"] == []
    tx.execute("UPDATE balances SET amount_minor = 99999 WHERE account = 'payer:grace'")
    tx.execute("DELETE FROM balances WHERE account = ?", (accounts.OPENING,))
    found = [(fault["what"], fault["where"]) for fault in ledger_check.verify(tx, NOW)["faults"]]
    said = "a balance is not what its postings come to"
    assert found == [(said, f"{accounts.OPENING} CNY"), (said, "payer:grace CNY")]

"""A box that is cut off accepts a payment, and meanwhile somebody cancels its order: the goods went first, so that
the payer pays. An order that was cancelled before is not charged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.channels.adapter import Charge
from fleet.channels.simulated import Simulated, capture
from fleet.database import open_database
from fleet.money import accounts, ledger_check, orders
from fleet.money.outcomes import Ask, Task, heard
from fleet.money.settlement import Settlement
from mqtt.schemas import PayAnswerBody, PayRequestBody

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()


class Books:
    def __init__(self, path: Path) -> None:
        self.tx = open_database(path)
        self.box = boxes.add(self.tx, KEY, "counter", "main", NOW)
        accounts.open_payer(self.tx, "grace", 10_000, "CNY", NOW)
        self.channels = {"simulated": Simulated(lambda _: None, lambda: NOW)}  # type: ignore[arg-type,return-value]
        self.settlement = Settlement(self.channels)
        self.order_id = orders.create(
            self.tx, box=self.box, merchant="main", amount_minor=1850, currency="CNY", title=None,
            expires_at=NOW + 300, now=NOW,
        ).order_id  # fmt: skip

    def hand_in(self, accepted_at: int | None, now: int) -> PayAnswerBody | Charge | None:
        wanted = PayRequestBody(
            order_id=self.order_id, attempt=1, amount_minor=1850, currency="CNY", payer="grace",
            factors=["face", "pin"], channel="simulated", decided_at=accepted_at or now, flow="face_first",
        )  # fmt: skip
        said = self.settlement.request(self.tx, self.box, wanted, now, accepted_at)
        if isinstance(said, Charge):
            answer = capture(self.tx, said, now)
            said = heard(self.tx, self.channels, Task(Ask.PAY, "simulated", said), answer, now)
        return said

    @property
    def payer_has(self) -> int:
        return accounts.balance(self.tx, accounts.payer_account("grace"), "CNY")


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path / "ledger.db")
    yield made
    assert ledger_check.verify(made.tx, NOW)["ok"]
    made.tx.close()


def status(tx: sqlite3.Connection, order_id: str) -> str:
    return str(tx.execute("SELECT status FROM orders WHERE order_id = ?", (order_id,)).fetchone()[0])


def test_what_a_box_accepted_before_the_order_was_cancelled_is_paid(books: Books) -> None:
    orders.cancel(books.tx, books.order_id, "operator:ada", NOW + 20)
    said = books.hand_in(accepted_at=NOW + 10, now=NOW + 60)
    assert isinstance(said, PayAnswerBody)
    assert said.status == "approved"
    assert books.payer_has == 10_000 - 1850
    assert status(books.tx, books.order_id) == "paid"


@pytest.mark.parametrize("accepted_s", [20, 30])
def test_what_was_accepted_once_it_was_cancelled_is_not(books: Books, accepted_s: int) -> None:
    orders.cancel(books.tx, books.order_id, "operator:ada", NOW + 20)
    said = books.hand_in(accepted_at=NOW + accepted_s, now=NOW + 60)
    assert isinstance(said, PayAnswerBody)
    assert (said.status, said.reason) == ("declined", "order_closed")
    assert books.payer_has == 10_000


def test_a_payment_that_nobody_accepted_is_never_charged_for_a_cancelled_order(books: Books) -> None:
    orders.cancel(books.tx, books.order_id, "operator:ada", NOW + 20)
    said = books.hand_in(accepted_at=None, now=NOW + 21)
    assert isinstance(said, PayAnswerBody)
    assert said.reason == "order_closed"


def test_what_the_box_itself_cancelled_stays_cancelled(books: Books) -> None:
    orders.note_cancelled(books.tx, books.order_id, books.box, "by_payer")
    said = books.hand_in(accepted_at=NOW + 10, now=NOW + 60)
    assert isinstance(said, PayAnswerBody)
    assert said.reason == "order_closed"


def test_an_order_cancelled_twice_counts_from_the_first_time(books: Books) -> None:
    orders.cancel(books.tx, books.order_id, "operator:ada", NOW + 5)
    orders.cancel(books.tx, books.order_id, "operator:ada", NOW + 20)
    said = books.hand_in(accepted_at=NOW + 10, now=NOW + 60)
    assert isinstance(said, PayAnswerBody)
    assert said.reason == "order_closed"

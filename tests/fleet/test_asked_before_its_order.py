"""A broker may hold back the word on a box's own order: what was asked of it before buries an attempt all the same."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.channels.adapter import Charge
from fleet.channels.simulated import Simulated
from fleet.database import open_database
from fleet.money import accounts, attempts, box_orders, ledger_check, tombstones
from fleet.money.settlement import Settlement
from mqtt.schemas import OrderMadeBody, PayAnswerBody, PayRequestBody

NOW = 1_800_000_000


class Books:
    """A ledger with one box that may make orders, and one payer."""

    def __init__(self, path: Path) -> None:
        self.tx = open_database(path)
        self.box = self.another("a", "counter")
        accounts.open_payer(self.tx, "grace", 10_000, "CNY", NOW)
        self.settlement = Settlement({"simulated": Simulated(lambda _: None, lambda: NOW)})  # type: ignore[arg-type,return-value]
        self.order_id = f"{self.box}-{NOW}-{secrets.token_hex(6)}"

    def another(self, seed: str, name: str) -> str:
        key = Ed25519PrivateKey.from_private_bytes(seed.encode() * 32).public_key()
        box = boxes.add(self.tx, key, name, "main", NOW)
        box_orders.allow(self.tx, box, "CNY", 5000)
        return box

    def order_arrives(self) -> box_orders.Taken:
        made = OrderMadeBody(
            order_id=self.order_id, amount_minor=1850, currency="CNY", source="clerk", made_at=NOW, expires_at=NOW + 120
        )
        return box_orders.take(self.tx, self.box, made, NOW)

    def request(self, attempt: int = 1) -> PayAnswerBody | Charge | None:
        wanted = PayRequestBody(
            order_id=self.order_id, attempt=attempt, amount_minor=1850, currency="CNY", payer="grace",
            factors=["face", "pin"], channel="simulated", decided_at=NOW, flow="face_first",
        )  # fmt: skip
        return self.settlement.request(self.tx, self.box, wanted, NOW)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path / "ledger.db")
    yield made
    assert ledger_check.verify(made.tx, NOW)["ok"]
    made.tx.close()


@pytest.mark.parametrize("word", ["query", "reverse"])
def test_an_attempt_asked_about_before_its_order_came_is_never_charged(books: Books, word: str) -> None:
    early = getattr(books.settlement, word)(books.tx, books.box, books.order_id, 1, NOW)
    assert (early.status, early.reason) == ("declined", "unknown_order"), "the box takes this as the attempt's end"
    assert books.order_arrives() is box_orders.Taken.NEW
    late = books.request()
    assert isinstance(late, PayAnswerBody), "the box released nothing, and nobody may be charged for it"
    assert (late.status, late.reason) == ("declined" if word == "query" else "reversed", "never_received")
    assert isinstance(books.request(attempt=2), Charge), "the order itself can still be paid"


def test_said_twice_before_the_order_it_is_buried_once(books: Books) -> None:
    for word in (books.settlement.query, books.settlement.reverse, books.settlement.query):
        word(books.tx, books.box, books.order_id, 1, NOW)
    books.order_arrives()
    row = attempts.known(books.tx, books.order_id, 1)
    assert (row["status"], row["reason"]) == ("reversed", "never_received"), "the stronger word stands"


def test_no_box_buries_an_attempt_of_another_boxs_order(books: Books) -> None:
    other = books.another("o", "other")
    books.settlement.reverse(books.tx, other, books.order_id, 1, NOW)
    books.order_arrives()
    assert isinstance(books.request(), Charge)


def test_what_no_order_ever_followed_is_forgotten_when_no_request_of_it_can_be_believed_any_more(books: Books) -> None:
    books.settlement.query(books.tx, books.box, books.order_id, 1, NOW)
    tombstones.forget(books.tx, NOW + tombstones.KEPT_S)
    assert _early(books.tx) == 1
    tombstones.forget(books.tx, NOW + tombstones.KEPT_S + 1)
    assert _early(books.tx) == 0


def _early(tx: sqlite3.Connection) -> int:
    return int(tx.execute("SELECT count(*) FROM early_tombstones").fetchone()[0])

"""What a till hears of the sum: its own amount, and what a member paid where coupons made it less."""

from __future__ import annotations

import pytest

from daemon.books import own_orders, payments
from daemon.books.box_db import BoxDb
from daemon.till import standing
from daemon.till.desk import REMEMBERED_DAYS
from daemon.till.protocol import LineProtocol
from daemon.till.words import News, No


@pytest.fixture
def box_db(tmp_path):
    db = BoxDb(tmp_path / "box.db", (payments.create_schema, own_orders.create_schema))
    yield db
    db.close()


def paid(db, minor):
    def write(tx):
        tx.execute(
            "INSERT INTO orders (order_id, amount_minor, currency, expires_at, received_at, status)"
            " VALUES ('o1', 1850, 'CNY', 9, 1, 'approved')"
        )
        tx.execute("INSERT INTO own_orders (order_id, source, reference, made_at) VALUES ('o1', 'till', 'A-1042', 1)")
        tx.execute(
            "INSERT INTO attempts (order_id, attempt, amount_minor, currency, payer, status, reference)"
            " VALUES ('o1', 1, ?, 'CNY', 'grace', 'approved', 'R2')",
            (minor,),
        )

    db.run(write)


@pytest.mark.parametrize(("minor", "said"), [(1850, None), (1665, 1665)])
def test_a_till_hears_what_was_paid_where_it_is_less_than_it_asked_for(box_db, minor, said):
    paid(box_db, minor)
    state = standing.of(box_db.reader(), "A-1042")
    assert (state.amount_minor, state.paid_minor, state.receipt) == (1850, said, "R2")
    line = LineProtocol().say(News(1, state))
    assert (b"|paid=1665" in line) is (said is not None)
    assert b"|amount=1850" in line


def test_a_sale_of_long_ago_is_forgotten_and_its_answer_says_after_how_long(box_db):
    paid(box_db, 1850)
    ended = 1_800_000_000
    box_db.run(lambda tx: tx.execute("CREATE TABLE evidence (order_id)"))
    box_db.run(lambda tx: tx.execute("CREATE TABLE receipt_numbers (order_id)"))
    box_db.run(lambda tx: tx.execute("UPDATE orders SET closed_at = ?", (ended,)))
    days = REMEMBERED_DAYS * 86_400
    box_db.run(lambda tx: payments.prune(tx, ended + days))
    assert standing.of(box_db.reader(), "A-1042") is not None
    box_db.run(lambda tx: payments.prune(tx, ended + days + 1))
    assert standing.of(box_db.reader(), "A-1042") is None
    line = LineProtocol().say(No(7, "unknown_ref", REMEMBERED_DAYS))
    assert b"@7|NAK|why=unknown_ref|days=100*" in line
    assert b"days" not in LineProtocol().say(No(7, "busy"))

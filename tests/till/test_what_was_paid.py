"""What a till hears of the sum: its own amount, and what a member paid where coupons made it less."""

from __future__ import annotations

import pytest

from daemon.books import own_orders, payments
from daemon.books.box_db import BoxDb
from daemon.till import standing
from daemon.till.protocol import LineProtocol
from daemon.till.words import News


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

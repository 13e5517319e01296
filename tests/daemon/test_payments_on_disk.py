"""What stays of a payment on disk, and for how long."""

from __future__ import annotations

import pytest

from daemon.app import SCHEMA
from daemon.books import journal, payment_history, payments
from daemon.books.box_db import BoxDb
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest
from daemon.payment.status import Status

NOW = 2_000_000_000
OLD = NOW - payments.KEPT_S - 1
CNY = Amount(1850, "CNY")


@pytest.fixture
def db(tmp_path):
    found = BoxDb(tmp_path / "box.db", SCHEMA)
    yield found
    found.close()


def pay(db, order_id, at, *passed, payer="grace", currency="CNY", duress=False):
    """An order with one attempt that went through these states, all at the same moment."""

    def job(tx):
        amount = Amount(1850, currency)
        payments.store_order(tx, Order(order_id, amount, None, 0.0), at + 60, at)
        request = PayRequest(order_id, 1, amount, payer, ("face", "pin"), "simulated", "face_first", duress)
        payments.open_attempt(tx, request, at)
        for status in passed:
            payments.move_attempt(tx, order_id, 1, status, "ok", None, at)
        if passed and passed[-1] in (Status.APPROVED, Status.DECLINED, Status.REVERSED):
            payments.close_order(tx, order_id, passed[-1], "ok", at)
        journal.append(tx, "attempt", {"order_id": order_id}, at)

    db.run(job)


def orders(db):
    reader = db.reader()
    try:
        return [row["order_id"] for row in reader.execute("SELECT order_id FROM orders ORDER BY order_id")]
    finally:
        reader.close()


def test_what_ended_long_ago_is_forgotten_and_what_has_not_ended_never(db):
    pay(db, "old", OLD, Status.APPROVED)
    pay(db, "old and open", OLD, Status.QUERYING)
    pay(db, "new", NOW, Status.APPROVED)
    assert db.run(lambda tx: payments.prune(tx, NOW)) == 1
    assert orders(db) == ["new", "old and open"]


def test_an_old_order_whose_money_is_on_its_way_back_stays(db):
    pay(db, "o1", OLD, Status.APPROVED)
    db.run(lambda tx: payments.move_attempt(tx, "o1", 1, Status.REFUNDING, "clerk", None, NOW))
    assert db.run(lambda tx: payments.prune(tx, NOW)) == 0


def test_the_journal_keeps_its_chain(db):
    pay(db, "old", OLD, Status.APPROVED)
    db.run(lambda tx: payments.prune(tx, NOW))
    reader = db.reader()
    assert journal.verify(reader)[0] == 1
    reader.close()


def test_a_payers_day_counts_what_was_taken_and_what_is_under_way_and_nothing_else(db):
    for number, status in enumerate((Status.APPROVED, Status.SUBMITTED, Status.DECLINED, Status.REVERSED)):
        pay(db, f"o{number}", NOW - 100, status)
    pay(db, "yesterday", NOW - 25 * 3600, Status.APPROVED)
    pay(db, "yen", NOW - 100, Status.APPROVED, currency="JPY")
    pay(db, "somebody", NOW - 100, Status.APPROVED, payer="eileen")
    reader = db.reader()
    found = payment_history.around(reader, "grace", CNY, 12, NOW)
    reader.close()
    assert (found.payer_count_day, found.payer_sum_day) == (3, 3700)
    assert (found.box_count_day, found.box_sum_day) == (4, 5550)
    assert (found.visits, found.duress) == (3, False)


@pytest.mark.parametrize("status", [Status.WRITTEN_OFF, Status.REVERSING, Status.MANUAL, Status.REFUNDING])
def test_what_was_never_paid_for_or_may_not_come_back_uses_up_a_day_as_well(db, status):
    """Else whoever has no money could take the caps' worth of goods after each time the link was back."""
    pay(db, "o1", NOW - 100, status)
    reader = db.reader()
    found = payment_history.around(reader, "grace", CNY, 12, NOW)
    reader.close()
    assert (found.payer_count_day, found.payer_sum_day, found.box_sum_day) == (1, 1850, 1850)


def test_a_clock_that_a_stranger_may_have_set_gives_nobody_the_offline_caps_afresh(db):
    """The plug was pulled, the network cut, and the clock put on by a day before the start."""
    pay(db, "o1", NOW - 25 * 3600, Status.ACCEPTED_OFFLINE)
    pay(db, "o2", NOW - 25 * 3600, Status.APPROVED)
    reader = db.reader()
    told = payment_history.around(reader, "grace", CNY, 12, NOW)
    alone = payment_history.around(reader, "grace", CNY, 12, NOW, time_is_certain=False)
    reader.close()
    assert (told.payer_count_day, told.payer_sum_day, told.box_sum_day) == (0, 0, 0)
    assert (alone.payer_count_day, alone.payer_sum_day, alone.box_sum_day) == (1, 1850, 1850)


def test_a_payer_who_was_forced_once_is_remembered(db):
    pay(db, "o1", NOW - 1000, Status.APPROVED, duress=True)
    reader = db.reader()
    assert payment_history.around(reader, "grace", CNY, 12, NOW).duress
    assert not payment_history.around(reader, "eileen", CNY, 12, NOW).duress
    reader.close()


def test_who_asked_for_a_refund_is_found_again_after_a_start(db):
    pay(db, "asked", NOW, Status.APPROVED)
    pay(db, "late", NOW, Status.REVERSED)
    db.run(lambda tx: payments.move_attempt(tx, "asked", 1, Status.REFUNDING, "technician", None, NOW))
    db.run(lambda tx: payments.move_attempt(tx, "late", 1, Status.REFUNDING, "approved_late", None, NOW))
    reader = db.reader()
    found = payments.unfinished(reader, 0.0, NOW)
    reader.close()
    assert found.refunds == {("asked", 1): "technician"}
    assert len(found.attempts) == 2

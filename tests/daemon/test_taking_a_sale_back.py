"""A clerk's PIN, a receipt's number, and the money goes back: at a running main loop with a real database."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from daemon.books import receipt_numbers
from daemon.box_events import ClerkChecked, KeypadKey, Scanned, TillSaid
from daemon.counter import machine, take_back
from daemon.counter.floor import Floor
from daemon.enrolment.authority import Authority, keep_clerk_pin
from daemon.enrolment.pin_check import PinDesk
from daemon.payment.effects import AttemptMoved, OrderClosed, OrderStored
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest
from daemon.payment.status import Status
from daemon.screen import views
from daemon.till.desk import TillRules
from daemon.till.words import News, No, OrderWanted, RefundWanted, Yes
from daemon.till.words import Standing as TillStanding

PIN = "135790"


@pytest.fixture
def counter(rig, tmp_path):
    """A box whose clerk has a PIN and may refund sales of up to 50.00."""
    made = []

    def make(up_to_minor: int = 5000, **more):
        one = rig()
        keep_clerk_pin(tmp_path / "clerk-pin", PIN)
        authority = Authority(clerk=tmp_path / "clerk-pin")
        pins = PinDesk(authority, one.db, one.parts.clock, lambda *told: one.queue.put(ClerkChecked(*told)))
        made.append(pins)
        floor = Floor(
            counter=machine.Rules("CNY", 50_000, True), take_back=take_back.Rules(up_to_minor=up_to_minor), pins=pins,
            **more,
        )  # fmt: skip
        one.parts = replace(one.parts, floor=floor)
        return one

    yield make
    for pins in made:
        pins.stop()


def sold(rig, order_id="o1", minor=1850):
    """A sale of today, paid; its number on the receipt."""
    amount = Amount(minor, "CNY")
    request = PayRequest(order_id, 1, amount, "grace", ("face", "pin"), "simulated", "face_first")
    rig.write(
        OrderStored(Order(order_id, amount, None, time.monotonic() + 60)),
        AttemptMoved(order_id, 1, Status.CONFIRMED, request=request),
        AttemptMoved(order_id, 1, Status.APPROVED, "ok", "R1"),
        OrderClosed(order_id, Status.APPROVED, "ok"),
    )
    reader = rig.db.reader()
    number = receipt_numbers.of(reader, order_id)
    reader.close()
    return number


def press(rig, *keys):
    for key in keys:
        rig.queue.put(KeypadKey(key))


def view(rig):
    return rig.box._front._view


def shows(rig, kind, **facts):
    def right():
        seen = view(rig)
        return isinstance(seen, kind) and all(getattr(seen, name) == value for name, value in facts.items())

    assert rig.until(right), view(rig)


def log_in(rig):
    press(rig, "menu")
    shows(rig, views.Authorise, to="takeback")
    press(rig, *PIN, "ok")
    shows(rig, views.EnterReceipt)


def statuses(rig):
    return [row[0] for row in rig.rows("SELECT status FROM attempts")]


def test_a_sale_goes_back_on_the_clerks_authority_which_the_journal_keeps(counter):
    rig = counter()
    number = sold(rig)
    rig.start()
    log_in(rig)
    press(rig, *number, "ok")
    shows(rig, views.AskTakeBack, number=number, amount_minor=1850, refund=True)
    press(rig, "ok")
    shows(rig, views.TakenBack, word="refunding")
    assert rig.until(lambda: statuses(rig) == ["refunding"])
    [facts] = rig.rows("SELECT facts FROM journal WHERE name = 'attempt' ORDER BY seq DESC LIMIT 1")
    assert '"reason":"clerk"' in facts[0]
    assert '"status":"refunding"' in facts[0]
    assert PIN not in str(rig.rows("SELECT * FROM journal"))


def test_the_receipts_code_is_scanned_instead_of_typing(counter):
    rig = counter()
    sold(rig)
    rig.start()
    log_in(rig)
    rig.queue.put(Scanned("6901234567892"))
    rig.queue.put(Scanned("kingfisher:1?o=o1&a=1&c=CNY&t=1"))
    shows(rig, views.AskTakeBack, amount_minor=1850)  # what the code says of the amount does not count


def test_a_typing_error_in_the_number_names_no_other_sale(counter):
    rig = counter()
    numbers = [sold(rig, f"o{n}") for n in range(12)]
    rig.start()
    log_in(rig)
    wrong = numbers[0][:-1] + str((int(numbers[0][-1]) + 1) % 10)
    press(rig, *wrong, "ok")
    shows(rig, views.EnterReceipt, note="no_such_sale")
    assert all(status == "approved" for status in statuses(rig))


def test_a_sale_that_waits_for_its_payer_is_cancelled(counter):
    rig = counter()
    rig.start()
    press(rig, "menu")  # the counter is the clerk's: what comes now waits
    shows(rig, views.Authorise)
    rig.say("order", rig.order("o9"))
    assert rig.until(lambda: rig.rows("SELECT order_id FROM orders") == [("o9",)])
    reader = rig.db.reader()
    number = receipt_numbers.of(reader, "o9")
    reader.close()
    press(rig, *PIN, "ok")
    shows(rig, views.EnterReceipt)
    press(rig, *number, "ok")
    shows(rig, views.AskTakeBack, refund=False)
    press(rig, "ok")
    shows(rig, views.TakenBack, word="cancelled")
    assert rig.until(lambda: rig.rows("SELECT status, reason FROM orders") == [("cancelled", "by_clerk")])


def test_above_the_clerks_limit_nothing_moves(counter):
    rig = counter(up_to_minor=1000)
    number = sold(rig)
    rig.start()
    log_in(rig)
    press(rig, *number, "ok")
    shows(rig, views.TakenBack, word="above_clerks_limit")
    press(rig, "ok")
    assert statuses(rig) == ["approved"]


def test_three_wrong_pins_lock_and_each_was_counted_before_it_was_compared(counter):
    rig = counter()
    sold(rig)
    rig.start()
    press(rig, "menu")
    for left in (2, 1):
        shows(rig, views.Authorise, checking=False)
        press(rig, *"999999", "ok")
        shows(rig, views.Authorise, wrong_tries_left=left)
        assert rig.rows("SELECT wrong FROM pin_tries") == [(3 - left,)]
    press(rig, *"999999", "ok")
    shows(rig, views.TakenBack, word="locked")
    press(rig, "ok", "menu")
    shows(rig, views.Authorise)
    press(rig, *PIN, "ok")  # the right one, while it is locked
    shows(rig, views.TakenBack, word="locked")


def test_where_nobody_has_a_pin_the_menu_key_does_nothing(counter, tmp_path):
    rig = counter()
    (tmp_path / "clerk-pin").unlink()
    rig.start()
    shows(rig, views.Idle)
    press(rig, "menu", "5")
    shows(rig, views.EnterAmount)


def test_numbers_go_on_counting_and_are_never_given_twice(counter):
    rig = counter()
    first = sold(rig, "o1")
    rig.db.run(lambda tx: tx.execute("DELETE FROM receipt_numbers"))
    second = sold(rig, "o2")
    assert int(second[:-1]) > int(first[:-1])


@pytest.mark.parametrize("number", [1, 9, 10, 4217, 99_999])
def test_no_single_wrong_digit_and_no_swapped_neighbours_is_another_number(number):
    right = receipt_numbers.with_check_digit(number)
    wrong = {right[:i] + digit + right[i + 1 :] for i in range(len(right)) for digit in "0123456789"}
    wrong |= {
        right[:i] + right[i + 1] + right[i] + right[i + 2 :]
        for i in range(len(right) - 1)
        if {right[i], right[i + 1]} != {"0", "9"}  # the one swap that this digit lets pass
    }
    wrong -= {right}
    assert all(receipt_numbers.with_check_digit(int(w[:-1] or 0)) != w for w in wrong)


@pytest.fixture
def till(counter):
    """A running box with a till whose sale A-1 was paid; all that the till was told."""
    told = []
    rig = counter(till=TillRules("CNY", 50_000), say=told.append)
    rig.start()
    rig.queue.put(TillSaid(OrderWanted(1, "A-1", 1850, "CNY")))
    assert rig.until(lambda: any(isinstance(reply, Yes) for reply in told))
    [(order_id,)] = rig.rows("SELECT order_id FROM own_orders")
    request = PayRequest(order_id, 1, Amount(1850, "CNY"), "grace", ("face",), "simulated", "face_first")
    rig.box._scribe.write((AttemptMoved(order_id, 1, Status.CONFIRMED, request=request),))
    approved = AttemptMoved(order_id, 1, Status.APPROVED, reference="R7")
    rig.box._scribe.write((approved, OrderClosed(order_id, Status.APPROVED, "ok")))
    assert rig.until(lambda: any(isinstance(r, News) and r.state.standing is TillStanding.APPROVED for r in told))
    press(rig, "cancel")  # the payer's screen of an order that was paid behind its back
    shows(rig, views.Cancelled)
    press(rig, "ok")
    shows(rig, views.Idle)
    return rig, told


def test_a_till_asks_for_a_refund_and_the_clerks_pin_is_typed_at_the_box(till):
    rig, told = till
    rig.queue.put(TillSaid(RefundWanted(7, "A-1")))
    shows(rig, views.Authorise, to="takeback")
    assert any(isinstance(r, Yes) and r.n == 7 and r.state.standing is TillStanding.APPROVED for r in told)
    assert statuses(rig) == ["approved"]  # nothing moves on the till's word alone
    press(rig, *PIN, "ok")
    shows(rig, views.AskTakeBack, amount_minor=1850)
    press(rig, "ok")
    assert rig.until(lambda: any(isinstance(r, News) and r.state.reason == "refunding" for r in told))


def test_a_till_that_asks_while_somebody_is_at_the_box_is_told_so(till):
    rig, told = till
    press(rig, "5")
    shows(rig, views.EnterAmount)
    rig.queue.put(TillSaid(RefundWanted(8, "A-1")))
    assert rig.until(lambda: No(8, "busy") in told)
    assert isinstance(view(rig), views.EnterAmount)


def test_a_till_that_asks_for_what_was_never_paid_hears_how_it_stands(till):
    rig, told = till
    rig.queue.put(TillSaid(RefundWanted(9, "A-2")))
    assert rig.until(lambda: No(9, "unknown_ref", 100) in told)
    rig.queue.put(TillSaid(OrderWanted(10, "A-3", 500, "CNY")))
    assert rig.until(lambda: any(isinstance(r, Yes) and r.n == 10 for r in told))
    rig.queue.put(TillSaid(RefundWanted(11, "A-3")))
    assert rig.until(
        lambda: any(isinstance(r, Yes) and r.n == 11 and r.state.standing is TillStanding.WAITING for r in told)
    )

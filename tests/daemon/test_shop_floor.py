"""The clerk's keypad, the scanner and the till's line at a running main loop: a real database, real ptys."""

from __future__ import annotations

import json
import math
import os
import select
import threading
import time
import tty
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from daemon.box_events import KeypadKey, Scanned, Stop, TillSaid
from daemon.counter import catalogue as catalogues
from daemon.counter import machine
from daemon.counter.floor import Floor
from daemon.payment import effects as fx
from daemon.payment import events as ev
from daemon.payment.effects import AttemptMoved, OrderClosed
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest, Turn
from daemon.payment.state import Paying
from daemon.payment.status import Status
from daemon.screen import views
from daemon.till.desk import TillRules
from daemon.till.frame import Frame, decode, encode
from daemon.till.protocol import LineProtocol
from daemon.till.serial_till import SerialTill
from daemon.uplink.clock import TrustedClock
from hal.serial_line import SerialLine, SerialOptions
from mqtt.envelope import TrustedKey, Verifier
from mqtt.schemas import OrderMadeBody

WATER = "6901234567892"
GOODS = {
    "format": 1, "version": 1, "currency": "CNY", "tax_included": True,
    "items": [{"code": WATER, "name": "矿泉水 Water", "price_minor": 200, "tax_bp": 1300}],
}  # fmt: skip


@pytest.fixture
def shop(rig):
    """A running box whose clerk may type amounts and scan one kind of goods."""

    def make(clock: TrustedClock | None = None, **changes: Any):
        one = rig(clock=clock)
        rules = machine.Rules("CNY", 50_000, True, catalogues.of(GOODS, "test"))
        one.parts = replace(one.parts, floor=Floor(counter=rules, **changes))
        one.start()
        return one

    return make


def press(rig, *keys: str) -> None:
    for key in keys:
        rig.queue.put(KeypadKey(key))


def view(rig) -> views.View | None:
    return rig.box._front._view


def sent(rig) -> list[OrderMadeBody]:
    """The signed orders in the outbox, in the order of sending; each must verify as the fleet would."""
    key = rig.link._signer.key.public_key()
    verifier = Verifier({rig.link.box_id: TrustedKey(rig.link.box_id, key)}.get, rig.link.fleet_id)
    rows = rig.rows("SELECT topic, payload FROM outbox WHERE kind = 'order.made' ORDER BY priority, id")
    return [OrderMadeBody(**verifier.verify(payload, topic, retained=False).body) for topic, payload in rows]


def test_a_clerks_amount_becomes_a_signed_order_in_one_transaction(shop):
    rig = shop()
    press(rig, "1", "8", "dot", "5", "ok")
    assert rig.until(lambda: len(sent(rig)) == 1)
    [made] = sent(rig)
    assert (made.amount_minor, made.currency, made.source) == (1850, "CNY", "clerk")
    assert made.order_id.startswith(f"{rig.link.box_id}-")
    assert rig.rows("SELECT order_id, amount_minor FROM orders") == [(made.order_id, 1850)]
    assert rig.rows("SELECT source FROM own_orders") == [("clerk",)]
    names = [row[0] for row in rig.rows("SELECT name FROM journal ORDER BY seq")]
    assert "order_made" in names
    kinds = [row[0] for row in rig.rows("SELECT kind FROM outbox ORDER BY priority, id")]
    assert kinds[0] == "order.made"  # before whatever else is to be sent about it


def test_when_the_disk_refuses_there_is_neither_order_nor_word_to_the_fleet(shop):
    rig = shop()
    rig.db.run(lambda tx: tx.execute("CREATE TRIGGER full BEFORE INSERT ON outbox WHEN NEW.kind = 'order.made'"
                                     " BEGIN SELECT RAISE(ABORT, 'disk full'); END"))  # fmt: skip
    press(rig, "5", "ok")
    assert rig.until(lambda: bool(rig.fault))
    assert rig.rows("SELECT * FROM orders") == []
    assert rig.rows("SELECT * FROM own_orders") == []


def test_scanned_goods_become_an_order_with_their_lines(shop):
    rig = shop()
    rig.queue.put(Scanned(WATER))
    rig.queue.put(Scanned(WATER))
    assert rig.until(lambda: isinstance(view(rig), views.Cart) and view(rig).total_minor == 400)
    press(rig, "ok")
    assert rig.until(lambda: len(sent(rig)) == 1)
    assert (sent(rig)[0].amount_minor, sent(rig)[0].source) == (400, "cart")
    [(lines,)] = rig.rows("SELECT lines FROM own_orders")
    assert [(line["name"], line["quantity"], line["total_minor"]) for line in json.loads(lines)] == [
        ("矿泉水 Water", 2, 400)
    ]


def test_an_order_of_the_fleet_waits_while_the_clerk_types_and_is_taken_up_after(shop):
    rig = shop()
    press(rig, "5")
    assert rig.until(lambda: isinstance(view(rig), views.EnterAmount))
    rig.say("order", rig.order("o1"))
    assert rig.until(lambda: rig.acked == ["order"])
    assert isinstance(view(rig), views.EnterAmount)
    press(rig, "cancel")
    assert rig.until(lambda: not rig.box._payment.idle)


def test_a_box_without_a_trusted_clock_says_so_and_keeps_what_was_typed(shop):
    rig = shop(clock=TrustedClock(int(time.time()) + 10**6))
    press(rig, "5", "ok")
    assert rig.until(lambda: getattr(view(rig), "note", None) == "no_clock")
    assert rig.rows("SELECT * FROM orders") == []


def test_a_scan_while_somebody_pays_is_the_payments_and_never_opens_a_cart(shop):
    rig = shop()
    rig.say("order", rig.order("o1"))
    assert rig.until(lambda: not rig.box._payment.idle)
    rig.queue.put(Scanned(WATER))
    press(rig, "menu")
    time.sleep(0.2)
    assert not rig.box._floor.busy


def test_the_fleet_is_told_of_an_order_again_before_each_question_and_voucher_for_it(shop, monkeypatch):
    rig = shop()
    press(rig, "5", "ok")
    assert rig.until(lambda: len(sent(rig)) == 1)
    [made] = sent(rig)
    said: list[tuple[str, Any]] = []
    monkeypatch.setattr(rig.link, "say", lambda typ, body, life_s=60: said.append((typ, body)))
    request = PayRequest(made.order_id, 1, Amount(500, "CNY"), "grace", ("face",), "simulated", "face_first")
    rig.queue.put(Stop())
    rig.thread.join(10)
    rig.box._payment._reader = rig.db.reader()
    for effect in (fx.Query(made.order_id, 1), fx.SendVoucher(request), fx.Query("of-the-fleet", 1)):
        rig.box._payment._carry_out(effect)
    assert [typ for typ, _ in said] == ["order.made", "pay.query", "order.made", "pay.voucher", "pay.query"]
    assert said[0][1] == said[2][1] == made


# ---- the till -------------------------------------------------------------------------------------------------------


@dataclass
class Till:
    """A scripted till at the far end of a pty."""

    far: int
    n: int = 0
    heard: list[Frame] = field(default_factory=list)

    def begin(self) -> None:
        self._over = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def end(self) -> None:
        self._over.set()
        self._listener.join()

    def _listen(self) -> None:
        kept = b""
        while not self._over.is_set():
            if not select.select([self.far], [], [], 0.05)[0]:
                continue
            try:
                kept += os.read(self.far, 4096)
            except OSError:
                return
            *lines, kept = kept.split(b"\n")
            self.heard += [decode(line.strip()) for line in lines]

    def say(self, word: str, n: int | None = None, **fields: str) -> int:
        self.n += 1
        number = self.n if n is None else n
        os.write(self.far, encode(Frame(number, word, fields)))
        return number

    def order(self, ref: str = "A-1", amount: str = "1850", currency: str = "CNY") -> int:
        return self.say("ORDER", ref=ref, amount=amount, currency=currency)

    def said(self, word: str, **fields: str) -> list[Frame]:
        return [f for f in list(self.heard) if f.word == word and fields.items() <= f.fields.items()]


@pytest.fixture
def till(shop):
    """A running box, and a till on its line."""
    far, near = os.openpty()
    tty.setraw(near)
    tty.setraw(far)
    line = SerialLine(SerialOptions(path=Path(os.ttyname(near))))
    queues: list[Any] = []
    opened = threading.Event()  # what is said before is lost, as on any serial port
    serial = SerialTill(
        line, LineProtocol(), lambda request: queues[0].put(TillSaid(request)), lambda *_: opened.set()
    )  # fmt: skip
    rig = shop(say=serial.say, till=TillRules("CNY", 50_000, max_open=2))
    queues.append(rig.queue)
    serial.start()
    assert opened.wait(10)
    till = Till(far)
    till.begin()
    yield rig, till
    serial.stop()
    till.end()  # before the number of this file is another's
    os.close(far)


def test_a_till_asks_for_a_payment_and_hears_its_end(till):
    rig, till = till
    n = till.order()
    assert rig.until(lambda: till.said("ACK", state="waiting"))
    assert till.said("ACK")[0].n == n
    [made] = sent(rig)
    assert (made.source, made.reference, made.amount_minor) == ("till", "A-1", 1850)
    request = PayRequest(made.order_id, 1, Amount(1850, "CNY"), "grace", ("face",), "simulated", "face_first")
    rig.box._scribe.write((AttemptMoved(made.order_id, 1, Status.CONFIRMED, request=request),))
    assert rig.until(lambda: till.said("STATUS", state="paying"))
    approved = AttemptMoved(made.order_id, 1, Status.APPROVED, reference="R7")
    rig.box._scribe.write((approved, OrderClosed(made.order_id, Status.APPROVED, "ok")))
    assert rig.until(lambda: till.said("STATUS", state="approved", receipt="R7", amount="1850"))


def test_the_same_reference_again_is_the_same_order(till):
    rig, till = till
    for _ in range(5):
        till.order()
    assert rig.until(lambda: till.said("ACK", state="waiting"))
    till.order()
    assert rig.until(lambda: till.said("ACK", ref="A-1") and till.said("ACK")[-1].n == till.n)
    assert rig.rows("SELECT count(*) FROM orders") == [(1,)]
    till.order(amount="1851")
    till.order(currency="USD")
    assert rig.until(lambda: len(till.said("NAK", why="conflict")) == 2)
    assert rig.rows("SELECT count(*) FROM orders") == [(1,)]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"amount": "50001"}, "above_limit"), ({"amount": "0"}, "bad_amount"), ({"currency": "USD"}, "bad_currency"),
        ({"currency": "QQQ"}, "bad_currency"), ({"ref": ""}, "bad_ref"),
    ],
)  # fmt: skip
def test_what_a_till_may_not_ask_for_is_named_and_has_no_effect(till, fields, why):
    rig, till = till
    till.order(**({"ref": "A-1"} | fields))
    assert rig.until(lambda: till.said("NAK", why=why))
    assert rig.rows("SELECT count(*) FROM orders") == [(0,)]


def test_noise_half_lines_and_floods_do_not_stop_the_line(till):
    rig, till = till
    os.write(till.far, b"\xff\x00@17|ORDER|ref=A-")
    os.write(till.far, b"\r\n" + b"#" * 3000 + b"\r\n")
    os.write(till.far, b"@1|PING*0000\r\n" * 20)
    till.order("A-2")
    assert rig.until(lambda: till.said("ACK", ref="A-2"))
    assert 1 <= len(till.said("NAK")) <= 6
    assert rig.rows("SELECT count(*) FROM orders") == [(1,)]


def test_more_open_orders_than_allowed_are_busy_and_taken_later(till):
    rig, till = till
    for ref in ("A-1", "A-2", "A-3"):
        till.order(ref)
    assert rig.until(lambda: till.said("NAK", why="busy"))
    assert len(sent(rig)) == 2


def test_a_till_takes_an_order_back_while_nobody_pays(till):
    rig, till = till
    till.order("A-1")
    till.order("A-2")
    assert rig.until(lambda: len(till.said("ACK")) == 2)
    n = till.say("CANCEL", ref="A-2")
    assert rig.until(lambda: till.said("ACK", ref="A-2", state="cancelled"))
    assert till.said("ACK", ref="A-2", state="cancelled")[0].n == n
    assert [row[0] for row in rig.rows("SELECT reason FROM orders WHERE status = 'cancelled'")] == ["by_till"]


@pytest.fixture
def slow_disk(till):
    """Whatever is to be written waits until the test lets it."""
    rig, line = till
    gate, held = threading.Event(), threading.Event()

    def hold(_):
        held.set()
        gate.wait(60)

    def begin():
        line.say("PING", n=76)
        assert rig.until(lambda: any(frame.n == 76 for frame in line.said("ACK"))), "the box has started"
        rig.db.submit(hold)
        assert held.wait(60)
        return gate.set

    yield begin
    gate.set()


def test_a_till_that_takes_an_order_back_before_it_is_on_disk_is_not_told_that_nobody_knows_it(till, slow_disk):
    """`unknown_ref` says that nothing will ever be charged, and that the line had no effect."""
    rig, till = till
    go_on = slow_disk()
    ordered = till.order("A-1")
    asked = till.say("QUERY", ref="A-1")
    cancelled = till.say("CANCEL", ref="A-1")
    till.say("PING", n=77)
    assert rig.until(lambda: any(frame.n == 77 for frame in till.said("ACK")))
    assert not till.said("NAK")
    assert not till.said("ACK", ref="A-1"), "nothing is said that is not on disk"
    go_on()
    assert rig.until(lambda: {f.n for f in till.said("ACK", ref="A-1")} == {ordered, asked, cancelled})
    assert [f.n for f in till.said("ACK", state="cancelled")][-1] == cancelled
    assert not till.said("NAK")
    assert rig.rows("SELECT status, reason FROM orders") == [("cancelled", "by_till")]


def test_who_takes_an_order_back_in_the_moment_it_is_paid_hears_that_it_is_being_paid(till, slow_disk):
    rig, till = till
    till.order("A-1")
    assert rig.until(lambda: till.said("ACK", state="waiting"))
    [made] = sent(rig)
    go_on = slow_disk()
    payment = rig.box._payment
    turn = Turn(Order(made.order_id, Amount(1850, "CNY"), None, math.inf))
    payment.state = replace(payment.state, stage=Paying(turn))  # confirmed, and not on disk yet
    request = PayRequest(made.order_id, 1, Amount(1850, "CNY"), "grace", ("face",), "simulated", "face_first")
    rig.box._scribe.write((AttemptMoved(made.order_id, 1, Status.CONFIRMED, request=request),))
    n = till.say("CANCEL", ref="A-1")
    till.say("PING", n=77)
    assert rig.until(lambda: any(frame.n == 77 for frame in till.said("ACK")))
    go_on()
    assert rig.until(lambda: [f for f in till.said("ACK", state="paying") if f.n == n])


def test_an_order_that_is_being_paid_can_not_be_taken_back(till):
    rig, till = till
    till.order("A-1")
    assert rig.until(lambda: till.said("ACK", state="waiting"))
    [made] = sent(rig)
    request = PayRequest(made.order_id, 1, Amount(1850, "CNY"), "grace", ("face",), "simulated", "face_first")
    rig.box._scribe.write((AttemptMoved(made.order_id, 1, Status.CONFIRMED, request=request),))
    assert rig.until(lambda: till.said("STATUS", state="paying"))
    till.say("CANCEL", ref="A-1")
    assert rig.until(lambda: till.said("ACK", state="paying"))


def moved(rig, order_id, *statuses, ends=None):
    """The attempt and then its order, as the core would have written them."""
    request = PayRequest(order_id, 1, Amount(1850, "CNY"), "grace", ("face",), "simulated", "face_first")
    changes = [AttemptMoved(order_id, 1, statuses[0], request=request, offline=True)]
    changes += [AttemptMoved(order_id, 1, status) for status in statuses[1:]]
    if ends is not None:
        changes.append(OrderClosed(order_id, ends, "asked_too_long"))
    rig.box._scribe.write(tuple(changes))


def test_what_the_box_accepts_offline_is_approved_for_the_till_and_says_so(till):
    rig, till = till
    till.order("A-1")
    assert rig.until(lambda: till.said("ACK", state="waiting"))
    moved(rig, sent(rig)[0].order_id, Status.CONFIRMED, Status.ACCEPTED_OFFLINE)
    assert rig.until(lambda: till.said("STATUS", state="approved", reason="accepted_offline"))


def test_what_was_paid_back_is_cancelled_for_the_till(till):
    rig, till = till
    till.order("A-1")
    assert rig.until(lambda: till.said("ACK", state="waiting"))
    order_id = sent(rig)[0].order_id
    moved(rig, order_id, Status.CONFIRMED, Status.APPROVED, ends=Status.APPROVED)
    assert rig.until(lambda: till.said("STATUS", state="approved"))
    rig.box._scribe.write((AttemptMoved(order_id, 1, Status.REFUNDED),))
    assert rig.until(lambda: rig.rows("SELECT status FROM attempts") == [("refunded",)])
    till.say("QUERY", ref="A-1")
    assert rig.until(lambda: till.said("ACK", state="cancelled", reason="refunded"))


def test_an_order_that_needs_a_person_is_unknown_and_does_not_keep_the_till_waiting(till):
    rig, till = till
    for ref in ("A-1", "A-2"):
        till.order(ref)
    assert rig.until(lambda: len(till.said("ACK")) == 2)
    for made in sent(rig):
        moved(rig, made.order_id, Status.CONFIRMED, Status.MANUAL, ends=Status.MANUAL)
    assert rig.until(lambda: len(till.said("STATUS", state="unknown")) == 2)
    till.order("A-3")
    assert rig.until(lambda: till.said("ACK", ref="A-3", state="waiting"))


def test_a_sale_that_the_box_never_took_is_unknown(till):
    rig, till = till
    till.say("QUERY", ref="A-9")
    till.say("CANCEL", ref="A-9")
    assert rig.until(lambda: len(till.said("NAK", why="unknown_ref", days="100")) == 2)
    till.say("PING", n=77)
    assert rig.until(lambda: any(frame.n == 77 for frame in till.said("ACK")))


def test_news_that_nobody_takes_is_said_again_and_one_that_was_taken_is_not(till, monkeypatch):
    monkeypatch.setattr("daemon.till.desk.SAY_AGAIN_S", 0.1)
    rig, till = till
    till.order("A-1")
    assert rig.until(lambda: till.said("ACK"))
    till.say("CANCEL", ref="A-1")
    assert rig.until(lambda: len(till.said("STATUS", state="cancelled")) >= 2)
    till.say("ACK", n=till.said("STATUS")[-1].n)
    time.sleep(0.3)
    count = len(till.said("STATUS"))
    time.sleep(0.3)
    assert len(till.said("STATUS")) == count


def test_a_withdrawn_order_that_nobody_knows_changes_nothing(shop):
    rig = shop()
    rig.box._payment.step(ev.OrderWithdrawn("o9", "by_till"))
    assert rig.rows("SELECT count(*) FROM orders") == [(0,)]

"""Factors, flows and refunds at a main loop with its real store, database and link. Only the camera is missing: what it
would see comes in where the face side hands it over."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest
from daemon_doubles.payer import PHONE, Counter, by_phone, enrol

from daemon.box_events import RefundWanted, Scanned
from daemon.payment.effects import AttemptMoved, OrderStored
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest
from daemon.payment.policy import Factor, OfflineCaps, Policy, Range, Rule
from daemon.payment.state import Rules
from daemon.payment.status import Status
from daemon.screen.views import Look
from pipeline.decision import Act, Challenge, Guidance, Hint, Reason

REQUEST = PayRequest("paid", 1, Amount(1850, "CNY"), "grace", ("face", "pin"), "simulated", "face_first")


@pytest.fixture
def at_counter(rig):
    def begin(policy=None, **rules):
        made = rig(Rules(policy=policy or Policy(), **({"offline_after_s": 3600.0} | rules)))
        made.start()
        return Counter(made)

    return begin


def test_the_last_four_digits_pay_a_small_sum(at_counter):
    payer = at_counter(by_phone(Factor.PHONE4))
    enrol(payer.rig, "grace")
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    payer.at("AskFactor")
    payer.keys(*"8000", "ok")
    assert payer.rig.until(lambda: payer.factors() == ["face,phone4"])


def test_who_is_asked_to_turn_and_blink_sees_how_far_they_have_come_and_the_next_payer_does_not(at_counter):
    payer = at_counter()
    payer.rig.say("order", payer.rig.order("o1"))
    view = lambda: payer.rig.box._front.view  # noqa: E731
    shown = lambda: (view().hint, view().done, view().steps) if isinstance(view(), Look) else None  # noqa: E731
    until_s = time.monotonic() + 60
    for observation, expected in (
        (Guidance(Hint.HOLD_STILL), ("hold_still", 0, 0)),
        (Challenge(Act.TURN_LEFT, until_s, 0, 3), ("turn_left", 0, 3)),
        (Challenge(Act.BLINK, until_s, 1, 3), ("blink", 1, 3)),
        (Guidance(Hint.BLURRED, None, 1, 3), ("blurred", 1, 3)),
        (Guidance(Hint.LOOK_AT_CAMERA, None, 3, 3), ("look_at_camera", 3, 3)),
    ):
        payer.sees(observation)
        assert payer.rig.until(lambda expected=expected: shown() == expected), (shown(), expected)
    payer.keys("cancel")
    payer.rig.say("order", payer.rig.order("o2"))
    assert payer.rig.until(lambda: shown() == (None, 0, 0)), shown()


def test_wrong_digits_are_counted_on_disk_before_they_are_compared_and_lock_in_the_end(at_counter):
    payer = at_counter(by_phone(Factor.PHONE4))
    enrol(payer.rig, "grace")
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    for tries in (1, 2, 3):
        payer.at("AskFactor")
        assert payer.rig.until(lambda: not getattr(payer.stage, "checking", False))
        payer.keys(*"1111", "ok")
        assert payer.rig.until(
            lambda tries=tries: payer.rig.rows("SELECT payer, wrong FROM pin_tries") == [("grace#phone", tries)]
        )
    payer.at("Showing")
    assert payer.stage.reason == "phone_locked"
    assert payer.factors() == []


def test_a_member_logs_in_by_phone_and_is_held_against_own_templates_alone(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace")
    payer.rig.say("order", payer.rig.order("o1", flow="phone_first", phone=PHONE))
    payer.at("AskPayer")
    assert payer.stage.typed == PHONE, "prefilled"
    payer.keys("ok")
    payer.shows("grace")
    assert len(payer.rig.members.matcher("grace")) == 1
    assert payer.rig.members.matcher("eileen").search(np.eye(512, dtype=np.float32)[0]).handle is None
    payer.at("AskFactor")
    payer.keys(*"2580", "ok")
    assert payer.rig.until(lambda: payer.factors() == ["phone_login,face,pin"])
    kept = json.dumps(payer.rig.rows("SELECT * FROM journal") + payer.rig.rows("SELECT * FROM orders"))
    assert PHONE not in kept


def test_a_card_is_read_by_the_scanner_and_the_number_stays_out_of_the_journal(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace", card="11010519491231002X")
    payer.rig.say("order", payer.rig.order("o1", flow="id_card"))
    payer.at("AskPayer")
    payer.rig.queue.put(Scanned("11010519491231002X"))
    payer.shows("grace")
    payer.at("AskFactor")
    payer.keys(*"2580", "ok")
    assert payer.rig.until(lambda: payer.factors() == ["id_card,face,pin"])
    assert "11010519491231002X" not in json.dumps(payer.rig.rows("SELECT facts FROM journal"))


def test_the_bank_that_was_chosen_goes_up_as_a_token_and_stays_out_of_the_journal(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace", **{"bank:CCB": "tok-ccb-1", "bank:ICBC": "tok-icbc-2"})
    payer.rig.say("order", payer.rig.order("o1", flow="face_pin_bank"))
    payer.shows("grace")
    payer.at("AskFactor")
    payer.keys(*"2580", "ok")
    payer.at("ChooseBank")
    assert payer.rig.until(lambda: payer.stage.banks is not None)
    payer.keys("2")
    assert payer.rig.until(lambda: payer.factors() == ["face,pin"])
    assert "tok-icbc-2" not in json.dumps(payer.rig.rows("SELECT facts FROM journal"))


def test_twins_are_told_apart_by_the_pin_and_the_other_one_is_not_locked_by_it(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace", pin="2580")
    enrol(payer.rig, "hopper", pin="1793")
    for n in range(4):
        payer.rig.say("order", payer.rig.order(f"o{n}"))
        payer.shows("grace", reason=Reason.AMBIGUOUS, rival="hopper")
        payer.at("AskFactor")
        payer.keys(*"1793", "ok")
        assert payer.rig.until(lambda n=n: len(payer.factors()) == n + 1)
        payer.at("Paying")
        sent = f"SELECT status FROM attempts WHERE order_id = 'o{n}'"
        assert payer.rig.until(lambda sent=sent: payer.rig.rows(sent) == [("submitted",)])
        attempt = {"order_id": f"o{n}", "attempt": 1, "status": "approved", "reason": "ok", "amount_minor": 1850,
                   "currency": "CNY", "reference": f"r{n}"}  # fmt: skip
        payer.rig.say("pay.answer", attempt)
        payer.at("Showing")
        payer.keys("ok")
        payer.at("Idle")
    assert {row[0] for row in payer.rig.rows("SELECT payer FROM attempts")} == {"hopper"}
    assert payer.rig.rows("SELECT wrong, locked_until FROM pin_tries WHERE payer = 'grace'") == [(0, 0)]


def test_a_look_alike_does_not_pay_offline_on_the_others_caps(at_counter):
    payer = at_counter(Policy(offline=OfflineCaps("CNY", 5000, 2000, 50_000, 9)), offline_after_s=0.0)
    enrol(payer.rig, "grace", pin="2580")
    enrol(payer.rig, "hopper", pin="1793")
    order = Order("before", Amount(1850, "CNY"), None, time.monotonic() + 60)
    request = PayRequest("before", 1, order.amount, "hopper", ("face", "pin"), "simulated", "face_first")
    payer.rig.write(OrderStored(order), AttemptMoved("before", 1, Status.CONFIRMED, request=request))
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace", reason=Reason.AMBIGUOUS, rival="hopper")
    payer.at("AskFactor")
    payer.keys(*"1793", "ok")
    payer.at("Showing")
    assert (payer.stage.status, payer.stage.reason) == (Status.CANCELLED, "offline")


def test_before_the_fleet_has_told_the_time_an_unanswered_voucher_counts_however_old_it_seems(at_counter):
    payer = at_counter(Policy(offline=OfflineCaps("CNY", 5000, 2000, 50_000, 9)), offline_after_s=0.0)
    enrol(payer.rig, "grace")
    order = Order("before", Amount(1850, "CNY"), None, time.monotonic() + 60)
    request = PayRequest("before", 1, order.amount, "grace", ("face", "pin"), "simulated", "face_first")
    payer.rig.write(
        OrderStored(order), AttemptMoved("before", 1, Status.CONFIRMED, request=request, offline=True),
        AttemptMoved("before", 1, Status.ACCEPTED_OFFLINE),
    )  # fmt: skip
    payer.rig.db.run(lambda tx: tx.execute("UPDATE attempts SET changed_at = changed_at - 100000"))
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    payer.at("AskFactor")
    payer.keys(*"2580", "ok")
    payer.at("Showing")
    assert (payer.stage.status, payer.stage.reason) == (Status.CANCELLED, "offline")


def test_what_was_paid_before_counts_for_the_policy(at_counter):
    rules = (Rule("often", Factor.REFUSE, {"payer_count_day": Range(at_least=1)}),)
    payer = at_counter(Policy(rules))
    enrol(payer.rig, "grace")
    order = Order("before", Amount(1850, "CNY"), None, time.monotonic() + 60)
    request = PayRequest("before", 1, order.amount, "grace", ("face", "pin"), "simulated", "face_first")
    payer.rig.write(OrderStored(order), AttemptMoved("before", 1, Status.CONFIRMED, request=request))
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    payer.at("Showing")
    assert payer.stage.reason == "often"
    payer.rig.say("order", payer.rig.order("o2"))
    payer.keys("ok")
    payer.at("Looking")


def test_an_identity_check_is_a_command_that_ends_in_a_signed_event(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace")
    args = {"expires_at": int(time.time()) + 60, "title": "Room 1204", "flow": "identity"}
    payer.rig.say("command", {"command_id": "c1", "command": "verify", "args": args})
    payer.shows("grace")
    payer.at("AskFactor")
    payer.keys(*"2580", "ok")
    payer.at("Showing")
    assert payer.rig.until(lambda: payer.rig.rows("SELECT event FROM commands") == [("verify.done",)])
    assert payer.rig.rows("SELECT count(*) FROM orders") == [(0,)]
    assert payer.rig.rows("SELECT count(*) FROM attempts") == [(0,)]
    [facts] = payer.rig.rows("SELECT facts FROM journal WHERE name = 'identity_check'")
    assert "grace" not in facts[0]


def test_a_payment_within_the_caps_is_accepted_while_the_link_is_down(at_counter):
    caps = OfflineCaps("CNY", 5000, 5000, 5000, 9)
    payer = at_counter(Policy(offline=caps), offline_after_s=0.0)
    enrol(payer.rig, "grace")
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    payer.at("AskFactor")
    payer.keys(*"2580", "ok")
    assert payer.rig.until(lambda: payer.rig.rows("SELECT status FROM attempts") == [("accepted_offline",)])
    assert payer.rig.rows("SELECT count(*) FROM outbox WHERE kind = 'pay.request'") == [(0,)]


def test_a_refund_is_for_an_approved_payment_and_nothing_else(at_counter):
    payer = at_counter()
    order = Order("paid", Amount(1850, "CNY"), None, time.monotonic() + 60)
    payer.rig.write(
        OrderStored(order), AttemptMoved("paid", 1, Status.CONFIRMED, request=REQUEST),
        AttemptMoved("paid", 1, Status.SUBMITTED), AttemptMoved("paid", 1, Status.APPROVED),
    )  # fmt: skip
    said: list[str] = []
    heard = threading.Event()

    def answer(word):
        said.append(word)
        heard.set()

    for order_id in ("nothing", "paid", "paid"):
        heard.clear()
        payer.rig.queue.put(RefundWanted(order_id, "technician", answer))
        assert heard.wait(5)
        assert order_id != "paid" or payer.rig.until(
            lambda: payer.rig.rows("SELECT status, reason FROM attempts") == [("refunding", "technician")]
        )
    assert said[:2] == ["unknown_order", "refunding"]
    assert said[2].startswith("is_"), "once"


def test_an_approval_for_what_was_reversed_is_paid_back(at_counter):
    payer = at_counter()
    order = Order("paid", Amount(1850, "CNY"), None, time.monotonic() + 60)
    payer.rig.write(
        OrderStored(order), AttemptMoved("paid", 1, Status.CONFIRMED, request=REQUEST),
        AttemptMoved("paid", 1, Status.REVERSED),
    )  # fmt: skip
    payer.rig.say("pay.answer", {
        "order_id": "paid", "attempt": 1, "status": "approved", "reason": "ok", "amount_minor": 1850,
        "currency": "CNY", "reference": "r1",
    })  # fmt: skip
    assert payer.rig.until(
        lambda: payer.rig.rows("SELECT status, reason FROM attempts") == [("refunding", "approved_late")]
    )

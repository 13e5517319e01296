"""The main loop under odd messages, slow disks, wrong clocks and power cuts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import numpy as np
import pytest
from daemon_doubles.payer import Counter, by_phone, enrol

from daemon.enrolment.machine import Request
from daemon.payment import events as ev
from daemon.payment.effects import AttemptMoved, OrderStored
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest
from daemon.payment.policy import Factor
from daemon.payment.state import Rules
from daemon.payment.status import Status
from daemon.uplink.clock import TrustedClock
from pipeline.capture import Capture, CapturedTemplate

REQUEST = PayRequest("o1", 1, Amount(1850, "CNY"), "grace", ("face", "pin"), "simulated", "face_first")


def unit(seed):
    vector = np.random.default_rng(seed).normal(size=512).astype(np.float32)
    return vector / np.linalg.norm(vector)


def capture(seed):
    template = CapturedTemplate(unit(seed), 0.9, 0.99)
    return Capture(unit(seed), 0.9, 0.99, (template,), 3, "0" * 64, {})


def test_a_message_is_acknowledged_only_once_it_is_on_disk(rig):
    rig = rig()
    rig.start()
    gate = threading.Event()
    rig.db.submit(lambda tx: gate.wait(30) and None)
    rig.say("order", rig.order("o1"))
    time.sleep(0.2)
    assert rig.acked == []
    gate.set()
    assert rig.until(lambda: rig.acked == ["order"])
    assert rig.rows("SELECT order_id FROM orders") == [("o1",)]


def test_a_pay_request_leaves_once_it_is_on_disk_and_waits_for_no_other_commit(rig):
    rig = rig(Rules(policy=by_phone(Factor.NONE), offline_after_s=3600.0))
    left = []

    class Line:
        def publish(self, topic, payload, **_):
            left.append((topic.split("/")[-1], rig.rows("SELECT status FROM attempts")))
            return Future()

    rig.link._courier._link = Line()
    rig.start()
    enrol(rig, "grace")
    rig.say("order", rig.order("o1"))
    assert rig.until(lambda: ("event", []) in left), "that the order has come"
    Counter(rig).shows("grace")
    assert rig.until(lambda: rig.rows("SELECT status FROM attempts") == [("submitted",)])
    requests = [on_disk for kind, on_disk in left if kind == "pay"]
    assert requests == [[("confirmed",)]], "what says that it has left is written after it"


@pytest.mark.parametrize(("then", "expected"), [(Factor.NONE, True), (Factor.PHONE4, True), (Factor.PIN, False)])
def test_the_payer_of_an_order_that_a_face_alone_could_pay_is_asked_to_turn_and_blink(rig, then, expected):
    rig = rig(Rules(policy=by_phone(then), offline_after_s=3600.0))
    rig.start()
    rig.say("order", rig.order("o1"))
    assert rig.until(lambda: rig.parts.faces._wanted is not None)
    wanted = rig.parts.faces._wanted
    assert (wanted.order_id, wanted.challenge) == ("o1", expected)


def test_a_box_whose_rules_changed_while_somebody_was_looked_at_still_asks_them_for_the_pin(rig):
    """The look was begun where a PIN was asked of everybody, so nobody turned; what decides is the floor."""
    rig = rig(Rules(policy=by_phone(Factor.PIN), offline_after_s=3600.0))
    rig.start()
    enrol(rig, "grace")
    rig.say("order", rig.order("o1"))
    assert rig.until(lambda: rig.parts.faces._wanted is not None)
    rig.box._payment.adopt(Rules(policy=by_phone(Factor.NONE), offline_after_s=3600.0))
    Counter(rig).shows("grace", challenged=False)
    ruling = (
        "SELECT json_extract(facts, '$.factor'), json_extract(facts, '$.raised_by') FROM journal WHERE name = 'ruling'"
    )
    assert rig.until(lambda: rig.rows(ruling) == [("pin", "unchallenged")])
    assert rig.rows("SELECT status FROM attempts") == []


def test_every_copy_of_a_message_is_acknowledged_and_it_takes_effect_once(rig):
    rig = rig()
    rig.start()
    gate = threading.Event()
    rig.db.submit(lambda tx: gate.wait(30) and None)
    token = rig.seal("order", rig.order("o1"))
    for n in range(3):
        rig.say("order", {}, token, label=f"copy {n}")
    gate.set()
    assert rig.until(lambda: sorted(rig.acked) == ["copy 0", "copy 1", "copy 2"])
    rig.say("order", {}, token, label="late copy")
    assert rig.until(lambda: "late copy" in rig.acked)
    assert rig.rows("SELECT count(*) FROM journal WHERE name = 'order_stored'") == [(1,)]


def test_an_unknown_command_with_a_long_name_is_refused_and_the_box_goes_on(rig):
    rig = rig()
    rig.start()
    rig.say("command", {"command_id": "c1", "command": "x" * 64, "args": {}})
    assert rig.until(lambda: rig.acked == ["command"])
    rig.say("order", rig.order("o1"))
    assert rig.until(lambda: rig.acked == ["command", "order"])


def test_a_command_that_comes_twice_at_once_runs_once(rig):
    rig = rig()
    rig.start()
    gate = threading.Event()
    rig.db.submit(lambda tx: gate.wait(30) and None)
    args = {"handle": "grace", "purposes": ["pay"], "notice_version": "1", "expires_at": int(time.time()) + 600}
    for _ in range(2):
        rig.say("command", {"command_id": "c1", "command": "enrol", "args": args})
    gate.set()
    assert rig.until(lambda: rig.acked == ["command", "command"])
    assert rig.rows("SELECT count(*) FROM journal WHERE name = 'command_arrived'") == [(1,)]
    assert rig.box._enrolment.waiting == []


def test_more_enrolments_than_a_state_can_name_do_not_end_the_box(rig):
    rig = rig()
    rig.start()
    for n in range(230):
        args = {"handle": f"p{n}", "purposes": ["pay"], "notice_version": "1", "expires_at": int(time.time()) + 600}
        rig.say("command", {"command_id": f"c{n}", "command": "enrol", "args": args})
    assert rig.until(lambda: len(rig.acked) == 230, 30)
    rig.link._connected(None)
    rig.say("order", rig.order("o1"))
    assert rig.until(lambda: "order" in rig.acked)
    failed = rig.rows("SELECT count(*) FROM commands WHERE event = 'enrol.failed'")
    assert failed[0][0] > 0


def test_a_stalled_disk_shows_in_the_database_so_that_the_watchdog_bites(rig):
    rig = rig()
    assert rig.db.stalled_s() == 0
    gate = threading.Event()
    rig.db.submit(lambda tx: gate.wait(30) and None)
    time.sleep(0.15)
    assert rig.db.stalled_s() > 0.1
    gate.set()
    assert rig.until(lambda: rig.db.stalled_s() == 0)


def test_a_pay_request_that_was_never_sent_does_not_leave_after_a_restart(rig):
    rig = rig()
    order = Order("o1", Amount(1850, "CNY"), None, time.monotonic() + 60)
    rig.write(OrderStored(order), AttemptMoved("o1", 1, Status.CONFIRMED, request=REQUEST))
    assert rig.until(lambda: rig.rows("SELECT count(*) FROM outbox WHERE kind = 'pay.request'") == [(1,)])
    rig.start()
    assert rig.until(lambda: rig.rows("SELECT count(*) FROM outbox WHERE kind = 'pay.request'") == [(0,)])
    assert rig.until(lambda: rig.rows("SELECT status FROM attempts") == [("querying",)])


def test_an_order_is_refused_while_the_clock_is_not_trusted_and_taken_once_the_fleet_has_said_the_time(rig):
    clock = TrustedClock(int(time.time()) + 1000)
    rig = rig(clock=clock)
    rig.signer = type(rig.signer)(rig.signer.key, rig.signer.issuer, rig.signer.kid, clock.now)
    rig.start()
    rig.say("order", rig.order("early", expires_at=clock.now() + 60))
    assert rig.until(lambda: rig.acked == ["order"])
    assert rig.rows("SELECT count(*) FROM orders") == [(0,)]
    rig.say("time", {"nonce": clock.ask(), "now": clock.now()})
    assert rig.until(lambda: clock.trusted)
    rig.say("order", rig.order("later", expires_at=clock.now() + 60))
    assert rig.until(lambda: rig.rows("SELECT order_id FROM orders") == [("later",)])


def test_an_open_order_waits_for_a_trusted_clock_after_a_restart(rig):
    clock = TrustedClock(int(time.time()) + 1000)
    rig = rig(clock=clock)
    order = Order("o1", Amount(1850, "CNY"), None, time.monotonic() + 60)
    rig.write(OrderStored(order))
    rig.start()
    time.sleep(0.3)
    assert type(rig.box._payment.state.stage).__name__ == "Idle"
    rig.say("time", {"nonce": clock.ask(), "now": clock.now()})
    assert rig.until(lambda: type(rig.box._payment.state.stage).__name__ != "Idle")


def test_a_pin_check_whose_screen_has_gone_counts_no_try(rig):
    rig = rig()
    rig.start()
    from daemon.payment.effects import CheckFactor
    from daemon.payment.policy import Factor

    rig.box._errands.check_factor(CheckFactor("o1", 7, ("grace",), Factor.PIN, "1234"))
    time.sleep(0.3)
    assert rig.rows("SELECT count(*) FROM pin_tries") == [(0,)]


def test_an_enrolment_whose_report_was_lost_in_a_power_cut_is_reported_when_it_is_asked_for_again(rig):
    rig = rig()
    request = Request("c1", "grace", ("pay",), "1", time.monotonic() + 60)
    rig.members.enrol(request, "2580", capture(1), int(time.time()))
    rig.start()
    args = {"handle": "grace", "purposes": ["pay"], "notice_version": "1", "expires_at": int(time.time()) + 600}
    rig.say("command", {"command_id": "c1", "command": "enrol", "args": args})
    assert rig.until(lambda: rig.rows("SELECT event FROM commands") == [("enrol.done",)])


def test_a_gallery_that_a_payment_searches_is_not_wiped_under_it(rig):
    rig = rig()
    request = Request("c1", "grace", ("pay",), "1", time.monotonic() + 60)
    rig.members.enrol(request, "2580", capture(1), int(time.time()))
    matcher = rig.members.matcher()
    rig.members.enrol(Request("c2", "eileen", ("pay",), "1", 0), "2580", capture(2), int(time.time()))
    assert rig.members.matcher().search(unit(2)).handle == "eileen"
    rig.members.erase("eileen")
    assert rig.members.matcher().search(unit(2)).handle != "eileen"
    assert matcher.search(unit(1)).handle == "grace"
    assert matcher.search(unit(1)).score == pytest.approx(1, abs=1e-4)
    gallery = matcher.gallery
    del matcher
    assert len(gallery) == 0, "wiped once nobody searches it"


def test_a_thread_that_dies_ends_the_process_by_name():
    from daemon.app import _obituary

    told = []
    hook, threading.excepthook = threading.excepthook, lambda died: told.append(_obituary(died))
    try:
        thread = threading.Thread(target=lambda: [][1], name="painter")
        thread.start()
        thread.join()
    finally:
        threading.excepthook = hook
    assert told[0].startswith("thread painter died of IndexError at test_main_loop.py:")


def test_answers_that_nobody_awaits_are_noted_and_acknowledged(rig):
    rig = rig()
    rig.start()
    body = {
        "order_id": "o1", "attempt": 1, "status": "approved", "reason": "ok", "amount_minor": 1, "currency": "CNY",
        "reference": "r1",
    }  # fmt: skip
    rig.say("pay.answer", body)
    assert rig.until(lambda: rig.acked == ["pay.answer"])
    assert rig.rows("SELECT count(*) FROM journal WHERE name = 'answer_unexpected'") == [(1,)]
    assert ev.AnswerStatus.APPROVED == "approved"

"""Somebody is enrolled at the box: staff first where that is wanted, a guardian for a child, and the store in its own
time."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from daemon.box_events import KeypadKey
from daemon.enrolment import machine
from daemon.enrolment.authority import Authority, keep_clerk_pin
from daemon.people.face_watch import ForEnrolment, Seen
from pipeline.capture import Capture

MODEL = "0" * 64


@pytest.fixture
def staffed(rig, tmp_path):
    """A started box with a clerk's PIN 246810; `asks(c1, under_14=True)` sends the command, `types("1 ok")` keys."""
    keep_clerk_pin(tmp_path / "clerk-pin", "246810")

    def start(authority: Authority = Authority(clerk=tmp_path / "clerk-pin")):  # noqa: B008
        one = rig()
        one.parts = dataclasses.replace(one.parts, authority=authority)
        one.start()

        def asks(command_id: str = "c1", **more) -> None:
            args = {"handle": f"p-{command_id}", "purposes": ["pay"], "notice_version": "2026-11"}
            args |= {"expires_at": int(time.time()) + 600, **more}
            one.say("command", {"command_id": command_id, "command": "enrol", "args": args})
            assert one.until(lambda: one.box._enrolment.busy or outcome(one, command_id) is not None)

        def types(keys: str) -> None:
            for word in keys.split():
                for key in [word] if word.isalpha() else word:
                    one.queue.put(KeypadKey(key))

        one.asks, one.types = asks, types
        one.shows = lambda kind: one.until(lambda: isinstance(one.box._enrolment.state, kind))
        return one

    return start


def outcome(rig, command_id: str = "c1"):
    rows = rig.rows(f"SELECT event, reason FROM commands WHERE command_id = '{command_id}' AND event IS NOT NULL")
    return rows[0] if rows else None


def face(number: int) -> Capture:
    vector = np.random.default_rng(number).standard_normal(512).astype(np.float32)
    return Capture(vector / np.linalg.norm(vector), 0.9, 0.9, (), 3, MODEL, {})


def enrolled_from_consent(box, command_id: str = "c1") -> None:
    box.types("ok")
    assert box.shows(machine.Capturing)
    box.queue.put(Seen(ForEnrolment(command_id), face(1)))
    assert box.shows(machine.NewPin)
    box.types("2580 ok 2580 ok")


def test_a_clerk_lets_a_child_be_enrolled_and_the_receipt_says_on_whose_word(staffed) -> None:
    box = staffed()
    box.asks(under_14=True, authority="clerk")
    box.types("246810 ok")
    assert box.shows(machine.AskingGuardian)
    box.types("2")
    enrolled_from_consent(box)
    assert box.until(lambda: outcome(box) == ("enrol.done", "done"))
    [receipt] = box.members.store.own_data("p-c1").receipts
    assert (receipt.consent.authority, receipt.consent.guardian) == ("clerk", "legal_guardian")
    assert (receipt.consent.under_14, receipt.consent.notice_version) == (True, "2026-11")
    assert receipt.consent.given_at == pytest.approx(time.time(), abs=60)
    assert box.rows("SELECT count(*) FROM pin_tries") == [(0,)]


def test_wrong_staff_pins_are_counted_on_disk_and_lock_also_the_next_enrolment(staffed) -> None:
    box = staffed()
    box.asks(authority="clerk")
    for left in (2, 1):
        box.types("111111 ok")
        assert box.until(lambda left=left: getattr(box.box._enrolment.state, "wrong_tries_left", None) == left)
        assert box.rows("SELECT wrong FROM pin_tries") == [(3 - left,)]
    box.types("111111 ok")
    assert box.until(lambda: outcome(box) == ("enrol.failed", "authority_locked"))
    box.types("ok")
    assert box.until(lambda: not box.box._enrolment.busy)
    box.asks("c2", authority="clerk")
    box.types("246810 ok")
    assert box.until(lambda: outcome(box, "c2") == ("enrol.failed", "authority_locked")), "the right one is locked too"


def test_a_box_that_wants_staff_asks_for_them_whatever_the_fleet_says(staffed, tmp_path) -> None:
    box = staffed(Authority(True, tmp_path / "clerk-pin"))
    box.asks()
    assert box.shows(machine.Authorising)


def test_a_sign_up_meets_nobody_but_whoever_asked_for_it(staffed) -> None:
    box = staffed()
    box.asks(order_id="o-paid-a-while-ago")
    assert box.until(lambda: outcome(box) == ("enrol.cancelled", "too_late"))
    assert not box.box._enrolment.busy
    assert len(box.members) == 0


def test_a_box_without_a_staff_pin_says_so_instead_of_asking_for_one(staffed, tmp_path) -> None:
    box = staffed(Authority(clerk=tmp_path / "nowhere"))
    box.asks(authority="clerk")
    assert outcome(box) == ("enrol.failed", "no_clerk_pin")


def test_a_store_that_hangs_frees_the_counter_and_the_fleet_hears_how_it_ended(staffed, monkeypatch) -> None:
    monkeypatch.setattr(machine, "STORE_S", 0.2)
    monkeypatch.setattr(machine, "SHOW_S", 0.2)
    box = staffed()
    box.asks()
    with box.members.store._records._mutex:  # a card that does not answer
        enrolled_from_consent(box)
        assert box.until(lambda: not box.box._enrolment.busy), "the counter is free"
        assert outcome(box) is None
        assert box.box._enrolment.open_commands() == ["c1"], "the fleet does not send it again"
        box.say("order", box.order("o1"))
        assert box.until(lambda: box.acked == ["command", "order"])
    assert box.until(lambda: outcome(box) == ("enrol.done", "done"))
    assert box.box._enrolment.open_commands() == []
    assert box.members.store.people() == ("p-c1",)

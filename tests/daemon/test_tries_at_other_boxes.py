"""A box tells the fleet each try that was wrong, and nobody tries at it whom another box has locked."""

from __future__ import annotations

import base64
import json
import sqlite3
import time

import pytest
import sqlite_utils
from daemon_doubles.payer import Counter, by_phone, enrol

from daemon.books import fleet_tries, pin_tries
from daemon.payment.policy import Factor, Policy
from daemon.payment.state import Rules
from mqtt.schemas import PayerTries
from pipeline.decision import Reason


@pytest.fixture
def at_counter(rig):
    def begin(policy=None, **rules):
        made = rig(Rules(policy=policy or Policy(), offline_after_s=3600.0, **rules))
        made.start()
        return Counter(made)

    return begin


def told(rig) -> list[dict]:
    """What the outbox holds of tries, as the fleet will read it; the file's deleted rows are not looked at."""
    tokens = [row[0] for row in rig.rows("SELECT payload FROM outbox WHERE kind = 'event' ORDER BY id")]
    bodies = [json.loads(base64.urlsafe_b64decode(t.split(b".")[1] + b"=="))["body"] for t in tokens]
    return [body for body in bodies if body["event"] == "factor.wrong"]


def types(payer, pin, order="o1"):
    payer.at("AskFactor")
    assert payer.rig.until(lambda: not getattr(payer.stage, "checking", False))
    payer.keys(*pin, "ok")


def lock(handle="grace", wrong=3, version=1, factor="pin", for_s=900):
    until = int(time.time()) + for_s if for_s else 0
    entry = {"handle": handle, "factor": factor, "wrong": wrong, "locked_until": until, "version": version}
    return {"payers": [entry]}


def test_a_wrong_pin_is_told_by_handle_and_nothing_else(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace")
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    types(payer, "1111")
    assert payer.rig.until(lambda: len(told(payer.rig)) == 1)
    body = told(payer.rig)[0]
    assert {name for name, value in body.items() if value} == {"event", "at", "handle", "data"}
    assert (body["handle"], body["data"]) == ("grace", {"factor": "pin", "tries": 1})
    assert payer.rig.rows("SELECT * FROM tries_to_tell") == []


def test_a_right_pin_is_nobodys_business(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace")
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    types(payer, "2580")
    assert payer.rig.until(lambda: payer.factors() == ["face,pin"])
    assert told(payer.rig) == []
    assert payer.rig.until(lambda: payer.rig.rows("SELECT * FROM tries_to_tell") == [])


def test_of_twins_neither_is_told_of_where_one_of_them_was_right_and_both_where_none_was(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace", pin="2580")
    enrol(payer.rig, "hopper", pin="1793")
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace", reason=Reason.AMBIGUOUS, rival="hopper")
    types(payer, "0000")
    assert payer.rig.until(lambda: sorted(one["handle"] for one in told(payer.rig)) == ["grace", "hopper"])
    types(payer, "1793")
    assert payer.rig.until(lambda: payer.factors() == ["face,pin"])
    assert payer.rig.until(lambda: payer.rig.rows("SELECT * FROM tries_to_tell") == [])
    assert len(told(payer.rig)) == 2


def test_wrong_phone_digits_are_told_as_the_phones(at_counter):
    payer = at_counter(by_phone(Factor.PHONE4))
    enrol(payer.rig, "grace")
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    types(payer, "1111")
    assert payer.rig.until(lambda: [one["data"]["factor"] for one in told(payer.rig)] == ["phone"])


def test_whom_another_box_locked_is_locked_here_before_the_first_try(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace")
    payer.rig.say("tries", lock())
    assert payer.rig.until(lambda: payer.rig.rows("SELECT wrong FROM pin_tries") == [(3,)])
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    types(payer, "2580")
    payer.at("Showing")
    assert payer.stage.reason == "pin_locked"
    assert payer.factors() == []
    assert told(payer.rig) == [], "nothing was compared: there is nothing to tell"


def test_the_fleets_word_ends_a_lock_and_an_older_word_that_comes_late_does_not_bring_it_back(at_counter):
    payer = at_counter()
    enrol(payer.rig, "grace")
    payer.rig.say("tries", lock(version=7))
    payer.rig.say("tries", lock(wrong=0, version=8, for_s=0))
    assert payer.rig.until(lambda: payer.rig.rows("SELECT version FROM fleet_tries") == [(8,)])
    payer.rig.say("tries", lock(version=7), label="late")
    assert payer.rig.until(lambda: "late" in payer.rig.acked)
    payer.rig.say("order", payer.rig.order("o1"))
    payer.shows("grace")
    types(payer, "2580")
    assert payer.rig.until(lambda: payer.factors() == ["face,pin"])


def test_what_a_pulled_plug_left_untold_is_told_after_the_start(rig):
    box = rig(Rules())
    box.db.run(lambda tx: fleet_tries.count(tx, "grace", int(time.time())))
    box.start()
    assert box.until(lambda: [one["handle"] for one in told(box)] == ["grace"])
    assert box.rows("SELECT wrong FROM pin_tries") == [(1,)]


@pytest.mark.parametrize(
    "wrong", [{"factor": "face"}, {"wrong": -1}, {"wrong": True}, {"version": 0}, {"locked_until": -1}, {"pin": "1"}]
)
def test_a_word_with_a_fault_locks_nobody(at_counter, wrong):
    payer = at_counter()
    body = lock()
    body["payers"][0].update(wrong)
    payer.rig.say("tries", body)
    assert payer.rig.until(lambda: payer.rig.link.refused["bad_body"] == 1)
    assert payer.rig.rows("SELECT * FROM pin_tries") == []


@pytest.fixture
def tx():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    database = sqlite_utils.Database(connection)
    pin_tries.create_schema(database)
    fleet_tries.create_schema(database)
    return connection


def entry(**changes):
    values = {"handle": "grace", "factor": "pin", "wrong": 3, "locked_until": 900, "version": 1}
    return PayerTries.model_validate(values | changes)


def test_the_fleets_count_never_lowers_the_boxs_own(tx):
    for _ in range(2):
        fleet_tries.count(tx, "grace", 0)
    fleet_tries.adopt(tx, entry(wrong=1, locked_until=0))
    assert not fleet_tries.count(tx, "grace", 0).left


def test_tries_that_the_fleet_does_not_know_of_outlive_its_word_that_all_is_well(tx):
    for _ in range(2):
        fleet_tries.count(tx, "grace", 0)
    fleet_tries.adopt(tx, entry(wrong=0, locked_until=0))
    assert fleet_tries.count(tx, "grace", 0).left == 0


def test_an_erasure_leaves_no_count_of_any_factor_and_touches_nobody_else(tx):
    for name in ("grace", "grace#phone", "grace2", "grace2#phone"):
        fleet_tries.count(tx, name, 0)
    fleet_tries.adopt(tx, entry())
    fleet_tries.forget(tx, "grace")
    left = {row["payer"] for table in ("pin_tries", "tries_to_tell", "fleet_tries")
            for row in tx.execute(f"SELECT payer FROM {table}")}  # fmt: skip
    assert left == {"grace2", "grace2#phone"}

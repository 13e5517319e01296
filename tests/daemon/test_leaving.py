"""Whoever leaves is gone from the store and from the PIN tries, is named in no journal, and the fleet hears of it: once
the link is up, after a power cut, and again when the word of it went stale."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest

from daemon.books import pin_tries
from daemon.books.retention import Keeping, Retention
from daemon.console.errors import Refused
from daemon.console.requests import parse_args
from daemon.console.store_desk import StoreDesk
from daemon.enrolment.machine import Request
from daemon.people import leaving
from daemon.people.leaving import Departures, Why
from pipeline.capture import Capture
from secure_store.errors import PersonUnknown

MODEL = "0" * 64
DAY_S = 24 * 3600


def face(number: int) -> Capture:
    vector = np.random.default_rng(number).standard_normal(512).astype(np.float32)
    return Capture(vector / np.linalg.norm(vector), 0.9, 0.9, (), 3, MODEL, {})


@pytest.fixture
def people(rig):
    """A box that is not running yet, with grace and eileen; `told()` are the events that wait for the link."""
    one = rig()
    for number, handle in enumerate(("grace", "eileen")):
        one.members.enrol(Request(f"c{number}", handle, ("pay", "attendance"), "1", 0), "2580", face(number), 1)
    one.db.run(lambda tx: pin_tries.count(tx, "grace", int(time.time())))

    def told() -> list[tuple[str, str, str]]:
        found = []
        for (payload,) in one.rows("SELECT payload FROM outbox WHERE kind = 'event' ORDER BY id"):
            body = json.loads(unpadded(payload.split(b".")[1]))["body"]
            found.append((body["event"], body["handle"], body["reason"]))
        return found

    def acknowledged() -> None:
        one.db.run(lambda tx: tx.execute("DELETE FROM outbox"))

    one.told, one.acknowledged = told, acknowledged
    one.departures = Departures(one.db, one.link, one.parts.clock)
    one.tell = lambda later_s=0: one.db.run(lambda tx: one.departures.tell(tx, int(time.time()) + later_s))
    return one


def unpadded(segment: bytes) -> bytes:
    import base64

    return base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))


def test_an_erasure_takes_the_pin_tries_along_and_is_told_until_it_was_delivered(people) -> None:
    leaving.erase(people.members.store, people.db, "grace", Why.TECHNICIAN, int(time.time()))
    assert people.members.store.people() == ("eileen",)
    assert people.rows("SELECT count(*) FROM pin_tries") == [(0,)]
    assert people.tell() == 1
    assert people.tell() == 0, "it waits in the outbox"
    assert people.told() == [("erase.done", "grace", "technician")]
    people.acknowledged()
    assert people.tell() == 0
    assert people.rows("SELECT * FROM departures") == []


def test_a_word_that_went_stale_undelivered_is_told_again(people) -> None:
    leaving.erase(people.members.store, people.db, "grace", Why.TECHNICIAN, int(time.time()))
    people.tell()
    people.acknowledged()  # pruned: its day is over, and nobody had it
    assert people.tell(later_s=2 * DAY_S) == 1


def test_no_journal_names_whoever_left(people) -> None:
    now = int(time.time())
    leaving.withdraw(people.members.store, people.db, "eileen", (), now)
    leaving.erase(people.members.store, people.db, "grace", Why.TECHNICIAN, now)
    lines = people.rows(
        "SELECT name, facts FROM journal WHERE name IN ('erase_done', 'consent_withdrawn') ORDER BY seq"
    )
    assert [name for name, _ in lines] == ["consent_withdrawn", "erase_done"]
    assert not any("grace" in facts or "eileen" in facts for _, facts in lines)


def test_somebody_unknown_leaves_no_trace_of_leaving(people) -> None:
    with pytest.raises(PersonUnknown):
        leaving.erase(people.members.store, people.db, "nobody", Why.TECHNICIAN, int(time.time()))
    with pytest.raises(PersonUnknown):
        leaving.withdraw(people.members.store, people.db, "nobody", (), int(time.time()))
    assert people.rows("SELECT * FROM departures") == []


@pytest.mark.parametrize("erased", [True, False])
def test_a_power_cut_between_the_intention_and_the_word_of_it_is_resolved(people, erased) -> None:
    store, now = people.members.store, int(time.time())
    leaving._mean(people.db, leaving.Departure("grace", "erase.done", Why.EXPIRED, now))
    if erased:
        store.erase("grace")
    leaving.resolve(store, people.db)
    people.tell()
    assert people.told() == ([("erase.done", "grace", "expired")] if erased else [])
    assert people.rows("SELECT count(*) FROM pin_tries") == [(0 if erased else 1,)]


@pytest.mark.parametrize("withdrawn", [True, False])
def test_the_same_for_a_consent(people, withdrawn) -> None:
    store, now = people.members.store, int(time.time())
    leaving._mean(people.db, leaving.Departure("grace", "consent.withdrawn", Why.TECHNICIAN, now))
    if withdrawn:
        store.withdraw("grace")
    leaving.resolve(store, people.db)
    people.tell()
    assert people.told() == ([("consent.withdrawn", "grace", "technician")] if withdrawn else [])


def test_a_running_box_erases_whoever_withdrew_and_tells_the_fleet(people) -> None:
    leaving.withdraw(people.members.store, people.db, "grace", (), int(time.time()))
    people.start()
    clock = people.parts.clock
    clock.answered(clock.ask(), int(time.time()))
    assert people.until(lambda: people.members.store.people() == ("eileen",))
    assert people.until(lambda: people.members.matcher().search(face(0).embedding).handle != "grace")
    assert people.until(lambda: ("consent.withdrawn", "grace", "technician") in people.told())


def test_a_consent_to_one_thing_withdrawn_leaves_the_other(people) -> None:
    leaving.withdraw(people.members.store, people.db, "grace", ("attendance",), int(time.time()))
    assert people.members.store.expired() == ()
    assert people.members.store.factors("grace", "pay") == {"pin"}


def test_templates_beyond_their_age_and_backups_beyond_theirs_go(people, tmp_path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    now = int(time.time())
    for days in (31, 29):
        name = time.strftime("store-%Y%m%dT%H%M%SZ.backup", time.gmtime(now - days * DAY_S))
        (folder / name).touch()
    (folder / "store-notes.backup").touch()

    def swept(keeping: Keeping) -> tuple[str, ...]:
        return Retention(people.db, people.members, people.link, people.parts.clock, keeping).sweep()

    assert swept(Keeping(template_days=1, backups=folder)) == ()
    assert len(list(folder.iterdir())) == 2, "the older backup is gone, and nothing that is not one"
    store = people.members.store
    later = dataclasses.replace(store._records.options, now=lambda: now + 2 * DAY_S)
    store._records.options = later
    assert swept(Keeping()) == ()
    assert swept(Keeping(template_days=1)) == ("eileen", "grace")


def test_nobody_is_erased_by_a_clock_that_may_be_wrong(people, monkeypatch, tmp_path) -> None:
    """NTP is not signed: whoever holds the network could otherwise have everybody erased, ten years early."""
    clock, now = people.parts.clock, int(time.time())
    retention = Retention(people.db, people.members, people.link, clock, Keeping(template_days=365))
    (tmp_path / "synchronized").touch()
    monkeypatch.setattr("daemon.uplink.clock.NTP_HAS_SET_IT", tmp_path / "synchronized")
    with monkeypatch.context() as strange:
        strange.setattr(time, "time", lambda: now + 10 * 365 * DAY_S)
        assert clock.follow_ntp()
    leaving.withdraw(people.members.store, people.db, "grace", (), now)
    retention._sweep()
    assert people.members.store.people() == ("eileen", "grace")
    clock.answered(clock.ask(), now)
    retention._sweep()
    assert people.members.store.people() == ("eileen",)


def test_an_erasure_the_fleet_asked_for_that_a_power_cut_hid_is_done_when_it_asks_again(people) -> None:
    people.members.erase("grace")
    people.start()
    people.say("command", {"command_id": "e1", "command": "erase", "args": {"handle": "grace"}})
    people.say("command", {"command_id": "e2", "command": "erase", "args": {"handle": "nobody"}})
    done = "SELECT command_id, event FROM commands WHERE event IS NOT NULL ORDER BY command_id"
    assert people.until(lambda: people.rows(done) == [("e1", "erase.done"), ("e2", "erase.failed")])
    assert people.rows("SELECT count(*) FROM pin_tries") == [(0,)]


def test_what_a_technician_asks_of_the_running_box_is_done_journaled_and_told(people, tmp_path) -> None:
    class Technician:
        def say(self, part: object) -> None:
            pass

    desk = StoreDesk(people.members, people.db, people.parts.clock, tmp_path, lambda *news: None)

    def asks(**more) -> object:
        return desk.answer(parse_args("store", more), Technician())

    asks(action="withdraw", handle="grace", purposes=["attendance"])
    assert people.members.matcher(None).search(face(0).embedding).handle == "grace", "she still pays"
    asks(action="withdraw", handle="grace")
    assert people.members.matcher(None).search(face(0).embedding).handle != "grace"
    assert asks(action="erase-expired") == {"erased": ["grace"]}
    assert asks(action="erase", handle="eileen") == {"erased": ["eileen"]}
    with pytest.raises(Refused, match="nobody of this handle"):
        asks(action="erase", handle="eileen")
    people.tell()
    assert sorted(people.told()) == [
        ("consent.withdrawn", "grace", "technician"),
        ("erase.done", "eileen", "technician"),
        ("erase.done", "grace", "expired"),
    ]
    assert people.rows("SELECT count(*) FROM pin_tries") == [(0,)]

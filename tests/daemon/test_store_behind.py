"""An older copy of everything on the card put back: the fleet remembers how far the store had come, and the box
believes nobody in it any more."""

from __future__ import annotations

import time
from contextlib import closing

import numpy as np
import pytest

from daemon.config.model import StoreSection
from daemon.enrolment.machine import Request
from daemon.people import box_store
from pipeline.capture import Capture
from secure_store.errors import StoreRolledBack

MODEL = "0" * 64


def face(number: int) -> Capture:
    vector = np.random.default_rng(number).standard_normal(512).astype(np.float32)
    return Capture(vector / np.linalg.norm(vector), 0.9, 0.9, (), 3, MODEL, {})


@pytest.fixture
def box(rig):
    """A running box with grace on it; `hears(store=9)` is the fleet's answer to its nonce."""
    one = rig()
    one.members.enrol(Request("c1", "grace", ("pay",), "1", 0), "2580", face(1), 1)
    one.start()

    def hears(**more) -> None:
        one.say("time", {"nonce": one.parts.clock.ask(), "now": int(time.time()), **more})

    one.hears = hears
    return one


def test_a_box_whose_fleet_has_seen_more_of_its_store_finds_nobody_in_it(box) -> None:
    probe = face(1).embedding
    box.hears(store=box.members.counter)
    assert box.until(lambda: box.acked == ["time"])
    assert box.members.matcher().search(probe).handle == "grace"
    box.hears(store=box.members.counter + 1)
    assert box.until(lambda: box_store.BEHIND in box.box._conditions)
    assert box.members.matcher().search(probe).handle is None
    box.members.reload()
    assert len(box.members.matcher()) == 0, "not even after a reload"
    with pytest.raises(StoreRolledBack):
        box.members.enrol(Request("c2", "ada", ("pay",), "1", 0), "2580", face(2), 1)
    assert "an older copy of it was put back" in box.members.conditions()[box_store.BEHIND]


def test_what_the_fleet_said_counts_at_the_next_start_until_somebody_accepts_the_store(box) -> None:
    counter = box.members.counter
    box.hears(store=counter + 5)
    assert box.until(lambda: box.rows("SELECT count(*) FROM journal WHERE name = 'store_behind'") == [(1,)])
    box.hears(store=counter + 5)
    assert box.until(lambda: box.acked == ["time", "time"])
    assert box.rows("SELECT count(*) FROM journal WHERE name = 'store_behind'") == [(1,)], "said once"
    options = box_store.store_options(StoreSection(), box.db, lambda: 1)
    assert options.witness.read() == counter + 5


def test_an_answer_that_says_nothing_of_a_store_changes_nothing(box) -> None:
    box.hears()
    assert box.until(lambda: box.acked == ["time"])
    assert box_store.BEHIND not in box.box._conditions


def test_the_fleet_hears_at_once_when_the_store_has_moved(box, monkeypatch) -> None:
    said = []
    monkeypatch.setattr(type(box.link), "connected", property(lambda self: True))
    monkeypatch.setattr(box.link, "say_state", said.append)
    counter = box.members.counter
    box.members.enrol(Request("c2", "ada", ("pay",), "1", 0), "2580", face(2), 1)
    box.hears()
    assert box.until(lambda: bool(said))
    assert said[-1].versions["store"] == counter + 1
    assert bytes.fromhex(said[-1].versions["store_key"]) == box.members.store.public_key()
    with closing(box.db.reader()) as reader:
        assert box_store.fleets_floor(reader) is None

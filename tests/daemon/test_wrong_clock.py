"""A box whose clock is wrong by a year when it starts: nothing with an expiry is believed until the fleet has told it
the time, and then what was refused comes again and is taken."""

from __future__ import annotations

import time

import pytest

from daemon.uplink import clock as clocks
from daemon.uplink.clock import TrustedClock
from daemon.uplink.fleet_link import FleetLink, LinkState

YEAR_S = 365 * 24 * 3600


@pytest.mark.parametrize("wrong_by_s", [-YEAR_S, YEAR_S], ids=["a year behind", "a year ahead"])
def test_a_clock_wrong_by_a_year_takes_no_order_before_it_was_put_right(rig, monkeypatch, wrong_by_s):
    real = time.time
    with monkeypatch.context() as at_boot:
        at_boot.setattr(clocks.time, "time", lambda: real() + wrong_by_s)
        clock = TrustedClock(int(real()) if wrong_by_s < 0 else clocks.RELEASED_AT)
    if wrong_by_s < 0:
        clock._anchor_wall = real() + wrong_by_s  # not even the floor on disk says better
    assert clock.trusted == (wrong_by_s > 0)
    box = rig(clock=clock)
    asked: list[str] = []
    monkeypatch.setattr(FleetLink, "connected", property(lambda _: True))
    monkeypatch.setattr(box.link, "say", lambda typ, body, life_s=60: asked.append(body.nonce))
    states: list[object] = []
    monkeypatch.setattr(box.link, "say_state", states.append)
    box.start()
    box.say("order", box.order("o1"), label="refused")
    assert box.until(lambda: box.link.refused["expired"] + box.link.refused["not_yet_valid"] == 1)
    assert box.rows("SELECT order_id FROM orders") == []
    box.queue.put(LinkState(True))
    assert box.until(lambda: bool(asked), 30)
    before = len(states)
    box.say("time", {"nonce": asked[-1], "now": int(real())})
    assert box.until(lambda: abs(clock.now() - real()) < 5 and clock.trusted)
    assert box.until(lambda: len(states) > before)  # the fleet is asked for what was refused
    box.say("order", box.order("o1"))
    assert box.until(lambda: box.rows("SELECT order_id FROM orders") == [("o1",)])


def test_an_order_that_is_open_while_the_clock_is_put_right_ends_by_the_right_time(rig, monkeypatch):
    """Its screen would stand an hour too long, and its payer be asked for money that nobody takes any more."""
    box = rig()
    asked: list[str] = []
    monkeypatch.setattr(FleetLink, "connected", property(lambda _: True))
    monkeypatch.setattr(box.link, "say", lambda typ, body, life_s=60: asked.append(getattr(body, "nonce", "")))
    monkeypatch.setattr(box.link, "say_state", lambda _: None)
    box.start()
    box.say("order", box.order("o1", expires_at=int(time.time()) + 1800))
    assert box.until(lambda: box.rows("SELECT status FROM orders") == [("open",)])
    box.queue.put(LinkState(True))
    assert box.until(lambda: any(asked))
    box.say("time", {"nonce": next(filter(None, reversed(asked))), "now": int(time.time()) + 3600})
    assert box.until(lambda: box.rows("SELECT status FROM orders") == [("expired",)])

"""Time that knows whether it may be believed, and a queue that loses no key."""

from __future__ import annotations

import threading
import time

import pytest

from daemon.event_queue import EventQueue
from daemon.uplink.clock import ANSWER_WITHIN_S, RELEASED_AT, Heard, TrustedClock


def test_a_clock_behind_the_floor_is_not_trusted_until_the_fleet_answers_the_nonce():
    floor = int(time.time()) + 1000
    clock = TrustedClock(floor)
    assert not clock.trusted
    assert clock.now() == floor
    assert clock.floor() is None
    nonce = clock.ask()
    assert clock.answered("another nonce", floor + 5) is Heard.IGNORED
    assert clock.answered(nonce, floor + 5) is Heard.CORRECTED
    assert clock.trusted
    assert clock.now() in (floor + 5, floor + 6)
    assert clock.answered(nonce, floor + 500) is Heard.IGNORED, "a nonce counts once"


def test_an_answer_that_was_held_back_is_ignored(monkeypatch):
    clock = TrustedClock(int(time.time()) + 1000)
    nonce = clock.ask()
    late = time.monotonic() + ANSWER_WITHIN_S + 1
    monkeypatch.setattr(time, "monotonic", lambda: late)
    assert clock.answered(nonce, clock.now() + 5) is Heard.IGNORED


def test_a_system_clock_that_jumps_does_not_move_a_trusted_time(monkeypatch):
    clock = TrustedClock(RELEASED_AT)
    before = clock.now()
    monkeypatch.setattr(time, "time", lambda: before + 60 * 86400.0)
    assert clock.now() - before <= 1
    assert clock.floor() - before <= 1


def test_a_floor_that_a_wrong_clock_raised_gives_way_to_the_fleets_fresh_answer():
    true = int(time.time())
    clock = TrustedClock(true + 60 * 86400)
    assert not clock.trusted
    assert clock.answered(clock.ask(), true) is Heard.CORRECTED
    assert clock.trusted
    assert abs(clock.floor() - true) <= 1


def test_a_clock_that_was_put_on_moves_no_time_that_locks_run_by(monkeypatch):
    kept = RELEASED_AT + 1000
    monkeypatch.setattr(time, "time", lambda: RELEASED_AT + 365 * 86400.0)
    clock = TrustedClock(RELEASED_AT, kept)
    assert clock.trusted, "it is not behind the floor, and nothing else speaks against it"
    assert clock.now() >= RELEASED_AT + 365 * 86400
    assert kept <= clock.certain() <= kept + 60
    assert clock.answered(clock.ask(), kept + 86_400) is Heard.CORRECTED
    assert kept + 86_400 <= clock.certain() <= kept + 86_460, "the fleet's word is certain"


def test_the_certain_time_goes_on_by_the_monotonic_clock_alone(monkeypatch):
    clock = TrustedClock(RELEASED_AT, RELEASED_AT)
    later = time.monotonic() + 900
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert RELEASED_AT + 900 <= clock.certain() <= RELEASED_AT + 960


def test_a_slow_clock_above_the_floor_is_corrected_by_the_fleet():
    clock = TrustedClock(RELEASED_AT)
    assert clock.answered(clock.ask(), clock.now() + 6 * 3600) is Heard.CORRECTED
    assert clock.answered(clock.ask(), clock.now() + 1) is Heard.CONFIRMED


def test_the_system_clock_is_followed_once_ntp_has_set_it(monkeypatch, tmp_path):
    clock = TrustedClock(RELEASED_AT)
    true = time.time() + 7200
    monkeypatch.setattr(time, "time", lambda: true)
    monkeypatch.setattr("daemon.uplink.clock.NTP_HAS_SET_IT", tmp_path / "synchronized")
    assert not clock.follow_ntp()
    (tmp_path / "synchronized").touch()
    assert clock.follow_ntp()
    assert abs(clock.now() - true) <= 1


@pytest.fixture
def ntp(monkeypatch, tmp_path):
    """What a stranger who answers for NTP makes of the system clock."""
    (tmp_path / "synchronized").touch()
    monkeypatch.setattr("daemon.uplink.clock.NTP_HAS_SET_IT", tmp_path / "synchronized")
    return lambda said: monkeypatch.setattr(time, "time", lambda: float(said))


def test_ntp_leads_nobody_behind_a_moment_that_is_certainly_past(ntp):
    floor = int(time.time()) - 3600
    clock = TrustedClock(floor)
    before = clock.now()
    ntp(floor - 1)
    assert not clock.follow_ntp()
    assert clock.now() - before <= 1


def test_once_the_fleet_has_answered_ntp_moves_nothing(ntp):
    clock = TrustedClock(RELEASED_AT)
    true = clock.now()
    assert clock.answered(clock.ask(), true) is Heard.CONFIRMED
    ntp(true + 10 * 365 * 86400)
    assert not clock.follow_ntp()
    assert clock.now() - true <= 1


def test_what_ntp_says_is_no_word_of_the_fleet(ntp):
    clock = TrustedClock(RELEASED_AT)
    ntp(clock.now() + 10 * 365 * 86400)
    assert clock.follow_ntp()
    assert clock.trusted
    assert not clock.told_by_fleet
    clock.answered(clock.ask(), clock.now())
    assert clock.told_by_fleet


def test_guidance_keeps_only_the_newest_and_comes_last():
    queue = EventQueue(lambda e: "hint" if str(e).startswith("hint") else None)
    for event in ("hint 1", "key 1", "hint 2", "key 2"):
        queue.put(event)
    assert [queue.get(0) for _ in range(4)] == ["key 1", "key 2", "hint 2", None]


def test_a_full_queue_makes_the_source_wait_and_loses_nothing():
    queue = EventQueue(lambda e: None, capacity=4)
    source = threading.Thread(target=lambda: [queue.put(n) for n in range(100)])
    source.start()
    time.sleep(0.05)
    assert source.is_alive()
    assert [queue.get(time.monotonic() + 5) for _ in range(100)] == list(range(100))
    source.join()


def test_a_closed_queue_takes_events_without_making_anybody_wait():
    queue = EventQueue(lambda e: None, capacity=1)
    queue.put("one")
    queue.close()
    queue.put("two")
    queue.put("three")

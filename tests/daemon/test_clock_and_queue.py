"""Time that knows whether it may be believed, and a queue that loses no key."""

from __future__ import annotations

import threading
import time

from daemon.clock import RELEASED_AT, TrustedClock
from daemon.event_queue import EventQueue


def test_a_clock_behind_the_floor_is_not_trusted_until_the_fleet_answers_the_nonce():
    floor = int(time.time()) + 1000
    clock = TrustedClock(floor)
    assert not clock.trusted
    assert clock.now() == floor
    assert clock.floor() is None
    nonce = clock.ask()
    assert not clock.answered("another nonce", floor + 5)
    assert not clock.answered(nonce, floor - 5)
    assert clock.answered(nonce, floor + 5)
    assert clock.trusted
    assert clock.now() >= floor + 5
    assert not clock.answered(nonce, floor + 500), "a nonce counts once"


def test_a_good_clock_is_trusted_and_moves_its_floor():
    clock = TrustedClock(RELEASED_AT)
    assert clock.trusted
    assert clock.floor() >= int(time.time()) - 1


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

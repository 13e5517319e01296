"""Whose turn it is at the desk: who waits comes first, and nobody who may wait does so for ever."""

from __future__ import annotations

import math
import sqlite3
from concurrent.futures import Future

from hypothesis import given
from hypothesis import strategies as st

from fleet.turns import FULL_ENOUGH, MAX_BATCH, QUIET_S, TOGETHER_S, Asked, Turns


def nothing(_: sqlite3.Connection) -> None:
    return None


def asked(at_s: float, may_wait_s: float = 0.0, *, behind: bool = False, of: str | None = None) -> Asked:
    return Asked(nothing, Future(), at_s, may_wait_s, behind, of)


def waiting(*jobs: Asked) -> Turns:
    turns = Turns()
    for job in jobs:
        turns.add(job)
    return turns


def test_nothing_begins_where_nothing_waits() -> None:
    assert waiting().begin_s() == math.inf
    assert not waiting().next_batch(1.0)


def test_who_waits_is_served_at_once_and_alone() -> None:
    payer, heartbeat, report = asked(10.0), asked(9.99, 0.1), asked(9.98, 0.1, behind=True)
    turns = waiting(heartbeat, report, payer)
    assert turns.begin_s() < 10.0
    assert list(turns.next_batch(10.0)) == [payer]
    assert list(turns.next_batch(10.0)) == [heartbeat, report]


def test_what_has_waited_too_long_goes_along_with_whoever_waits() -> None:
    payer, old, young = asked(10.0), asked(9.8, 0.1), asked(9.95, 0.1)
    turns = waiting(old, young, payer)
    assert list(turns.next_batch(10.0)) == [payer, old]


def test_nobody_overtakes_himself() -> None:
    said = [asked(10.0, 0.1, of="kf-a"), asked(10.0, 0.1, of="kf-b"), asked(10.0, 0.1, of="kf-a")]
    payer = asked(10.0, of="kf-a")
    turns = waiting(*said, payer)
    assert list(turns.next_batch(10.0)) == [said[0], said[2], payer]
    assert list(turns.next_batch(10.0)) == [said[1]]


def test_nor_where_more_wait_than_a_commit_takes() -> None:
    crowd = [asked(10.0 + number / 1000) for number in range(MAX_BATCH)]
    request, event = asked(10.1, of="kf-a"), asked(10.2, 0.1, of="kf-a")
    turns = waiting(*crowd, request, event)
    assert list(turns.next_batch(20.0)) == crowd
    assert list(turns.next_batch(20.0)) == [request, event]


def test_it_is_quiet_a_moment_after_somebody_was_served() -> None:
    turns = waiting(asked(10.0, 0.1))
    assert turns.begin_s() == 10.0 + TOGETHER_S, "others may come, for the same commit"
    turns.note_served(10.05)
    assert turns.begin_s() == 10.05 + QUIET_S
    turns.note_served(10.5)
    assert turns.begin_s() == 10.1, "it waits no longer than it may"


def test_a_crowd_does_not_wait_for_the_quiet() -> None:
    turns = waiting(*(asked(10.0, 0.1) for _ in range(FULL_ENOUGH)))
    assert turns.begin_s() < 10.0


def test_what_stays_behind_gets_on_however_many_come_that_may_wait() -> None:
    crowd, report = [asked(10.0, 0.1) for _ in range(2 * MAX_BATCH)], asked(10.0, 0.1, behind=True)
    turns = waiting(*crowd, report)
    assert list(turns.next_batch(10.05)) == crowd[:MAX_BATCH], "it may wait"
    assert list(turns.next_batch(10.2)) == [*crowd[MAX_BATCH:], report], "no longer"


def test_a_batch_that_is_cut_short_keeps_its_turns() -> None:
    jobs = [asked(10.0, 0.1) for _ in range(4)] + [asked(9.0, 0.1, behind=True) for _ in range(3)]
    turns = waiting(*jobs)
    batch = turns.next_batch(10.0)
    begun = batch.popleft()
    turns.put_back(batch)
    assert not batch
    assert [begun, *turns.next_batch(10.0)] == jobs


Told = tuple[float, bool, str | None, int]
of_boxes = st.tuples(
    st.sampled_from([0.0, 0.0, 0.02, 0.1]), st.booleans(), st.sampled_from([None, "kf-a", "kf-b"]), st.integers(0, 9)
)


@given(st.lists(of_boxes, max_size=400), st.integers(0, 9))
def test_whatever_comes_each_is_done_once_and_a_boxs_in_their_order(told: list[Told], slow: int) -> None:
    turns, now_s = Turns(), 0.0
    came, done = list[Asked](), list[Asked]()
    for may_wait_s, behind, of, pause_ms in told:
        now_s += pause_ms / 1000 + 1e-6
        came.append(asked(now_s, may_wait_s, behind=behind, of=of))
        turns.add(came[-1])
        if pause_ms >= slow and turns.begin_s() <= now_s:  # otherwise the desk is still at the last commit
            batch = turns.next_batch(now_s)
            assert batch
            if any(job.hurried for job in batch):
                assert not turns.somebody_waits or sum(job.hurried for job in batch) == MAX_BATCH
            done += batch
            turns.note_served(now_s)
    while len(turns):
        now_s = max(now_s, turns.begin_s())
        done += turns.next_batch(now_s)
    assert {id(job) for job in done} == {id(job) for job in came}
    assert len(done) == len(came)
    for box in ("kf-a", "kf-b"):
        assert [id(job) for job in done if job.of == box and not job.behind] == [
            id(job) for job in came if job.of == box and not job.behind
        ]

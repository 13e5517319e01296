"""Acknowledgements in the order of the messages, from any number of threads that commit in any order."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mqtt.ack_order import AckOrder


@given(st.permutations(range(8)))
def test_whatever_is_committed_first_they_leave_as_they_came(commits: list[int]) -> None:
    sent: list[int] = []
    order = AckOrder(lambda packet_id: sent.append(packet_id) is None)
    owed = [order.came(packet_id) for packet_id in range(8)]
    for done, number in enumerate(commits, start=1):
        assert order.committed(owed[number])
        gap = next((n for n in range(8) if n not in commits[:done]), 8)
        assert sent == list(range(gap)), "all up to the first that is not committed"
        assert order.committed(owed[number]), "twice is once"
    assert sent == list(range(8))
    assert order.held_up_since_s() is None


def test_only_who_holds_up_others_is_named() -> None:
    order = AckOrder(lambda packet_id: True)
    first, second = order.came(1), order.came(2)
    assert order.held_up_since_s() is None
    order.committed(second)
    assert order.held_up_since_s() == first.since_s
    order.committed(first)
    assert order.held_up_since_s() is None


def test_many_threads_at_once_send_one_after_the_other() -> None:
    sent: list[int] = []
    order = AckOrder(lambda packet_id: sent.append(packet_id) is None)
    owed = [order.came(packet_id) for packet_id in range(2000)]
    threads = [threading.Thread(target=lambda n=n: [order.committed(o) for o in owed[n::8]]) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sent == list(range(2000))


def test_a_send_that_fails_is_told_and_one_that_raises_blocks_nobody() -> None:
    answers = iter([False, RuntimeError("gone"), True])

    def send(_: int) -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    order = AckOrder(send)
    owed = [order.came(packet_id) for packet_id in range(3)]
    assert not order.committed(owed[0])
    with pytest.raises(RuntimeError):
        order.committed(owed[1])
    assert order.committed(owed[2])

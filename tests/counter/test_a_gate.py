"""What a passage costs, and when the gate stays shut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.counter.gate import Agreement, Fare, Opens, Passage, Refusal, StaysShut, decide

FARE = Fare("CNY", 300, 1000, passback_s=20)
AGREED = Agreement("CNY", 500, 2000, until=100_000)


def passed(*charges: int) -> tuple[Passage, ...]:
    return tuple(Passage(1000 + 100 * n, charge) for n, charge in enumerate(charges))


@pytest.mark.parametrize(
    ("before", "charge"), [((), 300), ((300,), 300), ((300, 300, 300), 100), ((300, 300, 300, 100), 0)]
)
def test_a_day_of_passages_is_charged_up_to_its_cap_and_free_from_there(before, charge):
    assert decide(FARE, AGREED, passed(*before), 50_000) == Opens(charge)


@pytest.mark.parametrize(
    ("agreement", "now", "reason"),
    [
        (None, 50_000, Refusal.NOT_AGREED),
        (AGREED, 100_000, Refusal.AGREEMENT_OVER),
        (Agreement("HKD", 500, 2000, 100_000), 50_000, Refusal.WRONG_CURRENCY),
        (Agreement("CNY", 299, 2000, 100_000), 50_000, Refusal.ABOVE_AGREEMENT),
        (Agreement("CNY", 500, 599, 100_000), 50_000, Refusal.ABOVE_AGREEMENT),
        (AGREED, 1019, Refusal.JUST_PASSED),
    ],
)
def test_nobody_is_charged_what_they_did_not_agree_to(agreement, now, reason):
    assert decide(FARE, agreement, passed(300), now) == StaysShut(reason)


def test_whoever_waits_may_pass_again():
    assert decide(FARE, AGREED, passed(300), 1020) == Opens(300)


def test_whoever_stays_before_the_gate_is_not_charged_for_standing_there():
    assert decide(FARE, AGREED, passed(300), 1200, left_at=1190) == StaysShut(Refusal.JUST_PASSED)
    assert decide(FARE, AGREED, passed(300), 1210, left_at=1190) == Opens(300)


def test_a_clock_that_was_set_back_does_not_open_the_gate_twice():
    assert decide(FARE, AGREED, passed(300), 990) == StaysShut(Refusal.JUST_PASSED)


@given(
    st.integers(1, 1000), st.integers(0, 5000), st.integers(0, 1000), st.integers(0, 5000),
    st.lists(st.integers(0, 400), max_size=200),
)  # fmt: skip
def test_no_day_is_ever_charged_above_its_cap_or_the_agreement(passage, cap, most, day, gaps):
    fare, agreement = Fare("CNY", passage, cap, 20), Agreement("CNY", most, day, 2**40)
    now, today = 0, ()
    for gap in gaps:
        now += gap
        match decide(fare, agreement, today, now):
            case Opens(charge):
                assert charge <= most
                today = (*today, Passage(now, charge))
            case StaysShut():
                pass
    assert sum(one.charged_minor for one in today) <= min(cap, day)

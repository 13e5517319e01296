"""Layers, waves and the bar: pure decisions about many boxes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import RequestRefused
from fleet.rollout.layers import differences, merged
from fleet.rollout.plan import Member, Next, arrange, decide, parse_percent, parse_waves

WAVES = (1.0, 10.0, 100.0)


def test_the_box_goes_over_the_group_and_the_group_over_the_tenant_setting_by_setting() -> None:
    tenant = {"box": {"shop": "Tenant", "locale": "en"}, "policy": {"refuse_above_minor": 1}}
    group = {"box": {"shop": "Group"}, "payment": {"look_s": 5}}
    box = {"payment": {"look_s": 6, "pin_s": 7}}
    assert merged([tenant, group, box]) == {
        "box": {"shop": "Group", "locale": "en"},
        "payment": {"look_s": 6, "pin_s": 7},
        "policy": {"refuse_above_minor": 1},
    }


def test_a_list_or_a_table_is_replaced_whole() -> None:
    assert merged([{"ads": {"slots": [1, 2], "at": {"a": 1}}}, {"ads": {"slots": [3], "at": {"b": 2}}}]) == {
        "ads": {"slots": [3], "at": {"b": 2}}
    }


def test_differences_name_the_path_and_both_values() -> None:
    found = list(differences({"box": {"shop": "A", "locale": "en"}}, {"box": {"shop": "B"}, "policy": {"x": 1}}))
    assert found == [("box.locale", "en", None), ("box.shop", "A", "B"), ("policy.x", None, 1)]


@pytest.mark.parametrize("text", ["", "1,10", "100,10", "0,100", "1,1,100", "abc", "1,200", "-1,100", "nan,100"])
def test_waves_that_do_not_grow_to_a_hundred_are_refused(text: str) -> None:
    with pytest.raises(RequestRefused):
        parse_waves(text)


@pytest.mark.parametrize(("text", "percent"), [("2%", 2.0), ("0", 0.0), ("100%", 100.0), ("0.5%", 0.5)])
def test_a_bar_is_a_percentage(text: str, percent: float) -> None:
    assert parse_percent(text) == percent


@pytest.mark.parametrize("text", ["", "-1%", "101", "nan", "two"])
def test_a_bar_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestRefused):
        parse_percent(text)


@given(st.integers(1, 500), st.integers(0, 10**6), st.sets(st.integers(0, 499)))
def test_every_box_is_in_exactly_one_wave_and_the_first_has_at_least_one_that_can_be_heard(
    count: int, seed: int, offline: set[int]
) -> None:
    boxes = {f"b{n}": n not in offline for n in range(count)}
    placed = arrange(boxes, WAVES, seed)
    assert placed.keys() == boxes.keys()
    first = [box for box, wave in placed.items() if wave == 0]
    assert len(first) == max(1, count // 100)
    assert any(boxes[box] for box in first) or not any(boxes.values())


def members(*outcomes: str | None, wave: int = 0, online: bool = True) -> list[Member]:
    return [Member(wave, outcome, online) for outcome in outcomes]


CASES: list[tuple[list[Member], int, float, Next]] = [
    (members(None), 0, 2, Next.WAIT),
    (members("trial"), 0, 2, Next.WAIT),
    (members("applied"), 0, 2, Next.GO_ON),
    (members("rejected"), 0, 2, Next.HALT),
    (members("rolled_back"), 0, 99, Next.HALT),
    (members("silent"), 0, 2, Next.HALT),
    (members(None, online=False), 0, 2, Next.WAIT),
    (members("trial", online=False), 0, 2, Next.WAIT),
    ([*members("applied"), *members(None, wave=0, online=False)], 0, 2, Next.GO_ON),
    (members(*["applied"] * 99, "rejected"), 1, 2, Next.GO_ON),
    (members(*["applied"] * 97, "rejected", "rejected", "rejected"), 1, 2, Next.HALT),
    (members("applied", "applied"), 2, 2, Next.DONE),
    ([*members("applied"), *members(None, wave=2, online=False)], 2, 2, Next.WAIT),
    ([*members("applied"), *members("rejected", wave=2)], 1, 0, Next.GO_ON),
    (members("applied", wave=1), 0, 2, Next.GO_ON),  # the first wave's boxes were taken out of service meanwhile
]


@pytest.mark.parametrize(("known", "wave", "bar", "expected"), CASES)
def test_what_follows_from_what_is_known(known: list[Member], wave: int, bar: float, expected: Next) -> None:
    assert decide(known, wave, len(WAVES), bar).next is expected


@given(
    st.lists(st.sampled_from([None, "trial", "applied", "rejected", "rolled_back", "silent"]), min_size=1), st.data()
)
def test_with_a_bar_of_nothing_no_failure_ever_goes_on(outcomes: list[str | None], data: Any) -> None:
    wave = data.draw(st.integers(0, 2))
    said = decide(members(*outcomes), wave, 3, 0.0)
    failed = any(outcome in ("rejected", "rolled_back", "silent") for outcome in outcomes)
    assert (said.next is Next.HALT) == failed

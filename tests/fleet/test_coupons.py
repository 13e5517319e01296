"""Coupons: the best for the payer, the same every time, to the minor unit, and explained."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.payment.money import Amount
from fleet.members.coupons import Coupon, quote

NOW = 1_800_000_000


def coupon(code: str = "c", **facts: object) -> Coupon:
    return Coupon(**{"code": code, "title": code, "currency": "CNY", "expires_at": NOW + 60} | facts)  # type: ignore[arg-type]


def words(amount: int, *coupons: Coupon) -> dict[str, tuple[int, str]]:
    return {line.code: (line.off_minor, line.reason) for line in quote(Amount(amount, "CNY"), coupons, NOW).lines}


def test_an_amount_and_a_percentage_of_the_whole_order_add_up_and_round_down() -> None:
    found = quote(Amount(1999, "CNY"), [coupon("five", off_minor=500), coupon("tenth", permyriad=1000)], NOW)
    assert [(line.code, line.off_minor) for line in found.lines] == [("five", 500), ("tenth", 199)]
    assert found.payable_minor == 1300
    assert found.applied == ("five", "tenth")


@pytest.mark.parametrize(
    ("facts", "reason", "said"),
    [
        ({"off_minor": 500, "min_spend_minor": 2000}, "below_minimum", "CNY 1.50 more"),
        ({"off_minor": 500, "expires_at": NOW}, "expired", "over"),
        ({"off_minor": 500, "currency": "JPY"}, "other_currency", "JPY"),
    ],
)
def test_a_coupon_that_does_not_fit_says_why(facts: dict[str, object], reason: str, said: str) -> None:
    (line,) = quote(Amount(1850, "CNY"), [coupon(**facts)], NOW).lines
    assert (line.off_minor, line.reason) == (0, reason)
    assert said in line.why


def test_a_percentage_stops_at_its_cap() -> None:
    assert words(10_000, coupon(permyriad=5000, max_off_minor=1200)) == {"c": (1200, "applied")}


def test_one_that_stands_alone_wins_only_if_it_takes_off_more_than_the_others_together() -> None:
    a, b = coupon("a", off_minor=300), coupon("b", off_minor=200)
    assert words(2000, a, b, coupon("solo", off_minor=501, combines=False)) == {
        "solo": (501, "applied"),
        "a": (0, "one_that_stands_alone_is_better"),
        "b": (0, "one_that_stands_alone_is_better"),
    }
    assert words(2000, a, b, coupon("solo", off_minor=500, combines=False))["solo"] == (
        0,
        "the_others_together_are_better",
    )


def test_something_is_always_left_to_pay_and_what_is_not_needed_is_kept() -> None:
    found = words(1000, coupon("all", off_minor=5000), coupon("more", off_minor=100))
    assert found == {"all": (999, "applied"), "more": (0, "kept")}
    assert words(1, coupon(off_minor=5)) == {"c": (0, "kept")}


def test_of_two_alike_the_one_that_ends_sooner_is_used() -> None:
    late, soon = coupon("late", off_minor=999, expires_at=NOW + 99), coupon("soon", off_minor=999)
    assert words(1000, late, soon) == {"soon": (999, "applied"), "late": (0, "kept")}


coupons = st.builds(
    coupon,
    code=st.uuids().map(str),
    off_minor=st.sampled_from([0, 1, 250, 999]),
    permyriad=st.sampled_from([0, 1, 333, 10_000]),
    min_spend_minor=st.sampled_from([0, 500, 5000]),
    max_off_minor=st.sampled_from([None, 0, 100]),
    combines=st.booleans(),
    expires_at=st.sampled_from([NOW - 1, NOW + 1, NOW + 2]),
    currency=st.sampled_from(["CNY", "CNY", "JPY"]),
)


@given(st.integers(1, 3000), st.lists(coupons, max_size=5, unique_by=lambda c: c.code), st.randoms())
def test_no_other_way_would_be_better_for_the_payer(amount: int, have: list[Coupon], chance: object) -> None:
    order = Amount(amount, "CNY")
    found = quote(order, have, NOW)
    assert 1 <= found.payable_minor <= amount
    assert {line.code for line in found.lines} == {c.code for c in have}
    fit = [c for c in have if c.currency == "CNY" and c.expires_at > NOW and amount >= c.min_spend_minor]
    groups = [[c] for c in fit if not c.combines] + [
        list(group) for n in range(1, 6) for group in itertools.combinations([c for c in fit if c.combines], n)
    ]
    best = max((min(sum(c.off(order) for c in group), amount - 1) for group in groups), default=0)
    assert found.off_minor == best
    mixed = sorted(have, key=lambda _: chance.random())  # type: ignore[attr-defined]
    assert quote(order, mixed, NOW) == found

"""Which channel takes an order, and how a failing one is left alone and tried again."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.payment.channels import (
    Breaker,
    BreakerTimes,
    ChannelConfig,
    Fee,
    Health,
    allows,
    choose,
    failed,
    heard,
    submitted,
    worked,
)
from daemon.payment.money import Amount
from daemon.payment.payer_codes import wallet_of

CNY = frozenset({"CNY"})
TIMES = BreakerTimes(failures=3, open_s=30, longest_open_s=100)
NEAR = ChannelConfig("near", CNY, priority=1, breaker=TIMES)
FAR = ChannelConfig("far", frozenset({"CNY", "JPY"}), priority=2, max_minor=50_000, breaker=TIMES)


def names(amount: Amount, breakers: dict[str, Breaker] | None = None, now: float = 0.0) -> list[tuple[str, str]]:
    choice = choose([FAR, NEAR], breakers or {}, amount, "face_first", now)
    return [(c.channel.name, c.reason) for c in choice.candidates]


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(TIMES.failures):
        breaker = failed(breaker, now, TIMES)
    return breaker


def test_the_lowest_priority_number_comes_first_and_the_rest_stand_by() -> None:
    assert names(Amount(1850, "CNY")) == [("near", "by_priority"), ("far", "by_priority")]


@pytest.mark.parametrize(
    ("channel", "amount", "reason", "said"),
    [
        (ChannelConfig("c", CNY, enabled=False), Amount(1, "CNY"), "disabled", "switched off"),
        (ChannelConfig("c", CNY), Amount(1, "JPY"), "currency", "does not take JPY"),
        (ChannelConfig("c", CNY, flows=frozenset({"qr"})), Amount(1, "CNY"), "flow", "by face_first"),
        (ChannelConfig("c", CNY, min_minor=100), Amount(99, "CNY"), "below_minimum", "CNY 1.00 or more"),
        (ChannelConfig("c", CNY, max_minor=100), Amount(101, "CNY"), "above_maximum", "CNY 1.00 at most"),
        (ChannelConfig("c", CNY, breaker=TIMES), Amount(1, "CNY"), "breaker_open", "failed 3 times"),
    ],
)
def test_a_channel_that_can_not_take_the_order_is_left_out_with_the_reason(
    channel: ChannelConfig, amount: Amount, reason: str, said: str
) -> None:
    breakers = {"c": opened()} if reason == "breaker_open" else {}
    choice = choose([channel], breakers, amount, "face_first", 10.0)
    assert choice.best is None
    (left,) = choice.left_out
    assert (left.name, left.reason) == ("c", reason)
    assert said in left.why


def test_the_limits_themselves_are_inside() -> None:
    channel = ChannelConfig("c", CNY, min_minor=100, max_minor=200)
    for minor in (100, 200):
        assert choose([channel], {}, Amount(minor, "CNY"), "face_first", 0.0).best == channel


def test_a_channel_that_failed_three_times_in_a_row_gives_way_to_the_next() -> None:
    breaker = Breaker()
    for _ in range(2):
        breaker = failed(breaker, 0.0, TIMES)
        assert names(Amount(1, "CNY"), {"near": breaker})[0] == ("near", "by_priority")
    breaker = failed(breaker, 0.0, TIMES)
    assert names(Amount(1, "CNY"), {"near": breaker}, 29.9) == [("far", "failover_breaker_open")]


def test_a_success_between_failures_starts_the_count_again() -> None:
    breaker = failed(failed(Breaker(), 0.0, TIMES), 0.0, TIMES)
    breaker = failed(failed(worked(breaker), 0.0, TIMES), 0.0, TIMES)
    assert breaker.health is Health.CLOSED


def test_after_the_wait_one_payment_tries_it_and_the_others_go_elsewhere() -> None:
    breaker = opened()
    assert names(Amount(1, "CNY"), {"near": breaker}, 30.0)[0] == ("near", "probe")
    trying = submitted(breaker, 30.0)
    assert names(Amount(1, "CNY"), {"near": trying}, 31.0) == [("far", "failover_breaker_open")]
    assert names(Amount(1, "CNY"), {"near": worked(trying)}, 31.0)[0] == ("near", "by_priority")


def test_each_failed_try_doubles_the_wait_up_to_a_limit() -> None:
    breaker, now, waits = opened(), 0.0, []
    for _ in range(4):
        wait_s = next(s for s in range(1, 1000) if allows(breaker, now + s, TIMES))
        waits.append(wait_s)
        now += wait_s
        breaker = failed(submitted(breaker, now), now, TIMES)
    assert waits == [30, 60, 100, 100]


def test_a_try_that_is_never_heard_of_again_does_not_shut_the_channel_for_good() -> None:
    trying = submitted(opened(), 30.0)
    assert not allows(trying, 59.0, TIMES)
    assert allows(trying, 60.0, TIMES)


def test_a_late_failure_from_before_it_opened_does_not_prolong_the_wait() -> None:
    assert allows(failed(opened(0.0), 29.0, TIMES), 30.0, TIMES)


@pytest.mark.parametrize(
    ("status", "reason", "health"),
    [
        ("approved", "ok", Health.CLOSED),
        ("approved", "too_late", Health.CLOSED),
        ("declined", "insufficient_funds", Health.CLOSED),
        ("declined", "unknown_channel", Health.OPEN),
        ("reversed", "never_received", Health.OPEN),
        ("reversed", "too_late", Health.OPEN),
        ("pending", "in_progress", Health.HALF_OPEN),
    ],
)
def test_what_an_answer_says_of_its_channel(status: str, reason: str, health: Health) -> None:
    trying = submitted(opened(), 30.0)
    assert heard(trying, status, reason, 31.0, TIMES).health is health


@given(st.permutations(["a", "b", "c", "d"]), st.integers(0, 3), st.randoms())
def test_the_choice_does_not_depend_on_the_order_of_the_file(
    order: list[str], same_priority: int, chance: random.Random
) -> None:
    channels = [ChannelConfig(name, CNY, priority=1 if i < same_priority else 2) for i, name in enumerate("abcd")]
    shuffled = [next(c for c in channels if c.name == name) for name in order]
    chance.shuffle(shuffled)
    assert choose(shuffled, {}, Amount(1, "CNY"), "f", 0.0) == choose(channels, {}, Amount(1, "CNY"), "f", 0.0)


@pytest.mark.parametrize(
    ("fee", "minor", "shown"), [(Fee(), 1850, 0), (Fee(60), 1850, 12), (Fee(60), 1, 1), (Fee(60, 100), 10_000, 160)]
)
def test_a_fee_is_whole_minor_units_rounded_up(fee: Fee, minor: int, shown: int) -> None:
    assert fee.of(Amount(minor, "CNY")) == shown


ALIPAY = ChannelConfig("alipay-like", CNY, priority=2, codes=frozenset({"alipay"}))
WECHAT = ChannelConfig("wechat-like", CNY, priority=1, codes=frozenset({"wechat"}))
ANY = ChannelConfig("acquirer", CNY, priority=0)
A_CODE, W_CODE, U_CODE = "286281234567890123", "134567890123456789", "6212345678901234567"


@pytest.mark.parametrize(
    ("code", "wallet"),
    [
        (A_CODE, "alipay"), ("25" + "0" * 14, "alipay"), ("30" + "9" * 22, "alipay"), ("25" + "0" * 13, None),
        ("31" + "0" * 16, None), ("24" + "0" * 16, None), (W_CODE, "wechat"), ("10" + "0" * 16, "wechat"),
        ("15" + "0" * 16, "wechat"), ("16" + "0" * 16, None), ("13" + "0" * 17, None), (U_CODE, "unionpay"),
        ("62" + "0" * 16, None), ("6901234567892", None), ("", None), ("2", None), ("٢٥" + "0" * 16, None),
        ("https://qr.example/28", None), ("28" + "0" * 300, None),
    ],
)  # fmt: skip
def test_whose_code_it_is_stands_in_its_first_digits_and_its_length(code: str, wallet: str | None) -> None:
    assert wallet_of(code) == wallet


def routed(code: str | None, *channels: ChannelConfig, **breakers: Breaker) -> list[tuple[str, str]]:
    named = {name.replace("_", "-"): breaker for name, breaker in breakers.items()}
    choice = choose(channels, named, Amount(1, "CNY"), "qr_scanned", 1.0, code)
    return [(one.channel.name, one.reason) for one in choice.candidates]


def test_a_code_goes_to_its_own_wallets_channel_whatever_the_priority() -> None:
    both = (ALIPAY, WECHAT, ANY)
    assert routed(A_CODE, *both) == [("alipay-like", "by_code"), ("acquirer", "by_priority")]
    assert routed(W_CODE, *both) == [("wechat-like", "by_code"), ("acquirer", "by_priority")]
    left = choose(both, {}, Amount(1, "CNY"), "qr_scanned", 1.0, A_CODE).left_out
    assert [(one.name, one.reason) for one in left] == [("wechat-like", "code_of_another")]


def test_a_code_that_no_channel_claims_goes_by_priority_as_everything_else_does() -> None:
    by_priority = [("acquirer", "by_priority"), ("wechat-like", "by_priority"), ("alipay-like", "by_priority")]
    for code in (U_CODE, "some other app's", None):
        assert routed(code, ALIPAY, WECHAT, ANY) == by_priority


def test_a_wallet_whose_channel_fails_is_left_to_one_that_takes_any_code_and_to_no_other_wallets() -> None:
    assert routed(A_CODE, ALIPAY, WECHAT, ANY, alipay_like=opened()) == [("acquirer", "failover_breaker_open")]
    assert routed(A_CODE, ALIPAY, WECHAT, alipay_like=opened()) == []


def test_a_channel_that_is_switched_off_claims_nothing() -> None:
    off = ChannelConfig("alipay-like", CNY, enabled=False, codes=frozenset({"alipay"}))
    assert routed(A_CODE, off, WECHAT) == [("wechat-like", "by_priority")]

"""A face alone before a gate: what was agreed, what the policy says, what is possible offline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.config.gate import GateSection
from daemon.counter.gate import Agreement, Fare, Opens, Passage, StaysShut
from daemon.gate.agreement import Terms, agreement_of
from daemon.gate.ruling import Standing, ruled
from daemon.payment.order import Circumstances, Identified
from daemon.payment.policy import Factor, OfflineCaps, OneOf, Policy, Range, Rule
from daemon.payment.policy_document import PolicyDocument

NOW = 1_800_000_000
FARE = Fare("CNY", 200, 500, passback_s=20)
GRACE = Identified("grace", 0.8, 0.4, 0.99, challenged=True)
AGREED = Agreement("CNY", 200, 500, until=NOW + 1000)
STANDING = Standing(GRACE, AGREED, (), Circumstances(), NOW)
GATES = Rule("gate", Factor.NONE, {"flow": OneOf(("gate",)), "amount": Range(at_most=500), "currency": OneOf(("CNY",))})
CAPS = OfflineCaps("CNY", 300, 600, 1000, 3)
ALLOWED = Policy(rules=(GATES,), offline=CAPS)


def reason(standing: Standing = STANDING, policy: Policy = ALLOWED, offline: bool = False) -> str:
    return ruled(FARE, policy, standing, offline_allowed=offline).reason


def test_the_default_policy_lets_nobody_through_on_a_face_alone():
    found = ruled(FARE, Policy(), STANDING, offline_allowed=False)
    assert (found.reason, found.rule) == ("policy", "amount_needs_pin")
    assert isinstance(found.decision, StaysShut)


def test_a_rule_for_the_gate_lets_whoever_agreed_through_for_the_fare():
    found = ruled(FARE, ALLOWED, STANDING, offline_allowed=False)
    assert (found.decision, found.rule) == (Opens(200), "gate")


def test_a_policy_can_name_the_gate_and_nothing_that_is_no_flow():
    rule = {"name": "gate", "then": "none", "when": {"flow": ["gate"], "amount": {"at_most": 500}, "currency": ["CNY"]}}
    assert ruled(FARE, PolicyDocument(rules=(rule,)).policy(), STANDING, offline_allowed=False).reason == "ok"
    with pytest.raises(ValueError, match="'gates' is not known"):
        PolicyDocument(rules=(rule | {"when": rule["when"] | {"flow": ["gates"]}},))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"agreement": None}, "not_agreed"), ({"now": NOW + 1000}, "agreement_over"),
        ({"agreement": replace(AGREED, passage_minor=199)}, "above_agreement"),
        ({"agreement": replace(AGREED, currency="HKD")}, "wrong_currency"),
        ({"today": (Passage(NOW - 5, 200),)}, "just_passed"), ({"today": (Passage(NOW - 5000, 200, True),)}, "unpaid"),
        ({"around": Circumstances(duress=True)}, "policy"),
    ],
)  # fmt: skip
def test_who_stays_outside_hears_why(changed, said):
    assert reason(replace(STANDING, **changed)) == said


def test_offline_it_opens_only_where_that_was_set_up_and_within_the_caps():
    offline = replace(STANDING, around=Circumstances(online=False))
    assert reason(offline) == "offline"
    assert reason(offline, offline=True) == "ok"
    assert reason(offline, replace(ALLOWED, offline=OfflineCaps()), offline=True) == "offline"
    for spent in ({"payer_sum_day": 401}, {"box_sum_day": 801}, {"payer_count_day": 3}):
        assert reason(replace(offline, around=Circumstances(online=False, **spent)), offline=True) == "offline"


def test_offline_relaxes_no_rule():
    for factor in (Factor.PHONE4, Factor.PIN, Factor.REFUSE):
        policy = replace(ALLOWED, rules=(replace(GATES, then=factor),))
        for online in (True, False):
            around = replace(STANDING, around=Circumstances(online=online))
            assert reason(around, policy, offline=True) == "policy"
    refusing = Rule("no network", Factor.REFUSE, {"online": OneOf((False,))})
    policy = replace(ALLOWED, rules=(refusing, GATES))
    assert reason(replace(STANDING, around=Circumstances(online=False)), policy, offline=True) == "policy"


def test_what_was_agreed_is_read_back_and_what_is_no_agreement_is_none():
    text = Terms("CNY", 200, 500, 30).agreed(NOW)
    assert agreement_of(text) == Agreement("CNY", 200, 500, NOW + 30 * 86_400)
    for junk in (None, "", "CNY:200:500", "CNY:-1:500:9", "cny:200:500:9", "CNY:200:500:9 ", "x" * 100, "CNY:2e2:5:9"):
        assert agreement_of(junk) is None


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"on": True}, "passage_minor"), ({"on": True, "passage_minor": 200, "day_cap_minor": 100}, "day_cap_minor"),
        ({"on": True, "passage_minor": -5}, "passage_minor"), ({"open_s": 0}, "open_s"),
    ],
)  # fmt: skip
def test_a_gate_without_a_sensible_fare_is_refused_by_its_path(section, where):
    with pytest.raises(ValueError, match=where):
        GateSection(**section)

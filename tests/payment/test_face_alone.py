"""Where a face alone could pay, everybody is asked to turn and blink first; where a PIN is asked anyway, nobody is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.payment.face_alone import largest_unchallenged_minor, must_be_challenged, passage_must_be_challenged
from daemon.payment.flows import FLOWS, Step
from daemon.payment.money import Amount
from daemon.payment.order import Circumstances, Identified
from daemon.payment.passage import GATE
from daemon.payment.policy import Case, Factor, OneOf, Policy, Range, Rule, rule, spares_the_pin
from daemon.payment.policy_document import PolicyDocument

FREE = {"name": "free", "then": "none", "when": {"amount": {"at_most": 2000}, "currency": ["CNY"]}}


def policy(*rules, **more):
    return PolicyDocument.model_validate({"rules": rules, **more}).policy()


def asked(wanted, minor=1850, flow="face_first", currency="CNY", **around):
    return must_be_challenged(wanted, Amount(minor, currency), flow, **around)


def with_when(then="none", /, **when):
    return {"name": "a", "then": then, "when": when}


def test_as_shipped_nobody_is_kept_waiting_since_everybody_types_a_pin():
    assert not any(asked(Policy(), minor, flow) for minor in (1, 1850, 500_001) for flow in FLOWS)


def test_the_short_form_asks_whoever_could_pay_without_a_pin_and_nobody_above_that_sum():
    wanted = PolicyDocument(pin_free_up_to_minor=2000).policy()
    assert asked(wanted, 2000)
    assert not asked(wanted, 2001)
    assert not asked(wanted, 500_001)


@pytest.mark.parametrize("then", ["none", "phone4", "phone11"])
def test_a_face_with_the_digits_of_a_phone_is_a_face_alone(then):
    assert asked(policy(FREE | {"then": then}))


@pytest.mark.parametrize("then", ["pin", "id_card", "refuse"])
def test_what_asks_for_more_asks_for_no_turning(then):
    assert not asked(policy(FREE | {"then": then}))


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        ("face_first", True), ("face_phone", True), ("phone_first", True), ("id_card", True), ("topup", True),
        ("face_pin_bank", False), ("qr_shown", False), ("qr_scanned", False),
    ],
)  # fmt: skip
def test_ways_without_a_face_and_with_a_fixed_pin_ask_for_none(flow, expected):
    assert asked(policy(FREE), flow=flow) is expected


def test_an_identity_check_is_never_by_face_alone_and_asks_for_no_turning():
    assert not must_be_challenged(policy(FREE), None, "identity")


def test_other_sums_currencies_and_ways_than_the_rules_are_not_kept_waiting():
    assert not asked(policy(FREE), 2001)
    assert not asked(policy(FREE), currency="HKD")
    assert not asked(policy(with_when(amount={"at_most": 2000}, currency=["CNY"], flow=["topup"])))


def test_offline_a_pin_is_asked_for_anyway():
    assert not asked(policy(FREE), online=False)


def test_a_rule_before_it_that_fits_whoever_comes_decides():
    strict = with_when("pin", amount={"at_least": 1000})
    assert not asked(policy(strict, FREE))
    assert asked(policy(strict, FREE), 999)


def test_a_rule_before_it_that_fits_some_payers_only_leaves_the_others():
    newcomers = with_when("pin", visits={"at_most": 4})
    assert asked(policy(newcomers, FREE))
    assert asked(policy(with_when(amount={"at_most": 2000}, currency=["CNY"], visits={"at_least": 5})))


def test_by_night_the_night_rule_counts_and_where_the_hour_is_not_known_either_may():
    night = with_when("pin", hour={"at_least": 22, "at_most": 5})
    wanted = policy(night, FREE)
    assert [asked(wanted, hour=hour) for hour in (23, 12, None)] == [False, True, True]


def test_up_to_the_sum_that_the_operator_risks_nobody_is_asked():
    wanted = policy(FREE, unchallenged_up_to_minor=500)
    assert not asked(wanted, 500)
    assert asked(wanted, 501)


def test_where_a_rule_wants_the_challenge_itself_it_is_asked_for_whatever_is_risked():
    wanted = with_when(amount={"at_most": 2000}, currency=["CNY"], challenged=True)
    assert asked(policy(wanted, unchallenged_up_to_minor=2000))


def test_a_gate_that_may_open_to_a_face_asks_everybody_who_walks_up():
    gate = with_when(amount={"at_most": 500}, currency=["CNY"], flow=["gate"])
    fare = Amount(200, "CNY")
    assert passage_must_be_challenged(policy(gate), fare)
    assert not passage_must_be_challenged(policy(gate, unchallenged_up_to_minor=200), fare)
    assert not passage_must_be_challenged(Policy(), fare), "it opens to nobody"


def test_what_is_left_of_a_days_cap_counts_where_a_rule_speaks_of_it_only():
    """The fare itself asks for a PIN; 1.50 of it, the rest of a day's cap, does not."""
    dear, tiny = with_when("pin", amount={"at_least": 200}), with_when("pin", amount={"at_most": 100}) | {"name": "b"}
    wanted = policy(dear, tiny, FREE)
    assert passage_must_be_challenged(wanted, Amount(200, "CNY"))
    assert not passage_must_be_challenged(wanted, Amount(100, "CNY"))


rules_of_any_kind = st.lists(
    st.builds(
        lambda then, low, high, more: Rule("r", then, {"amount": Range(low, low + high)} | more),
        st.sampled_from(list(Factor)), st.integers(0, 300), st.integers(0, 300),
        st.sampled_from(
            [
                {}, {"challenged": OneOf((True,))}, {"challenged": OneOf((False,))}, {"score": Range(0.6)},
                {"hour": Range(22, 6)}, {"ambiguous": OneOf((True,))}, {"online": OneOf((False,))},
                {"visits": Range(5)}, {"currency": OneOf(("CNY",))}, {"flow": OneOf(("face_first", "gate"))},
            ]
        ),
    ),
    max_size=4,
)  # fmt: skip


FACES = [name for name, flow in FLOWS.items() if Step.FACE in flow.steps and Step.PIN not in flow.steps]


@given(
    rules_of_any_kind, st.integers(0, 300), st.integers(1, 300), st.sampled_from([*FACES, GATE]),
    st.floats(-1, 1), st.integers(0, 23), st.integers(0, 10), st.booleans(), st.booleans(),
)  # fmt: skip
def test_whoever_turning_could_spare_the_pin_is_asked_and_nobody_is_spared_it_unasked(
    rules, risked, minor, flow, score, hour, visits, online, ambiguous
):
    wanted = Policy(tuple(replace(one, name=f"r{n}") for n, one in enumerate(rules)), unchallenged_up_to_minor=risked)
    still = Identified("g", score, 0.5, 0.9)
    around = Circumstances(online=online, hour=hour, visits=visits)
    case = Case(Amount(minor, "CNY"), flow, still, ambiguous, around)
    least = Factor.NONE if flow == GATE else FLOWS[flow].at_least
    without = rule(wanted, case, least).factor
    turned = rule(wanted, replace(case, who=replace(still, challenged=True)), least).factor
    if minor > risked:
        assert not spares_the_pin(without)
    if minor > risked and spares_the_pin(turned):
        assert must_be_challenged(wanted, case.amount, flow, online=online, hour=hour)
        assert must_be_challenged(wanted, case.amount, flow, online=online), "nor is it less where no hour is known"


@pytest.mark.parametrize(
    ("document", "worth"),
    [
        ({}, 0), ({"pin_free_up_to_minor": 2000}, 0), ({"unchallenged_up_to_minor": 500}, 0),
        ({"pin_free_up_to_minor": 2000, "unchallenged_up_to_minor": 500}, 500),
        ({"pin_free_up_to_minor": 300, "unchallenged_up_to_minor": 500}, 300),
        ({"rules": [FREE, with_when("phone4", amount={"at_most": 9000}, currency=["CNY"])],
          "unchallenged_up_to_minor": 10**6}, 9000),
    ],
)  # fmt: skip
def test_what_a_printed_portrait_is_worth_is_the_sum_that_was_risked(document, worth):
    assert largest_unchallenged_minor(PolicyDocument.model_validate(document).policy()) == worth

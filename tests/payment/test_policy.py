"""Rules about risk: the first that fits decides, floors hold, and a document that is wrong says where."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from daemon.cli.main import main
from daemon.config.load import load
from daemon.health.checks import FaceAlone, look
from daemon.payment.money import Amount
from daemon.payment.order import Circumstances, Identified
from daemon.payment.policy import STRENGTH, Case, Factor, OneOf, Policy, Range, Rule, explain, facts, rule
from daemon.payment.policy_document import PolicyDocument

GRACE = Identified("grace", 0.8, 0.5, 0.99, challenged=True)
STILL = replace(GRACE, challenged=False)
FREE = {"name": "free", "then": "none", "when": {"amount": {"at_most": 2000}, "currency": ["CNY"]}}


def case(minor=1850, currency="CNY", who=GRACE, ambiguous=False, flow="face_first", **around):
    return Case(Amount(minor, currency), flow, who, ambiguous, Circumstances(**around))


def one(then, **when):
    return {"name": "a", "then": then, "when": when}


def policy(*rules, **more):
    return PolicyDocument.model_validate({"rules": rules, **more}).policy()


def test_the_default_asks_for_a_pin_for_every_amount_and_refuses_large_ones():
    for minor in (1, 1850, 500_000):
        assert rule(Policy(), case(minor)).factor is Factor.PIN
    assert rule(Policy(), case(500_001)).factor is Factor.REFUSE
    assert PolicyDocument().policy().rules == Policy().rules


def test_the_first_rule_that_fits_decides_and_is_named():
    wanted = policy(
        {"name": "night", "then": "id_card", "when": {"hour": {"at_least": 22, "at_most": 5}}}, FREE,
    )  # fmt: skip
    assert (rule(wanted, case(hour=23)).factor, rule(wanted, case(hour=23)).rule) == (Factor.ID_CARD, "night")
    assert rule(wanted, case(hour=3)).rule == "night"
    assert rule(wanted, case(hour=12)).rule == "free"
    assert (rule(wanted, case(9999)).factor, rule(wanted, case(9999)).rule) == (Factor.PIN, "otherwise")


CONDITIONS = [
    ({"amount": {"at_least": 2000}}, {"minor": 2000}, {"minor": 1999}),
    ({"currency": ["CNY", "HKD"]}, {"currency": "HKD"}, {"currency": "JPY"}),
    ({"flow": ["id_card"]}, {"flow": "id_card"}, {}),
    ({"score": {"at_most": 0.5}}, {"who": Identified("g", 0.5, 0.5, 1)}, {}),
    ({"margin": {"at_most": 0.1}}, {"who": Identified("g", 0.8, 0.1, 1)}, {}),
    ({"liveness": {"at_most": 0.7}}, {"who": Identified("g", 0.8, 0.5, 0.7)}, {}),
    ({"challenged": True}, {}, {"who": Identified("g", 0.8, 0.5, 0.99)}),
    ({"ambiguous": True}, {"ambiguous": True}, {}),
    ({"online": False}, {"online": False}, {}),
    ({"duress": True}, {"duress": True}, {}),
    ({"hour": {"at_least": 20}}, {"hour": 20}, {"hour": 19}),
    ({"visits": {"at_most": 0}}, {"visits": 0}, {"visits": 1}),
    ({"payer_count_day": {"at_least": 5}}, {"payer_count_day": 5}, {"payer_count_day": 4}),
    ({"payer_sum_day": {"at_least": 100}}, {"payer_sum_day": 100}, {"payer_sum_day": 99}),
    ({"box_count_day": {"at_least": 5}}, {"box_count_day": 5}, {"box_count_day": 4}),
    ({"box_sum_day": {"at_least": 100}}, {"box_sum_day": 100}, {"box_sum_day": 99}),
]


@pytest.mark.parametrize(("when", "holds", "fails"), CONDITIONS, ids=[next(iter(c[0])) for c in CONDITIONS])
def test_each_fact_can_be_a_condition(when, holds, fails):
    wanted = policy({"name": "one", "then": "refuse", "when": when})
    assert rule(wanted, case(**holds)).factor is Factor.REFUSE
    assert rule(wanted, case(**fails)).factor is Factor.PIN


def test_there_is_a_condition_for_every_fact_and_no_other():
    assert {next(iter(c[0])) for c in CONDITIONS} == set(facts(case()))


def test_a_rule_that_spares_the_pin_has_a_largest_sum_whatever_its_figures():
    """Only hours go around: an amount from 50 to 20 is nobody's, and was every amount from 50 on."""
    free = one("none", amount={"at_least": 5000, "at_most": 2000}, currency=["CNY"])
    with pytest.raises(ValidationError, match="at_most must not be below at_least"):
        policy(free)


@pytest.mark.parametrize("fact", ["amount", "score", "margin", "liveness", "visits", "payer_count_day", "box_sum_day"])
def test_a_range_that_nothing_lies_in_is_a_typing_error(fact):
    with pytest.raises(ValidationError, match="at_most must not be below at_least"):
        policy(one("refuse", **{fact: {"at_least": 2, "at_most": 1}}))
    policy(one("refuse", **{fact: {"at_least": 1, "at_most": 1}}))


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_figure_that_nothing_can_be_compared_with_is_refused(figure):
    with pytest.raises(ValidationError, match="finite"):
        policy(one("refuse", score={"at_most": figure}))


@pytest.mark.parametrize("floor", [{"ambiguous": True}, {"online": False}])
def test_no_rule_undercuts_the_pin_for_look_alikes_nor_offline(floor):
    ruling = rule(policy(FREE), case(**floor))
    assert (ruling.factor, ruling.rule) == (Factor.PIN, "free")
    assert ruling.raised_by in ("look_alike", "offline")


@pytest.mark.parametrize("then", ["none", "phone4", "phone11"])
def test_no_rule_undercuts_the_pin_for_a_face_that_was_not_asked_to_turn_and_blink(then):
    """The digits of a phone are no secret either."""
    wanted = policy(FREE | {"then": then})
    assert rule(wanted, case()).factor is Factor(then)
    ruling = rule(wanted, case(who=STILL))
    assert (ruling.factor, ruling.rule, ruling.raised_by) == (Factor.PIN, "free", "unchallenged")
    assert rule(wanted, case(who=replace(STILL, relief=True))).raised_by is None, "depth spoke for it"


def test_the_operator_may_take_the_risk_of_a_mask_up_to_a_sum():
    wanted = policy(FREE, unchallenged_up_to_minor=1500)
    assert rule(wanted, case(1500, who=STILL)).factor is Factor.NONE
    assert rule(wanted, case(1501, who=STILL)).raised_by == "unchallenged"
    assert rule(wanted, case(1501)).factor is Factor.NONE
    assert rule(wanted, case(1500, who=STILL, ambiguous=True)).raised_by == "look_alike"
    with pytest.raises(ValidationError) as refused:
        policy(FREE, unchallenged_up_to_minor=-1)
    assert refused.value.errors()[0]["loc"] == ("unchallenged_up_to_minor",)


def test_the_risk_that_is_taken_is_part_of_the_policys_fingerprint():
    assert PolicyDocument().fingerprint() != PolicyDocument(unchallenged_up_to_minor=1).fingerprint()


anybody = st.builds(
    Identified, st.just("g"), st.floats(-1, 1), st.floats(-2, 2), st.floats(0, 1), challenged=st.booleans(),
    relief=st.booleans(),
)  # fmt: skip
facts_of_any_case = st.builds(
    case, st.integers(1, 10**9), st.sampled_from(["CNY", "JPY", "KWD"]), anybody, st.booleans(),
    st.sampled_from(["face_first", "face_phone"]), online=st.booleans(), hour=st.integers(0, 23),
    payer_count_day=st.integers(0, 99),
)  # fmt: skip


@given(facts_of_any_case, st.lists(st.sampled_from(list(Factor)), max_size=4), st.integers(0, 10**9))
def test_whatever_the_rules_a_doubtful_case_is_never_relaxed(asked, thens, limit):
    rules = tuple(Rule(f"r{n}", then, {"amount": Range(at_most=limit)}) for n, then in enumerate(thens))
    ruling = rule(Policy(rules), asked)
    if asked.ambiguous or not asked.around.online or not (asked.who.challenged or asked.who.relief):
        assert STRENGTH[ruling.factor] >= STRENGTH[Factor.PIN]
    fired = [t for t in explain(Policy(rules), asked) if t.fired]
    assert [t.rule for t in fired] == [ruling.rule], "what is explained is what is ruled"


def test_unknown_facts_never_satisfy_a_condition():
    nobody_pays = Case(None, "identity", GRACE)
    assert rule(policy(FREE), nobody_pays).factor is Factor.PIN
    assert not Range(0).holds(None)
    assert not Range(0).holds(float("nan"))
    assert not OneOf((True,)).holds(1)


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"rules": [FREE, one("pin", amont={"at_most": 1})]}, ("rules", 1, "when", "amont")),
        ({"rules": [one("password")]}, ("rules", 0, "then")),
        ({"rules": [one("none")]}, ("rules", 0)),
        ({"rules": [one("phone4", amount={"at_most": 9})]}, ("rules", 0)),
        ({"rules": [one("none", amount={"at_least": 9}, currency=["CNY"])]}, ("rules", 0)),
        ({"rules": [one("pin", currency=["RMB"])]}, ("rules", 0, "when")),
        ({"rules": [one("pin", flow=["face_frist"])]}, ("rules", 0, "when")),
        ({"rules": [one("pin", hour={"at_least": 24})]}, ("rules", 0, "when", "hour", "at_least")),
        ({"rules": [one("pin", score={})]}, ("rules", 0, "when", "score")),
        ({"rules": [FREE, FREE]}, ()),
        ({"rules": [FREE], "refuse_above_minor": 7}, ()),
        ({"otherwise": "none"}, ()),
        ({"pin_free_up_to_minor": -1}, ("pin_free_up_to_minor",)),
        ({"offline": {"per_payment": -1}}, ("offline", "per_payment")),
        ({"offline": {"currency": "RMB"}}, ("offline",)),
    ],
)  # fmt: skip
def test_a_document_that_is_wrong_says_where(document, path):
    with pytest.raises(ValidationError) as refused:
        PolicyDocument.model_validate(document)
    assert path in [error["loc"] for error in refused.value.errors()]


def test_two_documents_that_say_the_same_have_one_fingerprint():
    document = PolicyDocument.model_validate({"rules": [FREE]})
    again = PolicyDocument.model_validate(json.loads(document.model_dump_json()))
    assert again.fingerprint() == document.fingerprint()
    assert PolicyDocument().fingerprint() != document.fingerprint()


def test_every_factor_has_its_place_between_nothing_and_refusal():
    assert min(Factor, key=STRENGTH.__getitem__) is Factor.NONE
    assert all(STRENGTH[a] < STRENGTH[b] for a, b in itertools.pairwise(Factor))


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    def write(text):
        (tmp_path / "policy.toml").write_text(text)
        return str(tmp_path / "policy.toml")

    return write


SPARING = """
[[policy.rules]]
name = "small"
then = "none"
when = { amount = { at_most = 2000 }, currency = ["CNY"], score = { at_least = 0.6 } }
"""


def test_explain_says_which_rule_fires_and_why_not_the_others(written, capsys):
    call = ["policy", "explain", "--file", written(SPARING), "--amount", "12.50", "--score", "0.5"]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "no: score is 0.5, must be at least 0.6" in said
    assert said.strip().endswith("asks for: pin (otherwise)")
    assert main([*call[:-1], "0.7", "--offline", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["factor"], found["rule"], found["raised_by"]) == ("pin", "small", "offline")


def test_check_names_the_path_of_every_error_and_changes_nothing(written, capsys):
    wrong = SPARING.replace("at_most", "atmost").replace("score", "skore")
    assert main(["policy", "check", written(wrong)]) == 1
    said = capsys.readouterr().err
    assert "policy.rules.0.when.amount.atmost: is not a setting" in said
    assert "policy.rules.0.when.skore: is not a setting" in said
    assert main(["policy", "check", written(SPARING)]) == 0


def test_an_amount_with_too_many_decimals_is_refused_by_name(written, capsys):
    assert main(["policy", "explain", "--file", written(SPARING), "--amount", "12.505"]) == 1
    assert "CNY has 2 decimals" in capsys.readouterr().err


def test_show_lists_the_rules_in_their_order(written, capsys):
    assert main(["policy", "show", "--file", written(SPARING)]) == 0
    said = capsys.readouterr().out
    assert said.index("small") < said.index("otherwise")


def test_explain_says_who_is_asked_to_turn_and_blink_and_what_becomes_of_who_was_not(written, capsys):
    call = ["policy", "explain", "--file", written(SPARING), "--amount", "12.50", "--score", "0.7"]
    assert main(call) == 0
    said = capsys.readouterr().out
    assert said.startswith("first: turn and blink, as a face alone could pay this")
    assert said.strip().endswith("asks for: none (small)")
    assert main([*call, "--challenged", "no"]) == 0
    assert capsys.readouterr().out.strip().endswith("asks for: pin (small, raised from none by unchallenged)")
    assert main([*call[:5], "99.00", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["challenge"], found["facts"]["challenged"], found["factor"]) == (False, False, "pin")


def test_show_says_up_to_which_sum_a_printed_face_may_pay(written, capsys):
    assert main(["policy", "show", "--file", written(SPARING)]) == 0
    assert "a printed face may pay" not in capsys.readouterr().out
    assert main(["policy", "show", "--file", written("[policy]\nunchallenged_up_to_minor = 5000\n" + SPARING)]) == 0
    assert "up to 2000 (minor units) nobody is asked to, and a printed face may pay" in capsys.readouterr().out


BOX = '[fleet]\nkey = "fleet.pem"\n\n[policy]\npin_free_up_to_minor = 2000\n'
RISK = "unchallenged_up_to_minor = 500\n"


def test_a_config_under_which_a_mask_may_pay_is_good_and_the_check_says_so(tmp_path, capsys):
    config = tmp_path / "box.toml"
    config.write_text(BOX)
    assert main(["config", "check", "--config", str(config)]) == 0
    assert "unchallenged" not in capsys.readouterr().out
    config.write_text(BOX + RISK)
    assert main(["config", "check", "--config", str(config)]) == 0
    warning = "policy.unchallenged_up_to_minor: up to 500 (minor units) a printed face that was cut out may pay"
    assert f"but consider {warning}" in capsys.readouterr().out
    assert main(["config", "check", "--config", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == [warning]
    config.write_text(BOX + "unchallenged_up_to_minor = -1\n")
    assert main(["config", "check", "--config", str(config)]) == 1
    assert "policy.unchallenged_up_to_minor: " in capsys.readouterr().err


@pytest.mark.parametrize(("text", "well"), [(BOX, True), (BOX + RISK, False)])
def test_the_doctor_names_what_a_printed_face_could_pay(tmp_path, text, well):
    (tmp_path / "box.toml").write_text(text)
    found = look(FaceAlone(), load(tmp_path / "box.toml"))
    assert (found.check, found.well) == ("policy", well)
    assert ("up to 500" in found.detail, "unchallenged_up_to_minor" in found.suggestion) == (not well, not well)

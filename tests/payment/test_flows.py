"""Each way to know a payer, walked through at a counter that is played by hand."""

from __future__ import annotations

import pytest
from payment_doubles.steps import (
    NOTHING_ASKED,
    PHONE,
    SHOP,
    SMALL_BY_PHONE,
    changes,
    find,
    keys,
    last_closed,
    prove,
    request_of,
    start,
)

from daemon.payment.effects import AttemptMoved, CheckEnded, CheckFactor, FindPayer, ListBanks, Noted, Watch
from daemon.payment.events import BanksListed, CodeScanned, FaceUnavailable, FactorChecked, FactorOutcome, OrderArrived
from daemon.payment.order import Bank, Circumstances, Identified, Order
from daemon.payment.policy import Factor, OneOf, Policy, Range, Rule
from daemon.payment.state import AskFactor, ChooseBank, Looking, Rules, Showing, State
from daemon.payment.status import Status

# ---- the face comes first -------------------------------------------------------------------------------------------


def test_face_first_asks_for_the_pin_by_default(counter):
    start(counter, "face_first")
    counter.see()
    request = request_of(prove(counter, Factor.PIN, "1234"))
    assert (request.payer, request.factors, request.flow) == ("grace", ("face", "pin"), "face_first")


@pytest.mark.parametrize(("minor", "factor", "typed"), [(1850, Factor.PHONE4, "8000"), (9000, Factor.PHONE11, PHONE)])
def test_face_then_phone_asks_for_more_digits_where_more_is_at_stake(counter, minor, factor, typed):
    start(counter, "face_phone", policy=SMALL_BY_PHONE, minor=minor)
    counter.see()
    assert request_of(prove(counter, factor, typed)).factors == ("face", factor.value)


def test_face_then_phone_never_takes_the_face_alone_whatever_the_policy_spares(counter):
    start(counter, "face_phone", policy=NOTHING_ASKED)
    effects = counter.see()
    assert isinstance(counter.state.stage, AskFactor)
    assert counter.state.stage.factor is Factor.PHONE4
    [ruling] = [c for c in changes(effects) if isinstance(c, Noted) and c.name == "ruling"]
    assert (ruling.facts["rule"], ruling.facts["raised_by"]) == ("free", "flow")


def test_a_payer_without_a_phone_number_is_asked_for_the_pin_instead(counter):
    start(counter, "face_phone", policy=SMALL_BY_PHONE)
    counter.see()
    keys(counter, *"8000", "ok")
    counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.NONE_SET, 3))
    assert request_of(prove(counter, Factor.PIN, "1234")).factors == ("face", "pin")


def test_four_digits_are_four_and_a_fifth_is_not_taken(counter):
    start(counter, "face_phone", policy=SMALL_BY_PHONE)
    counter.see()
    keys(counter, *"80")
    assert not [e for e in keys(counter, "ok") if isinstance(e, CheckFactor)]
    keys(counter, *"009")
    assert counter.state.stage.typed == "8000"


# ---- a number or a card comes first ---------------------------------------------------------------------------------


def test_phone_first_holds_the_face_against_that_member_alone(counter):
    start(counter, "phone_first", policy=NOTHING_ASKED)
    [asked] = [e for e in keys(counter, *PHONE, "ok") if isinstance(e, FindPayer)]
    assert asked.number == PHONE
    assert PHONE not in repr(asked)
    [watch] = [e for e in find(counter, "grace") if isinstance(e, Watch)]
    assert watch.payer == "grace"
    assert request_of(counter.see()).factors == ("phone11", "face")


def test_a_members_number_is_prefilled_and_can_be_edited(counter):
    start(counter, "phone_first", phone=PHONE)
    assert counter.state.stage.typed == PHONE
    keys(counter, "back", "1")
    assert counter.state.stage.typed == PHONE[:-1] + "1"
    [asked] = [e for e in keys(counter, "ok") if isinstance(e, FindPayer)]
    assert asked.number == PHONE[:-1] + "1"


def test_a_prefilled_number_claims_and_proves_nothing(counter):
    policy = Policy((Rule("phone", Factor.PHONE11, {"amount": Range(at_most=10_000), "currency": OneOf(("CNY",))}),))
    start(counter, "phone_first", phone=PHONE, policy=policy)
    keys(counter, "ok")
    find(counter, "grace")
    counter.see()
    assert isinstance(counter.state.stage, AskFactor), "the till knew the number, the payer has not shown to know it"
    assert counter.state.stage.factor is Factor.PHONE11


def test_a_typed_number_proves_the_phone_and_is_not_asked_for_twice(counter):
    start(counter, "phone_first", policy=SMALL_BY_PHONE)
    keys(counter, *PHONE, "ok")
    find(counter, "grace")
    assert request_of(counter.see()).factors == ("phone11", "face")


def test_another_members_face_does_not_pay_for_the_claimed_one(counter):
    start(counter, "phone_first")
    keys(counter, *PHONE, "ok")
    find(counter, "grace")
    counter.see(who=Identified("eileen", 0.9, 0.8, 1.0))
    assert isinstance(counter.state.stage, Showing)
    assert counter.state.stage.reason == "not_recognised"


def test_three_unknown_numbers_end_the_order(counter):
    start(counter, "phone_first")
    for _ in range(3):
        keys(counter, *PHONE, "ok")
        find(counter, None)
    assert last_closed(counter) == (Status.CANCELLED, "not_recognised")


def test_a_card_is_read_and_the_face_held_against_its_owner(counter):
    start(counter, "id_card")
    [asked] = [e for e in counter.send(CodeScanned("11010519491231002x")) if isinstance(e, FindPayer)]
    assert asked.number == "11010519491231002X"
    find(counter, "grace")
    counter.see()
    assert request_of(prove(counter, Factor.PIN, "1234")).factors == ("id_card", "face", "pin")


def test_a_cards_number_can_be_typed_with_its_x(counter):
    start(counter, "id_card")
    [asked] = [e for e in keys(counter, *"11010519491231002", "dot", "ok") if isinstance(e, FindPayer)]
    assert asked.number == "11010519491231002X"


# ---- the payer's banks ----------------------------------------------------------------------------------------------


def test_face_pin_bank_pays_from_the_bank_that_was_chosen(counter):
    start(counter, "face_pin_bank", policy=NOTHING_ASKED)
    counter.see()
    effects = prove(counter, Factor.PIN, "1234")
    assert any(isinstance(e, ListBanks) for e in effects)
    banks = (Bank("ICBC", "tok-1"), Bank("CCB", "tok-2"))
    assert "tok-1" not in repr(banks)
    counter.send(BanksListed("o1", counter.state.epoch, banks))
    assert isinstance(counter.state.stage, ChooseBank)
    assert keys(counter, "3", "0", "ok") == [], "there are two"
    request = request_of(keys(counter, "2"))
    assert request.account == "tok-2"
    assert "tok-2" not in repr(request)


def test_one_bank_is_not_asked_about_and_none_ends_the_order(counter):
    start(counter, "face_pin_bank")
    counter.see()
    prove(counter, Factor.PIN, "1234")
    effects = counter.send(BanksListed("o1", counter.state.epoch, (Bank("ICBC", "tok-1"),)))
    assert request_of(effects).account == "tok-1"
    start(counter, "face_pin_bank")
    counter.see()
    prove(counter, Factor.PIN, "1234")
    counter.send(BanksListed("o1", counter.state.epoch, ()))
    assert last_closed(counter) == (Status.CANCELLED, "no_bank_bound")


# ---- who is it? -----------------------------------------------------------------------------------------------------


def test_an_identity_check_ends_in_a_name_and_moves_no_money(counter):
    counter.state = State(rules=Rules(merchant=SHOP, ways=("qr_shown", "face_first")))
    effects = counter.send(OrderArrived(Order("c1", None, None, 120.0)))
    assert changes(effects) == []
    counter.see()
    keys(counter, *"1234", "ok")
    effects = counter.send(FactorChecked("c1", counter.state.epoch, FactorOutcome.OK, 2))
    [ended] = [c for c in changes(effects) if isinstance(c, CheckEnded)]
    assert (ended.status, ended.payer, ended.factors) == (Status.VERIFIED, "grace", ("face", "pin"))
    assert not any(isinstance(c, AttemptMoved) for c in changes(effects))
    assert not counter.state.settling


def test_an_identity_check_never_ends_in_a_payment_by_another_way(counter):
    counter.state = State(rules=Rules(merchant=SHOP, ways=("qr_shown", "qr_scanned")))
    counter.send(OrderArrived(Order("c1", None, None, 120.0, "qr_shown")))
    assert isinstance(counter.state.stage, Looking)
    assert keys(counter, "menu") == []
    effects = counter.send(FaceUnavailable("c1", counter.state.epoch, "gone"))
    assert [c.reason for c in changes(effects) if isinstance(c, CheckEnded)] == ["camera_unavailable"]


# ---- velocity -------------------------------------------------------------------------------------------------------


def test_what_was_paid_today_can_make_a_small_sum_ask_for_the_pin(counter):
    rules = (
        Rule("often", Factor.PIN, {"payer_count_day": Range(at_least=5)}),
        Rule("free", Factor.NONE, {"amount": Range(at_most=2000), "currency": OneOf(("CNY",))}),
    )
    start(counter, "face_first", policy=Policy(rules))
    counter.see(around=Circumstances(payer_count_day=5))
    assert isinstance(counter.state.stage, AskFactor)
    start(counter, "face_first", policy=Policy(rules))
    assert request_of(counter.see(around=Circumstances(payer_count_day=4))).factors == ("face",)

"""Each way to know a payer, walked through at a counter that is played by hand."""

from __future__ import annotations

import pytest

from daemon.payment import emvco
from daemon.payment.effects import (
    AttemptMoved,
    CheckEnded,
    CheckFactor,
    FindPayer,
    ListBanks,
    Noted,
    OrderClosed,
    Persist,
    Reverse,
    Submit,
    TriesCleared,
    TrySpared,
    Watch,
)
from daemon.payment.events import (
    AnswerStatus,
    BanksListed,
    CodeScanned,
    FaceOutcome,
    FaceUnavailable,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    OrderArrived,
    PayerFound,
)
from daemon.payment.flows import FLOWS
from daemon.payment.money import Amount
from daemon.payment.order import Bank, Circumstances, Identified, Order
from daemon.payment.policy import Factor, OneOf, Policy, Range, Rule
from daemon.payment.state import (
    COLLECTING,
    AskFactor,
    AskPayer,
    ChooseBank,
    ChooseWay,
    Idle,
    Looking,
    Paying,
    Rules,
    ScanCode,
    Showing,
    State,
)
from daemon.payment.status import Status

GRACE = Identified("grace", 0.8, 0.6, 0.99)
TWIN = Identified("hope", 0.79, -0.01, 0.99)
PHONE = "13800138000"
SMALL_BY_PHONE = Policy(
    (
        Rule("small", Factor.PHONE4, {"amount": Range(at_most=2000), "currency": OneOf(("CNY",))}),
        Rule("middle", Factor.PHONE11, {"amount": Range(at_most=10_000), "currency": OneOf(("CNY",))}),
    )
)
NOTHING_ASKED = Policy((Rule("free", Factor.NONE, {"amount": Range(at_most=10_000), "currency": OneOf(("CNY",))}),))
SHOP = emvco.Merchant("com.example.pay", "M-0001", "Kingfisher", "Shanghai")


def start(counter, flow, *, policy=None, minor=1850, phone="", **rules):
    counter.state = State(rules=Rules(policy=policy or Policy(), merchant=SHOP, **rules))
    order = Order("o1", Amount(minor, "CNY"), None, counter.now + 120, flow, phone)
    return counter.send(OrderArrived(order))


def keys(counter, *names):
    effects = []
    for name in names:
        effects += counter.send(KeyPressed(name))
    return effects


def prove(counter, factor, typed, payer=None, counted=()):
    """Types the factor and lets the store say that it is right."""
    stage = counter.state.stage
    assert isinstance(stage, AskFactor)
    assert stage.factor is factor
    [check] = [e for e in keys(counter, *typed, "ok") if isinstance(e, CheckFactor)]
    assert check.typed == typed
    assert typed not in repr(check)
    return counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 2, payer, counted))


def find(counter, payer):
    return counter.send(PayerFound("o1", counter.state.epoch, payer))


def request_of(effects):
    [request] = [
        c.request for e in effects if isinstance(e, Persist) for c in e.changes
        if isinstance(c, AttemptMoved) and c.request is not None
    ]  # fmt: skip
    return request


def changes(effects):
    return [c for e in effects if isinstance(e, Persist) for c in e.changes]


def last_closed(counter):
    assert isinstance(counter.state.stage, Showing)
    return counter.state.stage.status, counter.state.stage.reason


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


# ---- codes ----------------------------------------------------------------------------------------------------------


def test_a_shown_code_names_amount_and_order_and_waits_for_the_gateway(counter):
    effects = start(counter, "qr_shown")
    assert Submit("o1", 1) in effects
    stage = counter.state.stage
    assert isinstance(stage, Paying)
    shown = emvco.read(stage.code)
    assert (shown["54"], shown["53"], emvco.objects(shown["62"])["01"]) == ("18.50", "156", "o1")
    assert request_of(effects).factors == ()
    counter.wait(30)
    assert isinstance(counter.state.stage, Paying), "the payer takes out the phone"
    counter.answer(AnswerStatus.PENDING)
    counter.answer(AnswerStatus.APPROVED)
    assert last_closed(counter) == (Status.APPROVED, "ok")


def test_a_shown_code_that_nobody_pays_is_reversed_and_not_only_taken_down(counter):
    start(counter, "qr_shown")
    effects = counter.wait(91)
    assert Reverse("o1", 1) in effects
    counter.answer(AnswerStatus.REVERSED)
    assert not counter.state.settling


def test_cancel_at_a_shown_code_reverses_what_may_have_been_paid_this_moment(counter):
    start(counter, "qr_shown")
    assert Reverse("o1", 1) in keys(counter, "cancel")
    assert last_closed(counter) == (Status.REVERSING, "by_payer")


def test_a_scanned_code_goes_into_the_request_and_into_nothing_that_is_written_in_words(counter):
    start(counter, "qr_scanned")
    assert isinstance(counter.state.stage, ScanCode)
    assert counter.send(CodeScanned("short")) == []
    assert counter.send(CodeScanned("http://example.com/?x=12345678")) == []
    request = request_of(counter.send(CodeScanned("134567890123456789")))
    assert request.auth_code == "134567890123456789"
    assert "134567890123456789" not in repr(request)


def test_a_code_that_comes_while_none_is_asked_for_is_nobodys(counter):
    start(counter, "face_first")
    before = counter.state
    assert counter.send(CodeScanned("134567890123456789")) == []
    assert counter.state == before


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


# ---- the way out ----------------------------------------------------------------------------------------------------

WAYS = ("face_first", "phone_first", "qr_shown", "qr_scanned")


@pytest.mark.parametrize("flow", sorted(set(FLOWS) - {"identity", "qr_shown", "topup"}))
def test_every_way_can_be_left_for_another_with_one_key(counter, flow):
    start(counter, flow, ways=WAYS)
    counter.wait(1)
    keys(counter, "menu")
    assert isinstance(counter.state.stage, ChooseWay)
    keys(counter, "2")
    assert isinstance(counter.state.stage, AskPayer)


def test_a_top_up_has_no_other_way_asks_for_no_price_and_goes_into_the_drawer(counter):
    start(counter, "topup", ways=WAYS, quote_s=1.0)
    assert keys(counter, "menu") == []
    counter.see()
    keys(counter, *"2580", "ok")
    effects = counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 3, "grace"))
    [request] = [c.request for c in changes(effects) if isinstance(c, AttemptMoved) and c.request is not None]
    assert (request.channel, request.payer, request.amount) == ("cash", "grace", Amount(1850, "CNY"))


def test_the_way_that_was_left_keeps_nothing_of_what_was_collected(counter):
    start(counter, "face_first", ways=WAYS)
    counter.see()
    keys(counter, *"12", "menu", "2")
    assert counter.state.stage.turn.known.candidates == ()
    old = counter.state.epoch - 1
    before = counter.state
    assert counter.send(FactorChecked("o1", old, FactorOutcome.OK, 2)) == []
    assert counter.state == before


def test_back_returns_to_the_way_that_was_left(counter):
    start(counter, "phone_first", ways=WAYS)
    keys(counter, "menu", "back")
    assert isinstance(counter.state.stage, AskPayer)


def test_without_a_camera_a_code_is_offered_instead_of_closing_the_order(counter):
    start(counter, "face_first", ways=("face_first", "qr_shown"))
    counter.send(FaceUnavailable("o1", counter.state.epoch, "gone"))
    assert isinstance(counter.state.stage, Paying)
    assert counter.state.stage.code is not None


def test_without_a_camera_and_with_two_codes_the_payer_chooses(counter):
    start(counter, "face_first", ways=WAYS)
    counter.send(FaceUnavailable("o1", counter.state.epoch, "gone"))
    assert isinstance(counter.state.stage, ChooseWay)
    assert counter.state.stage.ways == ("qr_shown", "qr_scanned")


def test_a_payer_who_walks_away_from_any_screen_leaves_an_idle_box(counter):
    for flow in sorted(set(FLOWS) - {"identity"}):
        start(counter, flow, ways=WAYS)
        counter.wait(95)
        counter.answer(AnswerStatus.REVERSED)
        counter.wait(10)
        assert not isinstance(counter.state.stage, COLLECTING), flow
        assert not counter.state.settling, flow


def up_to(counter, screen):
    """Brings the payer to this screen; its name is the stage's."""
    match screen:
        case "Looking":
            start(counter, "face_first")
        case "AskPayer, phone":
            start(counter, "phone_first")
        case "AskPayer, card":
            start(counter, "id_card")
        case "AskFactor":
            start(counter, "face_first")
            counter.see()
        case "ChooseBank":
            start(counter, "face_pin_bank")
            counter.see()
            prove(counter, Factor.PIN, "1234")
            counter.send(BanksListed("o1", counter.state.epoch, (Bank("CCB", "a"), Bank("ICBC", "b"))))
        case "ChooseWay":
            start(counter, "face_first", ways=WAYS)
            keys(counter, "menu")
        case "ScanCode":
            start(counter, "qr_scanned")
    assert type(counter.state.stage).__name__ == screen.partition(",")[0]


@pytest.mark.parametrize("typed", [(), ("1",)], ids=["nothing typed", "one key, then gone"])
@pytest.mark.parametrize(
    ("screen", "reason"),
    [
        ("Looking", "no_face"), ("AskPayer, phone", "no_phone_typed"), ("AskPayer, card", "no_card_typed"),
        ("AskFactor", "no_pin_typed"), ("ChooseBank", "nothing_chosen"), ("ChooseWay", "nothing_chosen"),
        ("ScanCode", "no_code_scanned"),
    ],
)  # fmt: skip
def test_who_walks_away_cancels_by_name_and_the_next_one_finds_an_idle_box(counter, screen, reason, typed):
    up_to(counter, screen)
    if typed and screen in ("ChooseBank", "ChooseWay"):
        typed = ("9",)  # chooses nothing
    keys(counter, *typed)
    closed = [c for c in changes(counter.wait(119)) if isinstance(c, OrderClosed)]
    assert [(c.order_id, c.status, c.reason) for c in closed] == [("o1", Status.CANCELLED, reason)]
    assert isinstance(counter.state.stage, Idle)
    assert not counter.state.settling
    counter.send(OrderArrived(Order("o2", Amount(1850, "CNY"), None, counter.now + 120)))
    assert isinstance(counter.state.stage, Looking)


# ---- look-alikes ----------------------------------------------------------------------------------------------------


def test_look_alikes_are_told_apart_by_the_pin_that_fits_one_of_them(counter):
    start(counter, "face_first", policy=NOTHING_ASKED)
    counter.see(FaceOutcome.AMBIGUOUS, rival=TWIN)
    stage = counter.state.stage
    assert isinstance(stage, AskFactor)
    effects = prove(counter, Factor.PIN, "1234", payer="hope", counted=("grace", "hope"))
    assert request_of(effects).payer == "hope"
    assert TriesCleared("hope", Factor.PIN) in changes(effects)
    assert TrySpared("grace", Factor.PIN) in changes(effects)


def test_a_pin_that_fits_both_look_alikes_pays_for_neither(counter):
    start(counter, "face_first")
    counter.see(FaceOutcome.AMBIGUOUS, rival=TWIN)
    keys(counter, *"1234", "ok")
    counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.BOTH, 2))
    assert last_closed(counter) == (Status.CANCELLED, "ambiguous")


def test_a_look_alike_nobody_named_is_looked_at_again(counter):
    start(counter, "face_first")
    counter.see(FaceOutcome.AMBIGUOUS)
    assert counter.state.stage.then is not None


def test_a_lock_that_stands_against_a_look_alike_is_not_lifted_by_the_other_ones_pin(counter):
    start(counter, "face_first")
    counter.see(FaceOutcome.AMBIGUOUS, rival=TWIN)
    effects = prove(counter, Factor.PIN, "1234", payer="grace", counted=("grace",))
    assert not any(isinstance(c, TrySpared) for c in changes(effects))


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

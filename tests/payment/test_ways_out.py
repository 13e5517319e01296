"""Leaving a way to pay for another, and walking away from it altogether."""

from __future__ import annotations

import pytest
from payment_doubles.steps import changes, keys, prove, start

from daemon.payment.effects import AttemptMoved, OrderClosed
from daemon.payment.events import AnswerStatus, BanksListed, FaceUnavailable, FactorChecked, FactorOutcome, OrderArrived
from daemon.payment.flows import FLOWS
from daemon.payment.money import Amount
from daemon.payment.order import Bank, Order
from daemon.payment.policy import Factor
from daemon.payment.state import COLLECTING, AskPayer, ChooseWay, Idle, Looking, Paying
from daemon.payment.status import Status

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

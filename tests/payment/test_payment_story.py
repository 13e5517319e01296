"""One payment at the counter, told step by step against the pure core."""

from __future__ import annotations

import pytest

from daemon.payment import core
from daemon.payment.effects import (
    AttemptMoved,
    CheckFactor,
    Halt,
    Noted,
    OrderClosed,
    Persist,
    Query,
    Reverse,
    Submit,
    Watch,
)
from daemon.payment.events import (
    Answer,
    AnswerStatus,
    CounterFree,
    CounterTaken,
    FaceDecided,
    FaceHint,
    FaceOutcome,
    FaceUnavailable,
    FactorChecked,
    FactorOutcome,
    KeyPressed,
    LinkUp,
    OrderArrived,
    Persisted,
    PersistFailed,
)
from daemon.payment.money import Amount
from daemon.payment.order import Identified, PayRequest
from daemon.payment.policy import Factor, Policy, rules_from_figures
from daemon.payment.state import AskFactor, Idle, Looking, Paying, Rules, Showing, State, Turn
from daemon.payment.status import Status

SPARING = Policy(rules_from_figures(2000, 500_000, 0.60, 0.20))


def closed(effects):
    return [c for e in effects if isinstance(e, Persist) for c in e.changes if isinstance(c, OrderClosed)]


def moved(effects):
    found = [c for e in effects if isinstance(e, Persist) for c in e.changes if isinstance(c, AttemptMoved)]
    return [(c.attempt, c.status) for c in found]


def type_pin(counter, pin="1234"):
    for digit in pin:
        counter.send(KeyPressed(digit))
    return counter.send(KeyPressed("ok"))


def up_to_pin(counter, **order):
    counter.send(OrderArrived(counter.order(**order)))
    counter.see()
    return counter


def up_to_submitted(counter, **order):
    up_to_pin(counter, **order)
    type_pin(counter)
    return counter.send(FactorChecked(order.get("order_id", "o1"), counter.state.epoch, FactorOutcome.OK, 2))


def test_a_face_and_the_right_pin_pay_an_order(counter):
    assert any(isinstance(e, Watch) for e in counter.send(OrderArrived(counter.order())))
    counter.see()
    assert isinstance(counter.state.stage, AskFactor)
    [check] = [e for e in type_pin(counter) if isinstance(e, CheckFactor)]
    assert (check.payers, check.typed) == (("grace",), "1234")
    assert "1234" not in repr(check)
    effects = counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 2))
    assert Submit("o1", 1) in effects
    effects = counter.answer(AnswerStatus.APPROVED)
    assert moved(effects) == [(1, Status.APPROVED)]
    assert [c.status for c in closed(effects)] == [Status.APPROVED]
    assert isinstance(counter.state.stage, Showing)
    assert counter.state.stage.status is Status.APPROVED
    counter.wait(10)
    assert isinstance(counter.state.stage, Idle)
    assert not counter.state.settling


def test_nothing_is_sent_before_it_is_on_disk(counter):
    up_to_pin(counter)
    type_pin(counter)
    counter.disk_works = False
    effects = counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 2))
    assert [type(e) for e in effects] == [Persist]
    counter.disk_works = True
    assert Submit("o1", 1) in counter.send(Persisted(effects[0].token))


def test_success_is_shown_only_once_the_approval_is_on_disk(counter):
    up_to_submitted(counter)
    counter.disk_works = False
    effects = counter.answer(AnswerStatus.APPROVED)
    assert isinstance(counter.state.stage, Paying)
    counter.send(Persisted(next(e for e in effects if isinstance(e, Persist)).token))
    assert isinstance(counter.state.stage, Showing)


def test_a_disk_that_refuses_the_attempt_cancels_it_and_nothing_was_sent(counter):
    up_to_pin(counter)
    type_pin(counter)
    counter.disk_works = False
    [persist] = counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 2))
    counter.disk_works = True
    effects = counter.send(PersistFailed(persist.token, "disk full"))
    assert not any(isinstance(e, Submit) for e in effects)
    assert closed(effects)[0].reason == "storage"
    assert not counter.state.settling


def test_a_disk_that_refuses_an_approval_ends_the_process(counter):
    up_to_submitted(counter)
    counter.disk_works = False
    [persist] = counter.answer(AnswerStatus.APPROVED)
    assert counter.send(PersistFailed(persist.token, "disk full")) == [Halt("disk full")]


def test_a_frame_of_an_earlier_epoch_never_pays_the_next_order(counter):
    counter.send(OrderArrived(counter.order("o1")))
    old = counter.state.epoch
    counter.send(KeyPressed("cancel"))
    counter.send(KeyPressed("ok"))
    counter.send(OrderArrived(counter.order("o2")))
    before = counter.state
    late = FaceDecided("o1", old, FaceOutcome.MATCHED, Identified("grace", 0.9, 0.8, 1.0))
    assert counter.send(late) == []
    assert counter.send(FaceDecided("o2", old, FaceOutcome.MATCHED, late.who)) == []
    assert counter.state == before


def test_a_late_pin_answer_of_an_earlier_epoch_changes_nothing(counter):
    up_to_pin(counter)
    type_pin(counter)
    assert counter.send(FactorChecked("o1", counter.state.epoch - 1, FactorOutcome.OK, 2)) == []
    assert isinstance(counter.state.stage, AskFactor)


def test_a_pin_answer_that_nobody_asked_for_changes_nothing(counter):
    up_to_pin(counter)
    assert counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 2)) == []


def test_a_wrong_pin_says_how_many_tries_are_left_and_a_lock_ends_the_order(counter):
    up_to_pin(counter)
    type_pin(counter, "9999")
    counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.WRONG, 1))
    assert counter.state.stage.wrong_tries_left == 1
    assert counter.state.stage.typed == ""
    type_pin(counter, "9999")
    effects = counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.LOCKED, 0))
    assert closed(effects)[0].reason == "pin_locked"


def test_a_stranger_is_looked_at_again_and_then_sent_away(counter):
    counter.send(OrderArrived(counter.order()))
    for _ in range(2):
        assert not closed(counter.see(FaceOutcome.STRANGER, None))
        assert counter.state.stage.reason == "not_recognised"
        counter.send(KeyPressed("ok"))
        assert isinstance(counter.state.stage, Looking)
    assert closed(counter.see(FaceOutcome.STRANGER, None))[0].reason == "not_recognised"


def test_a_photo_is_refused_as_one(counter):
    counter.send(OrderArrived(counter.order()))
    counter.see(FaceOutcome.SPOOF, None)
    assert counter.state.stage.reason == "spoof"


def test_nobody_in_view_ends_in_a_cancelled_order(counter):
    counter.send(OrderArrived(counter.order()))
    assert closed(counter.wait(31))[0].reason == "no_face"


def test_a_broken_camera_ends_the_order_by_name(counter):
    counter.send(OrderArrived(counter.order()))
    assert (
        closed(counter.send(FaceUnavailable("o1", counter.state.epoch, "unplugged")))[0].reason == "camera_unavailable"
    )


def test_an_order_expires_at_each_screen(counter):
    counter.send(OrderArrived(counter.order(lives_s=5)))
    assert closed(counter.wait(6))[0].status is Status.EXPIRED
    counter.send(KeyPressed("ok"))
    up_to_pin(counter, order_id="o2", lives_s=5)
    assert closed(counter.wait(6))[0].status is Status.EXPIRED


def test_an_order_that_comes_after_its_time_is_refused(counter):
    effects = counter.send(OrderArrived(counter.order(lives_s=-1)))
    assert closed(effects)[0].reason == "expired_on_arrival"
    assert isinstance(counter.state.stage, Idle)


def test_cancel_ends_the_order_until_money_is_on_its_way(counter):
    up_to_pin(counter)
    assert closed(counter.send(KeyPressed("cancel")))[0].reason == "by_payer"
    counter.send(KeyPressed("ok"))
    up_to_submitted(counter, order_id="o2")
    assert counter.send(KeyPressed("cancel")) == []
    assert isinstance(counter.state.stage, Paying)


def test_orders_wait_their_turn(counter):
    counter.send(OrderArrived(counter.order("o1")))
    counter.send(OrderArrived(counter.order("o2")))
    assert counter.state.stage.turn.order.order_id == "o1"
    counter.send(KeyPressed("cancel"))
    counter.wait(5)
    assert counter.state.stage.turn.order.order_id == "o2"


def test_too_many_waiting_orders_are_refused_by_name(counter):
    for n in range(9):
        counter.send(OrderArrived(counter.order(f"o{n}")))
    assert closed(counter.send(OrderArrived(counter.order("o9"))))[0].reason == "too_many_waiting"


def test_an_order_waits_while_the_counter_is_taken(counter):
    counter.send(CounterTaken())
    counter.send(OrderArrived(counter.order()))
    assert isinstance(counter.state.stage, Idle)
    counter.send(CounterFree())
    assert isinstance(counter.state.stage, Looking)


def test_no_answer_leads_to_queries_and_a_late_approval_still_counts(counter):
    up_to_submitted(counter)
    effects = counter.wait(10.5)
    assert moved(effects) == [(1, Status.UNKNOWN), (1, Status.QUERYING)]
    assert Query("o1", 1) in effects
    assert Query("o1", 1) in counter.wait(3)
    counter.answer(AnswerStatus.APPROVED)
    assert counter.state.stage.status is Status.APPROVED


def test_queries_without_an_answer_end_in_a_reversal_that_is_repeated_until_acknowledged(counter):
    up_to_submitted(counter)
    effects = counter.wait(75)
    assert (1, Status.REVERSING) in moved(effects)
    assert Reverse("o1", 1) in effects
    assert counter.wait(16).count(Reverse("o1", 1)) == 1
    assert moved(counter.answer(AnswerStatus.APPROVED)) == []
    effects = counter.answer(AnswerStatus.REVERSED)
    assert moved(effects) == [(1, Status.REVERSED)]
    assert closed(effects)[0].status is Status.REVERSED
    assert counter.wait(60) == []


def test_a_reversal_is_on_disk_before_it_is_sent(counter):
    up_to_submitted(counter)
    counter.wait(60)
    counter.disk_works = False
    assert not any(isinstance(e, Reverse) for e in counter.wait(12))


def test_pending_is_no_answer(counter):
    up_to_submitted(counter)
    assert counter.answer(AnswerStatus.PENDING) == []
    assert isinstance(counter.state.stage, Paying)


def test_an_approval_of_another_amount_is_not_believed(counter):
    up_to_submitted(counter)
    effects = counter.answer(AnswerStatus.APPROVED, minor=1)
    assert moved(effects) == []
    assert isinstance(counter.state.stage, Paying)


def test_a_declined_attempt_may_be_followed_by_another_of_the_same_order(counter):
    up_to_submitted(counter)
    effects = counter.answer(AnswerStatus.DECLINED)
    assert moved(effects) == [(1, Status.DECLINED)]
    assert closed(effects) == []
    counter.wait(5)
    assert counter.state.stage.turn.attempt == 2
    counter.see()
    type_pin(counter)
    counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 2))
    assert moved(counter.answer(AnswerStatus.APPROVED, attempt=2)) == [(2, Status.APPROVED)]


def test_a_repeated_answer_changes_nothing(counter):
    up_to_submitted(counter)
    counter.answer(AnswerStatus.APPROVED)
    before = counter.state.stage
    assert moved(counter.answer(AnswerStatus.DECLINED)) == []
    assert counter.state.stage == before


def test_a_reconnect_asks_at_once(counter):
    up_to_submitted(counter)
    counter.wait(11)
    assert Query("o1", 1) in counter.send(LinkUp())


@pytest.mark.parametrize("status", [Status.CONFIRMED, Status.SUBMITTED, Status.UNKNOWN, Status.QUERYING])
def test_after_a_power_cut_an_unsettled_attempt_is_asked_about(status):
    request = PayRequest("o1", 1, Amount(1850, "CNY"), "grace", ("face", "pin"), "simulated", "face_first")
    state, _ = core.recover(Rules(), ((request, status),), (), 100.0)
    assert state.settling[("o1", 1)].status is Status.QUERYING
    state, effects = core.step(state, LinkUp(), 101.0)
    assert Query("o1", 1) in effects


def test_after_a_power_cut_a_reversal_goes_on():
    request = PayRequest("o1", 1, Amount(1850, "CNY"), "grace", ("face", "pin"), "simulated", "face_first")
    state, _ = core.recover(Rules(), ((request, Status.REVERSING),), (), 100.0)
    _, effects = core.step(state, LinkUp(), 101.0)
    assert effects == (Reverse("o1", 1),)


def test_after_a_power_cut_an_open_order_is_taken_up_again(counter):
    state, effects = core.recover(Rules(), (), (Turn(counter.order(), attempt=2),), 0.0)
    assert isinstance(state.stage, Looking)
    assert effects == (Watch("o1", 1),)


def test_policy_may_spare_the_pin_for_small_sums_and_strong_matches(counter):
    counter.state = State(rules=Rules(policy=SPARING))
    counter.send(OrderArrived(counter.order()))
    assert Submit("o1", 1) in counter.see()


def test_a_weak_match_needs_the_pin_even_for_small_sums(counter):
    counter.state = State(rules=Rules(policy=SPARING))
    counter.send(OrderArrived(counter.order()))
    counter.see(who=Identified("grace", 0.5, 0.4, 0.99, challenged=True))
    assert isinstance(counter.state.stage, AskFactor)


def test_a_face_that_was_not_asked_to_turn_and_blink_needs_the_pin_however_strong_the_match(counter):
    counter.state = State(rules=Rules(policy=SPARING))
    counter.send(OrderArrived(counter.order()))
    effects = counter.see(who=Identified("grace", 0.9, 0.8, 0.99))
    assert counter.state.stage.factor is Factor.PIN
    noted = [c for e in effects if isinstance(e, Persist) for c in e.changes if isinstance(c, Noted)]
    assert [n.facts["raised_by"] for n in noted if n.name == "ruling"] == ["unchallenged"]


@pytest.mark.parametrize(("asked_s", "ends_s"), [(1.0, 30.0), (28.0, 41.0)])
def test_who_is_asked_to_turn_late_in_the_look_has_the_time_for_it(counter, asked_s, ends_s):
    """A challenge takes ten seconds at most; the look's thirty may be nearly over when it begins."""
    counter.send(OrderArrived(counter.order()))
    began, epoch = counter.now, counter.state.epoch
    counter.now += asked_s
    counter.send(FaceHint("o1", epoch, "turn_left", counter.now + 10.0))
    assert counter.state.stage.until_s - began == ends_s
    counter.send(FaceHint("o1", epoch, "hold_still"))
    assert counter.state.stage.until_s - began == ends_s, "nor is it taken away again"


def test_two_look_alikes_need_the_pin(counter):
    counter.state = State(rules=Rules(policy=SPARING))
    counter.send(OrderArrived(counter.order()))
    counter.see(FaceOutcome.AMBIGUOUS, rival=Identified("hope", 0.79, -0.01, 0.99, challenged=True))
    assert isinstance(counter.state.stage, AskFactor)


def test_a_sum_above_the_limit_is_refused(counter):
    counter.send(OrderArrived(counter.order(minor=500_001)))
    assert closed(counter.see())[0].reason == "amount_above_limit"


def test_duress_pays_and_is_flagged(counter):
    up_to_pin(counter)
    type_pin(counter)
    effects = counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.DURESS, 2))
    [request] = [
        c.request for e in effects if isinstance(e, Persist) for c in e.changes
        if isinstance(c, AttemptMoved) and c.request is not None
    ]  # fmt: skip
    assert request.duress


def test_an_attempt_counts_as_unsettled_until_its_approval_is_on_disk(counter):
    up_to_submitted(counter)
    counter.disk_works = False
    [persist] = counter.answer(AnswerStatus.APPROVED)
    assert ("o1", 1) in counter.state.settling
    assert moved(counter.answer(AnswerStatus.APPROVED)) == [], "a repeated answer in between changes nothing"
    counter.disk_works = True
    counter.send(Persisted(persist.token))
    assert not counter.state.settling


def test_a_reversal_that_the_gateway_refuses_on_our_own_word_is_left_to_a_person(counter):
    up_to_submitted(counter)
    counter.wait(75)
    effects = counter.send(Answer("o1", 1, AnswerStatus.APPROVED, "too_late", Amount(1850, "CNY"), "ref-1"))
    assert moved(effects) == [(1, Status.MANUAL)]
    assert counter.wait(60) == []

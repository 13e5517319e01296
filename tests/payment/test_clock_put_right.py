"""Orders that are open while the clock is put right end at the world's time, not at the wrong clock's."""

from __future__ import annotations

import pytest

from daemon.payment.effects import OrderClosed, Persist
from daemon.payment.events import ClockCorrected, KeyPressed, OrderArrived
from daemon.payment.state import AskFactor, Looking, Rules, State
from daemon.payment.status import Status

BOX = "kf-aaaaaaaaaaaaaaaa"


def expired(effects) -> list[str]:
    return [c.order_id for e in effects if isinstance(e, Persist) for c in e.changes
            if isinstance(c, OrderClosed) and c.status is Status.EXPIRED]  # fmt: skip


@pytest.fixture
def patient(counter):
    """Nobody's patience ends before the order's life."""
    counter.state = State(rules=Rules(look_s=10_000.0, pin_s=10_000.0))
    return counter


def test_a_clock_that_was_behind_kept_an_order_too_long(patient):
    patient.send(OrderArrived(patient.order("o1", 1850, lives_s=120)))
    patient.send(ClockCorrected(100.0, BOX))
    assert expired(patient.wait(19)) == []
    assert expired(patient.wait(2)) == ["o1"]


def test_a_clock_that_was_ahead_would_have_ended_it_too_early(patient):
    patient.send(OrderArrived(patient.order("o1", 1850, lives_s=20)))
    patient.send(ClockCorrected(-100.0, BOX))
    assert expired(patient.wait(119)) == []
    assert expired(patient.wait(2)) == ["o1"]


def test_those_that_wait_for_their_turn_are_corrected_too(patient):
    for name in ("o1", "o2", "o3"):
        patient.send(OrderArrived(patient.order(name, 1850, lives_s=120)))
    patient.send(ClockCorrected(121.0, BOX))
    assert expired(patient.wait(60)) == ["o1", "o2", "o3"], "each in its turn, screen after screen"


def test_the_boxs_own_order_gets_no_more_time_and_no_more_than_its_written_end(patient):
    patient.send(OrderArrived(patient.order(f"{BOX}-1", 1850, lives_s=120)))
    patient.send(ClockCorrected(-365 * 86_400.0, BOX))
    assert expired(patient.wait(119)) == []
    assert expired(patient.wait(2)) == [f"{BOX}-1"]


def test_a_payer_who_types_goes_on_typing(patient):
    patient.send(OrderArrived(patient.order("o1", 1850, lives_s=120)))
    assert isinstance(patient.state.stage, Looking)
    patient.see()
    patient.send(KeyPressed("1"))
    before = patient.state
    patient.send(ClockCorrected(10.0, BOX))
    stage = patient.state.stage
    assert isinstance(stage, AskFactor)
    assert (stage.typed, patient.state.epoch) == ("1", before.epoch)
    assert stage.turn.order.expires_s == before.stage.turn.order.expires_s - 10.0

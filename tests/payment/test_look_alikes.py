"""Two who look alike are told apart by what they know, or not at all."""

from __future__ import annotations

from payment_doubles.steps import NOTHING_ASKED, TWIN, changes, keys, last_closed, prove, request_of, start

from daemon.payment.effects import TriesCleared, TrySpared
from daemon.payment.events import FaceOutcome, FactorChecked, FactorOutcome
from daemon.payment.policy import Factor
from daemon.payment.state import AskFactor
from daemon.payment.status import Status


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

"""The seconds that a screen shows move in steps, so that nothing else makes it paint the same screen again."""

from __future__ import annotations

from dataclasses import replace

from daemon.front.shown import STEP_S, view_of
from daemon.payment.money import Amount
from daemon.payment.order import Order, Turn
from daemon.payment.state import Looking, Rules, State
from daemon.screen import views

LOOKING = State(rules=Rules(look_s=30.0), stage=Looking(Turn(Order("o1", Amount(1850, "CNY"), None, 100.0)), 30.0))
IDLE = views.Idle("Kingfisher Coffee", None, "abc", ())


def at(now, state=LOOKING):
    return view_of(state, None, IDLE, now)


def test_what_happens_within_a_step_of_the_countdown_paints_nothing_anew():
    assert at(0.0) == at(0.01) == at(0.9 * STEP_S)


def test_the_countdown_moves_with_each_step_and_ends_at_nothing():
    left = [at(n * STEP_S).seconds_left for n in range(round(30.0 / STEP_S) + 2)]
    assert left == sorted(left, reverse=True)
    assert left[:2] == [30.0, 30.0 - STEP_S]
    assert left[-2:] == [0.0, 0.0]


def test_a_hint_is_shown_at_once():
    held = replace(LOOKING, stage=replace(LOOKING.stage, hint="hold_still"))
    assert at(0.01, held) != at(0.01)


def test_an_order_that_ends_sooner_than_the_look_counts_down_to_its_own_end():
    short = replace(LOOKING, stage=replace(LOOKING.stage, turn=Turn(Order("o1", Amount(1850, "CNY"), None, 7.0))))
    assert at(0.0, short).seconds_left == 7.0

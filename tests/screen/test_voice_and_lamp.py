"""What is said aloud, once, and which colour the lamp shows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.screen.lamp import lamp
from daemon.screen.text import wording
from daemon.screen.views import (
    Approved,
    Cancelled,
    Checking,
    Declined,
    EnterPhone,
    EnterPin,
    GateReady,
    Idle,
    Look,
    NewPin,
    Processing,
    Reversed,
    Trouble,
    View,
)
from daemon.screen.voice import line, on_change

LOOK = Look(1850, "CNY", None, None, 30)


def test_a_payer_is_asked_once_to_look_however_the_picture_and_the_seconds_change() -> None:
    assert on_change(Idle("Shop"), LOOK, "zh-CN") == "请看摄像头"
    assert on_change(LOOK, Look(1850, "CNY", None, "come_closer", 29), "zh-CN") is None
    assert on_change(None, LOOK, "en") == "Please look at the camera"


def test_a_payer_in_doubt_hears_each_thing_to_do_and_then_to_look_again() -> None:
    still = Look(1850, "CNY", hint="hold_still")
    left, blink = replace(still, hint="turn_left"), replace(still, hint="blink")
    assert on_change(still, left, "en") == "Turn your head to your left"
    assert on_change(left, replace(left, seconds_left=3.0), "en") is None
    assert on_change(left, blink, "zh-CN") == "请眨一下眼睛"
    assert on_change(blink, still, "en") == "Please look at the camera"


def test_whoever_walks_up_to_a_gate_hears_what_to_do_and_nothing_while_nobody_is_there() -> None:
    waiting = GateReady(200, "CNY")
    assert line(waiting, "en") is None
    assert on_change(waiting, replace(waiting, hint="turn_right"), "en") == "Turn your head to your right"
    assert on_change(replace(waiting, hint="turn_right"), replace(waiting, hint="hold_still"), "en") is None


def test_typing_is_silent_and_a_wrong_pin_is_said_each_time() -> None:
    asked = EnterPin(1850, "CNY", 0)
    assert on_change(LOOK, asked, "en") == "Please enter your PIN"
    assert on_change(asked, EnterPin(1850, "CNY", 1), "en") is None
    first = EnterPin(1850, "CNY", 0, 6, 2)
    assert on_change(EnterPin(1850, "CNY", 6), first, "en") == "Wrong PIN. Please try again"
    assert on_change(first, EnterPin(1850, "CNY", 3, 6, 2), "en") is None
    assert on_change(EnterPin(1850, "CNY", 6, 6, 2), EnterPin(1850, "CNY", 0, 6, 1), "en") is not None


def test_the_outcome_is_spoken_with_its_amount_or_its_reason() -> None:
    assert line(Approved(1850, "CNY"), "zh-CN") == "付款成功，18.50元"
    assert line(Approved(1850, "CNY"), "en") == "Paid. 18.50 yuan"
    assert line(Declined(1850, "CNY", "insufficient_funds"), "zh-CN") == "付款未成功。余额不足，请换一种方式付款"
    assert "don't pay again" in (line(Checking(1850, "CNY"), "en") or "")


def test_nothing_that_was_typed_is_ever_spoken() -> None:
    for view in (EnterPhone(1850, "CNY", "8000", "last4"), EnterPhone(1850, "CNY", "13800138000", "whole", wrong=True)):
        for locale in ("zh-CN", "en"):
            assert not any(letter.isdigit() for letter in line(view, locale) or "")


def test_setting_a_pin_speaks_at_each_step() -> None:
    first, repeat, again = NewPin("first"), NewPin("repeat"), NewPin("first", mismatch=True)
    assert on_change(None, first, "en") == "Please choose a PIN"
    assert on_change(first, repeat, "en") == "Please enter it once more"
    assert on_change(repeat, again, "en") == "They were different. Please choose again"


def test_quiet_screens_are_quiet() -> None:
    for view in (Idle("Shop"), Processing(1, "CNY")):
        assert line(view, "en") is None


def test_every_screen_can_be_spoken_and_lit_in_both_languages(every_view: dict[str, View]) -> None:
    for view in every_view.values():
        for locale in ("zh-CN", "en"):
            said = line(view, locale)
            assert said is None or ("{" not in said and said)
        assert lamp(view) in ("white", "green", "red", "amber", "off")


@pytest.mark.parametrize(
    ("view", "colour"),
    [
        (LOOK, "white"),
        (Approved(1, "CNY"), "green"),
        (Declined(1, "CNY"), "red"),
        (Checking(1, "CNY"), "amber"),
        (Trouble(), "amber"),
        (Cancelled(), "off"),
        (Reversed(1, "CNY"), "off"),
        (Idle("Shop"), "off"),
    ],
)
def test_the_lamp_says_the_same_as_the_screen(view: View, colour: str) -> None:
    assert lamp(view) == colour


def test_the_voice_catalogue_holds_no_line_that_is_never_said(every_view: dict[str, View]) -> None:
    said = {line(view, "en") for view in every_view.values()}
    for key, sentence in wording("en").sentences.items():
        if key.startswith("voice.") and "{" not in sentence:
            assert sentence in said, key

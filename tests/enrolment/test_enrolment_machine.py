"""One enrolment as a pure machine: on whose word, who consents, and what the fleet hears of it."""

from __future__ import annotations

import dataclasses

import pytest

from daemon.enrolment import machine as m

REQUEST = m.Request("c1", "p-7", ("pay",), "2026-11", expires_s=1000.0)
CHILD = dataclasses.replace(REQUEST, under_14=True)
STAFFED = dataclasses.replace(REQUEST, authority="clerk")


def played(state: m.State, *events: m.Event | str, now: float = 10.0) -> tuple[m.State, list[m.Effect]]:
    """Words are keys, one after another: "123456 ok"."""
    effects: list[m.Effect] = []
    for event in events:
        if isinstance(event, str):
            keys = [key for word in event.split() for key in ([word] if word.isalpha() else word)]
            steps: list[m.Event] = [m.Key(key) for key in keys]
        else:
            steps = [event]
        for one in steps:
            state, more = m.step(state, one, now)
            effects += more
    return state, effects


def reports(effects: list[m.Effect]) -> list[tuple[str, str]]:
    return [(effect.event, effect.reason) for effect in effects if isinstance(effect, m.Report)]


def test_an_enrolment_by_the_fleets_word_begins_with_the_consent() -> None:
    state, effects = played(m.begin(REQUEST, 0.0), "ok", m.Captured("c1"), "2580 ok 2580 ok", m.Stored("c1"))
    assert isinstance(state, m.Ended)
    [enrol] = [effect for effect in effects if isinstance(effect, m.Enrol)]
    assert enrol.word == m.Word("fleet", None)
    assert reports(effects) == [("enrol.done", "done")]


def test_where_a_clerk_is_wanted_nobody_consents_before_the_pin_was_right() -> None:
    state, effects = played(m.begin(STAFFED, 0.0), "12345 ok")
    assert (state, effects) == (m.Authorising(STAFFED, 70.0, "12345"), []), "five digits are no PIN"
    state, effects = played(state, "6 ok")
    assert effects == [m.CheckAuthority("c1", "123456")]
    assert played(state, "9 ok")[1] == [], "while one is being compared no other is taken"
    state, _ = played(state, m.AuthorityChecked("c1", None, 2))
    assert state == m.Authorising(STAFFED, 70.0, wrong_tries_left=2)
    state, _ = played(state, "123457 ok", m.AuthorityChecked("c1", "clerk"))
    assert state == m.Consenting(STAFFED, 70.0, m.Word("clerk"))


def test_after_the_last_wrong_staff_pin_it_is_over() -> None:
    state, effects = played(m.begin(STAFFED, 0.0), "123456 ok", m.AuthorityChecked("c1", None, 0))
    assert isinstance(state, m.Ended)
    assert reports(effects) == [("enrol.failed", "authority_locked")]


def test_an_answer_about_the_staff_of_another_enrolment_opens_nothing() -> None:
    state, _ = played(m.begin(STAFFED, 0.0), "123456 ok", m.AuthorityChecked("c0", "clerk"))
    assert isinstance(state, m.Authorising)
    state, _ = played(m.begin(STAFFED, 0.0), m.AuthorityChecked("c1", "clerk"))
    assert isinstance(state, m.Authorising), "nobody typed a PIN"


@pytest.mark.parametrize(("key", "role"), [("1", "parent"), ("2", "legal_guardian")])
def test_for_a_child_a_guardian_consents_and_stands_in_the_record_by_role(key, role) -> None:
    asking = m.begin(CHILD, 0.0)
    assert isinstance(played(asking, "ok")[0], m.AskingGuardian), "OK alone names nobody"
    _, effects = played(asking, key, "ok", m.Captured("c1"), "2580 ok 2580 ok")
    [enrol] = [effect for effect in effects if isinstance(effect, m.Enrol)]
    assert enrol.word == m.Word("fleet", role)


def test_a_child_needs_the_clerk_first_where_both_are_wanted() -> None:
    both = dataclasses.replace(CHILD, authority="clerk")
    state, _ = played(m.begin(both, 0.0), "123456 ok", m.AuthorityChecked("c1", "technician"))
    assert isinstance(state, m.AskingGuardian)
    state, _ = played(state, "1")
    assert isinstance(state, m.Consenting)
    assert state.word == m.Word("technician", "parent")


@pytest.mark.parametrize("begun", [m.begin(STAFFED, 0.0), m.begin(CHILD, 0.0), m.begin(REQUEST, 0.0)])
def test_whoever_says_no_or_nothing_is_not_enrolled(begun) -> None:
    assert reports(played(begun, "cancel")[1]) == [("enrol.cancelled", "by_payer")]
    assert m.next_deadline(begun) == 60.0
    assert reports(played(begun, m.Tick(), now=60.0)[1]) == [("enrol.cancelled", "timeout")]


def saving() -> m.State:
    return played(m.begin(REQUEST, 0.0), "ok", m.Captured("c1"), "2580 ok 2580 ok")[0]


def test_a_store_that_takes_too_long_is_said_on_the_screen_and_not_yet_to_the_fleet() -> None:
    state = saving()
    assert m.next_deadline(state) == 10.0 + m.STORE_S
    late, effects = played(state, m.Tick(), now=10.0 + m.STORE_S)
    assert (late, effects) == (m.Ended(REQUEST, "late", 10.0 + m.STORE_S + m.SHOW_S), [])
    assert played(late, m.Tick(), now=1000.0)[0] == m.Over()


@pytest.mark.parametrize(
    ("answer", "told"),
    [(m.Stored("c1"), ("enrol.done", "done")), (m.StoreFailed("c1", "store_full"), ("enrol.failed", "store_full"))],
)
def test_what_the_store_says_late_is_shown_where_the_screen_still_waits_and_reported(answer, told) -> None:
    late, _ = played(saving(), m.Tick(), now=10.0 + m.STORE_S)
    state, effects = played(late, answer)
    assert reports(effects) == [told]
    assert isinstance(state, m.Ended)
    assert state.reason == told[1]
    assert reports([m.outcome(REQUEST, answer)]) == [told], "the same words when nobody waits any more"


def test_no_state_shows_a_digit() -> None:
    state, effects = played(m.begin(STAFFED, 0.0), "271828 ok")
    assert "271828" not in repr(state) + repr(effects)
    assert "271" not in repr(played(m.begin(STAFFED, 0.0), "271")[0])

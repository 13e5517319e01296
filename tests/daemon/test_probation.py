"""When a config is undone: pure judgement, with time as a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.config.generations import MAX_BEGINNINGS, Document, Generations
from daemon.config.probation import BLAMELESS, BLINK_S, FIND_BROKER_S, Probation, Verdict

LASTS_S = 120.0


def judged(*moments, before=(), lasts_s=LASTS_S):
    """The last verdict after (time, conditions) one after another."""
    probation, said = Probation(frozenset(before), 0.0, lasts_s), None
    for now, names in moments:
        probation, said = probation.judge(dict.fromkeys(names, "why"), now)
        if said.verdict is not Verdict.WATCHING:
            break
    return said


def test_a_box_that_stays_as_well_as_it_was_keeps_its_config_when_the_time_is_over():
    assert judged((0, ()), (LASTS_S - 1, ())).verdict is Verdict.WATCHING
    assert judged((0, ()), (LASTS_S, ())).verdict is Verdict.GOOD


def test_a_new_condition_that_lasts_undoes_it_and_is_named():
    said = judged((1, ("no_display",)), (1 + BLINK_S, ("no_display",)))
    assert (said.verdict, said.condition, said.why) == (Verdict.WORSE, "no_display", "why")


def test_a_condition_that_blinks_does_not_however_often():
    moments = [(n, ("no_camera",) if n % 2 else ()) for n in range(1, 100)]
    assert judged(*moments, (LASTS_S, ())).verdict is Verdict.GOOD


def test_what_was_amiss_before_is_not_held_against_it():
    assert judged((1, ("no_printer",)), (LASTS_S, ("no_printer",)), before=("no_printer",)).verdict is Verdict.GOOD


@pytest.mark.parametrize("name", sorted(BLAMELESS))
def test_what_no_config_can_cause_is_not_held_against_it(name):
    assert judged((1, (name,)), (LASTS_S, (name,))).verdict is Verdict.GOOD


def test_the_broker_may_take_a_while_to_be_found_and_no_longer():
    assert judged((0, ("offline",)), (FIND_BROKER_S - 1, ("offline",))).verdict is Verdict.WATCHING
    assert judged((0, ("offline",)), (FIND_BROKER_S, ("offline",))).condition == "offline"


def test_models_that_take_long_to_load_make_a_config_neither_bad_nor_good():
    loading = ("faces_loading",)
    assert judged((0, loading), (LASTS_S + 100, loading)).verdict is Verdict.WATCHING
    assert judged((0, loading), (LASTS_S + 100, loading), (LASTS_S + 101, ())).verdict is Verdict.GOOD


def test_a_condition_that_is_just_there_when_the_time_is_over_is_waited_for():
    assert judged((LASTS_S - 1, ("no_camera",)), (LASTS_S, ("no_camera",))).verdict is Verdict.WATCHING
    assert judged((LASTS_S - 1, ("no_camera",)), (LASTS_S + 5, ("no_camera",))).verdict is Verdict.WORSE


NAMES = ["no_camera", "offline", "too_hot", "faces_loading"]


@given(st.lists(st.sampled_from(NAMES), max_size=3), st.floats(0, 200), st.floats(1, 600))
def test_it_never_wants_to_look_again_in_the_past(names, now, lasts_s):
    probation, said = Probation(frozenset(), 0.0, lasts_s).judge(dict.fromkeys(names, ""), now)
    assert probation.next_look_s(now) >= now
    if said.verdict is Verdict.WATCHING:
        assert probation.next_look_s(now) > now


def doc(version, **box):
    return Document(version=version, settings={"box": box} if box else {})


def test_the_floor_only_rises_and_what_runs_is_the_trial_or_the_good_one():
    g = Generations().trying(doc(3, shop="A"), (), 60)
    assert (g.floor, g.running_version) == (3, 3)
    g = g.kept(1)
    assert (g.good, g.previous, g.trial) == (doc(3, shop="A"), None, None)
    g = g.trying(doc(4, shop="B"), ("no_keypad",), 60).rolled_back("no_camera", "why", 2)
    assert (g.floor, g.running_version, g.outcome.reason) == (4, 3, "no_camera")
    g = g.rejected(5, ["box.shop: too long"], 3)
    assert (g.floor, g.running_version, g.outcome.errors) == (5, 3, (("box.shop", "too long"),))


def test_a_second_config_is_judged_by_how_the_box_was_before_the_first():
    g = Generations().trying(doc(1), ("no_keypad",), 60).begun().trying(doc(2), ("no_keypad", "no_camera"), 60)
    assert g.trial.conditions == ("no_keypad",)
    assert g.trial.beginnings == 0


def test_so_many_beginnings_and_no_more(tmp_path):
    from daemon.config import generations

    generations.write(tmp_path, Generations().trying(doc(1), (), 60))
    for _ in range(MAX_BEGINNINGS):
        assert generations.note_beginning(tmp_path, 1)[1] is False
    assert generations.note_beginning(tmp_path, 1)[1] is True
    assert generations.read(tmp_path).generations.outcome.reason == "crashed"
    assert generations.note_beginning(tmp_path, 1)[1] is False


@pytest.mark.parametrize("damage", [lambda raw: raw[:50], lambda raw: raw.replace(b"A", b"B"), lambda raw: b""])
def test_a_damaged_file_is_named_and_the_one_before_it_is_read(tmp_path, damage):
    from daemon.config import generations

    first = Generations().trying(doc(1, shop="A"), (), 60)
    generations.write(tmp_path, first)
    generations.write(tmp_path, first.kept(1))
    file = tmp_path / generations.FILE
    file.write_bytes(damage(file.read_bytes()))
    found = generations.read(tmp_path)
    assert found.generations == first
    assert generations.FILE in found.damaged
    generations.write(tmp_path, first.kept(1))  # a damaged one never pushes out the good one before it
    file.write_bytes(b"")
    assert generations.read(tmp_path).generations == first


def test_no_file_at_all_is_no_config_of_the_fleet(tmp_path):
    from daemon.config import generations

    assert generations.read(tmp_path).generations == Generations()

"""The payer who is in doubt is asked to turn and to blink; nothing but the right answer, in time, is one."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.alignment import Points
from pipeline.challenge import STEPS, TRIES, ActiveChallenge, Answer
from pipeline.decision import Act, Challenge, Decision, Guidance, Hint, Reason
from pipeline.engine import Face, FaceEngine, FaceView
from pipeline.eval.attacks import turned as turned_sheet
from pipeline.match import BruteForceMatcher
from pipeline.picture import Picture
from pipeline.quality import Pose, Quality
from pipeline.session import FaceSession
from pipeline.thresholds import Thresholds

Frame = NDArray[np.uint8]
Seen = Callable[..., Frame]
STRAIGHT = Quality(
    height=0.5, pixels=240, margin=0.2, luma=120, sharpness=10, pose=Pose(0, 0, 0), detector_score=0.99, eyes=0.3
)
TURNED = {Act.TURN_LEFT: 30.0, Act.TURN_RIGHT: -30.0}


def turned(yaw: float) -> Quality:
    return replace(STRAIGHT, pose=Pose(yaw, 0, 0))


def act_out(challenge: ActiveChallenge, act: Act, now_s: float) -> Answer:
    """Straight, then what is asked for."""
    shown = [STRAIGHT, replace(STRAIGHT, eyes=0.15), STRAIGHT] if act is Act.BLINK else [STRAIGHT, turned(TURNED[act])]
    answer = Answer.PENDING
    for quality in shown:
        answer = challenge.look(quality, now_s)
    return answer


@pytest.fixture
def challenge(thresholds: Thresholds) -> ActiveChallenge:
    return ActiveChallenge(lambda: random.Random(3), thresholds.liveness, 100.0)


@pytest.mark.parametrize("seed", range(12))
def test_who_does_what_is_asked_passes(thresholds: Thresholds, seed: int) -> None:
    challenge = ActiveChallenge(lambda: random.Random(seed), thresholds.liveness, 0.0)
    answers = [act_out(challenge, challenge.pending.act, 1.0) for _ in range(STEPS)]
    assert answers == [Answer.PENDING] * (STEPS - 1) + [Answer.PASSED]


def test_the_order_is_drawn_from_the_given_source_and_every_act_comes(thresholds: Thresholds) -> None:
    def order(seed: int) -> list[Act]:
        return ActiveChallenge(lambda: random.Random(seed), thresholds.liveness, 0.0)._acts

    assert order(5) == order(5)
    orders = {tuple(order(seed)) for seed in range(200)}
    assert len(orders) == 12
    assert all(first is not second for acts in orders for first, second in itertools.pairwise(acts))


def test_the_other_way_is_wrong_and_wrong_twice_has_failed(challenge: ActiveChallenge) -> None:
    for number in range(TRIES):
        wrong = 30.0 if challenge.pending.act is Act.TURN_RIGHT else -30.0
        if challenge.pending.act is Act.TURN_LEFT:
            wrong = -30.0
        challenge.look(STRAIGHT, 101.0)
        answer = challenge.look(turned(wrong), 101.0)
        assert answer is (Answer.FAILED if number == TRIES - 1 else Answer.PENDING)
        assert challenge.pending.done == 0


def test_a_head_that_was_turned_already_has_answered_nothing(challenge: ActiveChallenge) -> None:
    for act in (Act.TURN_LEFT, Act.TURN_RIGHT):
        for _ in range(20):
            assert challenge.look(turned(TURNED[act]), 101.0) is Answer.PENDING
    assert challenge.pending.done == 0


def test_who_is_late_has_failed(challenge: ActiveChallenge) -> None:
    assert challenge.look(STRAIGHT, challenge.until_s + 0.01) is Answer.FAILED
    assert challenge.interrupted(challenge.until_s + 0.01) is Answer.FAILED


def test_nothing_done_is_no_answer_and_a_pose_that_is_no_number_neither(challenge: ActiveChallenge) -> None:
    for quality in (STRAIGHT, turned(float("nan"))):
        assert {challenge.look(quality, 101.0) for _ in range(30)} == {Answer.PENDING}
    assert challenge.pending.done == 0


def test_a_lost_face_starts_the_challenge_over(thresholds: Thresholds) -> None:
    challenge = ActiveChallenge(lambda: random.Random(1), thresholds.liveness, 0.0)
    act_out(challenge, challenge.pending.act, 1.0)
    assert challenge.pending.done == 1
    assert challenge.interrupted(1.5) is Answer.PENDING
    assert challenge.pending.done == 0
    assert challenge.interrupted(1.6) is Answer.FAILED


class Doubting(FaceEngine):
    """An engine whose liveness models can't tell."""

    def live(self, image: object, face: object) -> float:
        return 0.35


@pytest.fixture
def doubting(engine: FaceEngine) -> Doubting:
    return Doubting(engine.models, engine.manifest)


def test_who_stays_in_doubt_is_asked_to_act_and_a_still_that_does_nothing_is_refused(
    doubting: Doubting, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Seen
) -> None:
    session = FaceSession(doubting, gallery("grace_hopper"), thresholds, draw=lambda: random.Random(4))
    observations = []
    for number in range(200):
        observations.append(session.observe(seen("grace_hopper", number % 7), number, number * 0.1))
        if isinstance(observations[-1], Decision):
            break
    last = observations[-1]
    assert [type(o) for o in observations[:5]] == [Guidance] * 4 + [Challenge]
    asked = observations[4]
    assert isinstance(asked, Challenge)
    assert (asked.done, asked.steps, asked.until_s) == (0, STEPS, pytest.approx(0.4 + thresholds.liveness.challenge_s))
    assert isinstance(last, Decision)
    assert (last.reason, last.handle, last.because, last.challenged) == (Reason.SPOOF, None, ("challenge",), True)


def always(thresholds: Thresholds) -> Thresholds:
    return thresholds.model_copy(update={"liveness": thresholds.liveness.model_copy(update={"challenge": "always"})})


@pytest.mark.parametrize("demanded_by", ["the thresholds, of everybody", "this look, as a face alone could pay here"])
def test_where_acting_is_demanded_whoever_looks_alive_is_asked_to_before_anything_is_matched(
    demanded_by: str,
    engine: FaceEngine,
    thresholds: Thresholds,
    gallery: Callable[..., BruteForceMatcher],
    seen: Seen,
) -> None:
    look = demanded_by.startswith("this look")
    limits = thresholds if look else always(thresholds)
    session = FaceSession(engine, gallery("grace_hopper"), limits, draw=lambda: random.Random(4), challenge=look)
    observations = []
    for number in range(200):
        observations.append(session.observe(seen("grace_hopper", number % 7), number, number * 0.1))
        if isinstance(observations[-1], Decision):
            break
    assert [type(o) for o in observations[:3]] == [Guidance, Challenge, Challenge]
    last = observations[-1]
    assert isinstance(last, Decision)
    assert (last.reason, last.handle, last.because, last.challenged) == (Reason.SPOOF, None, ("challenge",), True)


@pytest.mark.parametrize(("relief", "first"), [(4.0, Decision), (None, Challenge)])
def test_where_the_cameras_depth_speaks_for_the_face_nobody_has_to_act(
    relief: float | None,
    first: type,
    engine: FaceEngine,
    thresholds: Thresholds,
    gallery: Callable[..., BruteForceMatcher],
    seen: Seen,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What depth makes of a head and of a sheet is `test_cues`' matter; here it has been read."""
    monkeypatch.setattr("pipeline.evidence.relief_mm", lambda *_: relief)
    depth = None if relief is None else np.full((48, 64), 600.0, np.float32)
    session = FaceSession(engine, gallery("grace_hopper"), thresholds, draw=lambda: random.Random(4), challenge=True)
    observed: object = None
    for number in range(20):
        observed = session.observe(seen("grace_hopper", number % 7), number, number * 0.1, depth)
        if not isinstance(observed, Guidance):
            break
    assert isinstance(observed, first)
    if isinstance(observed, Decision):
        assert (observed.reason, observed.challenged, observed.relief) == (Reason.MATCHED, False, True)


def test_where_everybody_is_asked_and_nothing_can_be_asked_nobody_passes(
    engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Seen
) -> None:
    session = FaceSession(engine, gallery("grace_hopper"), always(thresholds))
    for number in range(20):
        assert isinstance(session.observe(seen("grace_hopper", number % 7), number, number * 0.1), Guidance)


def test_without_a_source_of_chance_who_is_in_doubt_stays_undecided(
    doubting: Doubting, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Seen
) -> None:
    session = FaceSession(doubting, gallery("grace_hopper"), thresholds)
    for number in range(20):
        assert isinstance(session.observe(seen("grace_hopper", number % 7), number, number * 0.1), Guidance)


class Acting(Doubting):
    """A doubtful payer who does what is in `shown`."""

    shown = STRAIGHT

    def view(self, picture: Picture, face: Face, landmarks: Points) -> FaceView:
        view = super().view(picture, face, landmarks)
        return replace(view, quality=replace(view.quality, pose=self.shown.pose, eyes=self.shown.eyes))


@pytest.mark.parametrize("mode", ["doubt", "always"])
def test_who_passed_is_recognised_and_the_decision_says_that_there_was_a_challenge(
    mode: str, engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Seen
) -> None:
    acting = Acting(engine.models, engine.manifest)
    limits = always(thresholds) if mode == "always" else thresholds
    session = FaceSession(acting, gallery("grace_hopper"), limits, draw=lambda: random.Random(4))
    to_show: list[Quality] = []
    asked: list[Act] = []
    came: list[tuple[int, int]] = []
    observed: object = None
    for number in range(60):
        acting.shown = to_show.pop(0) if to_show else STRAIGHT
        observed = session.observe(seen("grace_hopper", number % 7), number, number * 0.1)
        if isinstance(observed, Decision):
            break
        came.append((observed.done, observed.steps))
        if isinstance(observed, Challenge) and observed.done == len(asked):
            asked.append(observed.act)
            blink = [replace(STRAIGHT, eyes=0.15), STRAIGHT]
            to_show = [STRAIGHT, *(blink if observed.act is Act.BLINK else [turned(TURNED[observed.act]), STRAIGHT])]
    assert len(asked) == STEPS
    assert list(dict.fromkeys(came)) == [(0, 0), *((done, STEPS) for done in range(STEPS + 1))], "up to the decision"
    assert isinstance(observed, Decision)
    assert (observed.reason, observed.handle, observed.challenged) == (Reason.MATCHED, "grace_hopper", True)
    assert observed.liveness < 0.5, "the risk policy hears that it was in doubt"


def test_who_passed_with_a_turned_head_is_recognised_once_it_is_straight_again(
    engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Seen
) -> None:
    """A turned face is less like the enrolled one, and would be asked for a PIN for having done what it was told."""
    acting = Acting(engine.models, engine.manifest)
    session = FaceSession(acting, gallery("grace_hopper"), always(thresholds), draw=lambda: random.Random(0))
    to_show: list[Quality] = []
    asked: list[Act] = []
    passed = 0
    observed: object = None
    for number in range(80):
        acting.shown = to_show.pop(0) if to_show else turned(20.0) if 0 < passed <= 10 else STRAIGHT
        observed = session.observe(seen("grace_hopper", number % 7), number, number * 0.1)
        if isinstance(observed, Decision):
            break
        if isinstance(observed, Guidance) and observed.done == STEPS:
            passed += 1
            assert observed.hint is Hint.LOOK_AT_CAMERA or acting.shown is STRAIGHT
        if isinstance(observed, Challenge) and observed.done == len(asked):
            asked.append(observed.act)
            blink = [replace(STRAIGHT, eyes=0.15), STRAIGHT]
            to_show = [STRAIGHT, *(blink if observed.act is Act.BLINK else [turned(TURNED[observed.act])])]
            to_show += [STRAIGHT] if len(asked) < STEPS else []
    assert asked[-1] is not Act.BLINK
    assert isinstance(observed, Decision)
    assert observed.reason is Reason.MATCHED
    assert passed > 10, "as long as the head was turned nothing was decided"


def test_a_glare_takes_back_nothing_that_was_done_and_a_lost_face_all_of_it(
    engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Seen
) -> None:
    acting = Acting(engine.models, engine.manifest)
    session = FaceSession(acting, gallery("grace_hopper"), always(thresholds), draw=lambda: random.Random(4))
    to_show: list[Quality] = []
    observed: object = None
    number = 0
    while not (isinstance(observed, Challenge) and observed.done == 1):
        number += 1
        acting.shown = to_show.pop(0) if to_show else STRAIGHT
        observed = session.observe(seen("grace_hopper", number % 7), number, number * 0.1)
        if isinstance(observed, Challenge) and not to_show:
            blink = [replace(STRAIGHT, eyes=0.15), STRAIGHT]
            to_show = [STRAIGHT, *(blink if observed.act is Act.BLINK else [turned(TURNED[observed.act])])]
        assert number < 60
    glaring = np.clip(seen("grace_hopper", number % 7) * 1.0 + 130, 0, 255).astype(np.uint8)
    hinted = session.observe(glaring, number + 1, number * 0.1 + 0.1)
    assert isinstance(hinted, Guidance)
    assert (hinted.hint, hinted.done, hinted.steps) == (Hint.TOO_BRIGHT, 1, STEPS)
    gone = session.observe(np.full_like(glaring, 200), number + 2, number * 0.1 + 0.2)
    assert gone == Guidance(Hint.NO_FACE, None, 0, STEPS)


def test_somebody_else_after_the_challenge_is_not_who_passed_it(
    engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Seen
) -> None:
    acting = Acting(engine.models, engine.manifest)
    session = FaceSession(acting, gallery("grace_hopper", "eileen_collins"), thresholds, draw=lambda: random.Random(4))
    to_show: list[Quality] = []
    asked: list[Act] = []
    name, number = "grace_hopper", 0
    while number < 40:
        acting.shown = to_show.pop(0) if to_show else STRAIGHT
        observed = session.observe(seen(name, number % 7), number, number * 0.1)
        number += 1
        if isinstance(observed, Challenge) and observed.done == len(asked) and name == "grace_hopper":
            asked.append(observed.act)
            blink = [replace(STRAIGHT, eyes=0.15), STRAIGHT]
            to_show = [STRAIGHT, *(blink if observed.act is Act.BLINK else [turned(TURNED[observed.act]), STRAIGHT])]
        if session._passed:
            name = "eileen_collins"
        assert not isinstance(observed, Decision) or observed.reason is not Reason.MATCHED
    assert name == "eileen_collins"


def test_who_walks_up_after_somebody_elses_challenge_has_answered_none(
    engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Seen, nobody: Frame
) -> None:
    """An accomplice who turns and blinks must not vouch for the mask that is held up next, in the same look."""
    acting = Acting(engine.models, engine.manifest)
    session = FaceSession(acting, gallery("grace_hopper", "eileen_collins"), thresholds, draw=lambda: random.Random(4))
    to_show: list[Quality] = []
    asked: list[Act] = []
    number = 0
    while not session._passed:
        acting.shown = to_show.pop(0) if to_show else STRAIGHT
        observed = session.observe(seen("grace_hopper", number % 7), number, number * 0.1)
        number += 1
        if isinstance(observed, Challenge) and observed.done == len(asked):
            asked.append(observed.act)
            blink = [replace(STRAIGHT, eyes=0.15), STRAIGHT]
            to_show = [STRAIGHT, *(blink if observed.act is Act.BLINK else [turned(TURNED[observed.act]), STRAIGHT])]
    acting.live = engine.live  # type: ignore[method-assign]
    acting.shown = STRAIGHT
    session.observe(nobody, number, number * 0.1)
    last: object = None
    for later in range(number + 1, number + 40):
        last = session.observe(seen("eileen_collins", later % 7), later, later * 0.1)
        if isinstance(last, Decision):
            break
    assert isinstance(last, Decision)
    assert (last.reason, last.handle, last.challenged) == (Reason.MATCHED, "eileen_collins", False)


def test_whoever_comes_after_a_break_is_remembered_before_any_answer_counts(
    engine: FaceEngine,
    thresholds: Thresholds,
    gallery: Callable[..., BruteForceMatcher],
    seen: Seen,
    nobody: Frame,
) -> None:
    acting = Acting(engine.models, engine.manifest)
    session = FaceSession(acting, gallery("grace_hopper"), thresholds, draw=lambda: random.Random(4))
    for number in range(6):
        observed = session.observe(seen("grace_hopper", number), number, number * 0.1)
    assert isinstance(observed, Challenge)
    before = session._who
    session.observe(nobody, 6, 0.6)
    assert session._who is None
    session.observe(seen("eileen_collins"), 7, 0.7)
    assert session._who is not None
    assert before is not None
    assert float(session._who @ before) < thresholds.match.same_person


def test_a_flat_picture_that_is_turned_has_not_turned_its_head(
    engine: FaceEngine, thresholds: Thresholds, seen: Seen
) -> None:
    """Parallax: the nose does not leave the line between the eyes. Seen through real perspective, up to 40 degrees."""
    frame = seen("grace_hopper")
    yaws = []
    for degrees in (-40, -25, 25, 40):
        tilted = turned_sheet(frame, degrees)
        faces = engine.detect(tilted)
        if faces:
            yaws.append(engine.look(tilted, faces[0]).quality.pose.yaw)
    straight = engine.look(frame, engine.detect(frame)[0]).quality.pose.yaw
    assert len(yaws) >= 2
    assert all(abs(yaw - straight) < thresholds.liveness.turn_deg for yaw in yaws), (straight, yaws)

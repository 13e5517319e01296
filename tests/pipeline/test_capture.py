"""Enrolment: several good, live frames of one person become a few templates; anything else becomes none."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.capture import Capture, EnrolmentSession
from pipeline.decision import Decision, Guidance, Hint, Reason
from pipeline.engine import FaceEngine
from pipeline.errors import SessionFinished
from pipeline.match import is_unit
from pipeline.thresholds import Thresholds

Frame = NDArray[np.uint8]
Seen = Callable[..., Frame]


@pytest.fixture
def enrolment(engine: FaceEngine, thresholds: Thresholds) -> EnrolmentSession:
    return EnrolmentSession(engine, thresholds)


def watch(session: EnrolmentSession, frames: Iterable[Frame], first: int = 1) -> Guidance | Capture | Decision:
    outcome: Guidance | Capture | Decision = Guidance(Hint.NO_FACE)
    for number, frame in enumerate(frames, first):
        noise = np.random.default_rng(number).integers(-1, 2, frame.shape, dtype=np.int16)
        outcome = session.observe(np.clip(frame + noise, 0, 255).astype(np.uint8), number, number * 0.1)
        if not isinstance(outcome, Guidance):
            break
    return outcome


def test_five_good_frames_give_templates_that_differ(
    captures: dict[str, Capture], engine: FaceEngine, thresholds: Thresholds
) -> None:
    for capture in captures.values():
        assert capture.frames == thresholds.capture.frames
        assert 1 <= len(capture.templates) <= thresholds.capture.templates
        assert is_unit(capture.embedding)
        assert all(is_unit(template.embedding) for template in capture.templates)
        assert [t.quality for t in capture.templates] == sorted((t.quality for t in capture.templates), reverse=True)
        assert capture.liveness > 0.5
        assert capture.model_hash == engine.model_hash
        assert capture.timings_ms["total"] > 0
        for number, template in enumerate(capture.templates):
            others = capture.templates[:number]
            assert all(float(template.embedding @ o.embedding) < thresholds.capture.same_template for o in others)


def test_two_people_get_templates_far_apart(captures: dict[str, Capture]) -> None:
    assert float(captures["grace_hopper"].embedding @ captures["eileen_collins"].embedding) < 0.3


def test_progress_is_told(enrolment: EnrolmentSession, seen: Seen) -> None:
    told = []
    for number in range(4):
        enrolment.observe(seen("grace_hopper", number), number, number * 0.1)
        told.append(enrolment.progress)
    assert told == pytest.approx([0.2, 0.4, 0.6, 0.8])


def test_two_people_never_mix_in_one_capture(enrolment: EnrolmentSession, seen: Seen) -> None:
    turns = (seen(("grace_hopper", "eileen_collins")[number // 3 % 2]) for number in range(18))
    assert isinstance(watch(enrolment, turns), Guidance)


def test_a_second_person_in_view_starts_over(enrolment: EnrolmentSession, seen: Seen, side_by_side: Frame) -> None:
    assert isinstance(watch(enrolment, [seen("grace_hopper")] * 4), Guidance)
    assert enrolment.observe(side_by_side, 5, 0.5).hint is Hint.ONE_PERSON  # type: ignore[union-attr]
    assert enrolment.progress == 0


def test_a_portrait_on_a_phone_is_not_enrolled(enrolment: EnrolmentSession, on_a_phone: Seen) -> None:
    outcome = watch(enrolment, (on_a_phone("grace_hopper", shift) for shift in range(12)))
    assert isinstance(outcome, Decision)
    assert outcome.reason is Reason.SPOOF


def test_a_phone_between_good_frames_throws_them_away(
    enrolment: EnrolmentSession, seen: Seen, on_a_phone: Seen
) -> None:
    watch(enrolment, [seen("grace_hopper")] * 4)
    enrolment.observe(on_a_phone("grace_hopper"), 5, 0.5)
    assert enrolment.progress == 0


def test_a_frozen_camera_enrols_nobody(enrolment: EnrolmentSession, seen: Seen) -> None:
    face = seen("grace_hopper")
    outcomes = {type(enrolment.observe(face, 1, number * 0.1)) for number in range(12)}
    assert outcomes == {Guidance}


def test_a_finished_enrolment_refuses_more_frames(enrolment: EnrolmentSession, seen: Seen) -> None:
    assert isinstance(watch(enrolment, (seen("grace_hopper", shift) for shift in range(8))), Capture)
    with pytest.raises(SessionFinished):
        enrolment.observe(seen("grace_hopper"), 99, 9.9)

"""What cameras, galleries and folders can come up with: a named refusal each, and never a match."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.capture import EnrolmentSession
from pipeline.decision import Decision, Guidance, Hint, Reason
from pipeline.engine import FaceEngine
from pipeline.errors import FrameRefused, GalleryRefused, ModelRefused, ThresholdsRefused
from pipeline.liveness import Cue
from pipeline.match import BruteForceMatcher, ExactMatcher
from pipeline.models.manifest import Manifest
from pipeline.session import FaceSession
from pipeline.thresholds import Thresholds

Frame = NDArray[np.uint8]
Seen = Callable[..., Frame]
Gallery = Callable[..., BruteForceMatcher]


@pytest.fixture
def session(engine: FaceEngine, thresholds: Thresholds, gallery: Gallery) -> FaceSession:
    return FaceSession(engine, gallery("grace_hopper", "eileen_collins"), thresholds)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(np.zeros((480, 640, 0), np.uint8), id="no channel"),
        pytest.param(np.zeros((480, 640, 1), np.uint8), id="one channel"),
        pytest.param(np.zeros((480, 640, 4), np.uint8), id="four channels"),
        pytest.param(np.zeros((480, 640), np.uint8), id="gray"),
        pytest.param(np.zeros((480, 640, 3), np.float32), id="floats"),
        pytest.param(np.zeros((480, 640, 3), np.uint16), id="16 bits"),
        pytest.param(np.zeros((4320, 7680, 3), np.uint8), id="8K"),
        pytest.param(np.zeros((0, 0, 3), np.uint8), id="empty"),
    ],
)
def test_a_frame_that_is_no_picture_is_refused_by_session_and_enrolment_and_harms_neither(
    session: FaceSession, engine: FaceEngine, thresholds: Thresholds, seen: Seen, frame: Frame
) -> None:
    enrolment = EnrolmentSession(engine, thresholds)
    for number, look in enumerate((session.observe, enrolment.observe)):
        with pytest.raises(FrameRefused):
            look(frame, 1, 0.1)
        assert isinstance(look(seen("grace_hopper", number), 2, 0.2), Guidance)


def test_a_frame_whose_memory_is_not_contiguous_is_as_good_as_any(session: FaceSession, seen: Seen) -> None:
    for number in range(3):
        frame = seen("grace_hopper", number)
        outcome = session.observe(
            np.asfortranarray(frame) if number % 2 else frame[::-1].copy()[::-1], number, 0.1 * number
        )
        if isinstance(outcome, Decision):
            break
    assert isinstance(outcome, Decision)
    assert outcome.handle == "grace_hopper"


def test_depth_that_is_all_nan_never_acquits(session: FaceSession, seen: Seen) -> None:
    nothing = np.full((240, 320), np.nan)
    for number in range(12):
        assert isinstance(session.observe(seen("grace_hopper", number), number, number * 0.1, nothing), Guidance)


def test_a_perfect_picture_on_flat_synthetic_depth_is_an_attack(session: FaceSession, seen: Seen) -> None:
    flat = 500 + np.random.default_rng(1).normal(0, 0.5, (240, 320))
    for number in range(6):
        outcome = session.observe(seen("grace_hopper", number), number, number * 0.1, flat)
        if isinstance(outcome, Decision):
            break
    assert isinstance(outcome, Decision)
    assert (outcome.reason, outcome.handle) == (Reason.SPOOF, None)
    assert Cue.FLAT.value in outcome.because


def test_thirty_faces_are_asked_to_come_one_by_one(session: FaceSession, seen: Seen) -> None:
    crowd = np.full((480, 640, 3), 128, np.uint8)
    small = np.asarray(Image.fromarray(seen("grace_hopper")[40:440, 160:480]).resize((104, 94)))
    for row in range(5):
        for column in range(6):
            crowd[row * 96 : row * 96 + 94, column * 106 : column * 106 + 104] = small
    for number in range(5):
        crowd[0, 0] = number
        outcome = session.observe(crowd.copy(), number, number * 0.1)
        assert outcome == Guidance(Hint.ONE_PERSON, outcome.face_box)  # type: ignore[union-attr]


def test_half_a_face_at_each_edge_never_decides(session: FaceSession, seen: Seen) -> None:
    face = seen("grace_hopper")
    number = 0
    for cut in (
        np.concatenate([face[:, 330:], np.full((480, 330, 3), 120, np.uint8)], axis=1),
        np.concatenate([np.full((480, 300, 3), 120, np.uint8), face[:, :340]], axis=1),
        np.concatenate([face[220:], np.full((220, 640, 3), 120, np.uint8)], axis=0),
    ):
        for _ in range(5):
            number += 1
            cut = np.roll(cut, 0).copy()
            cut[number, 5] = 7
            assert isinstance(session.observe(cut, number, number * 0.1), Guidance)


@pytest.mark.parametrize("matcher", [BruteForceMatcher, ExactMatcher])
@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 2.0])
def test_a_gallery_row_that_is_no_unit_vector_of_numbers_is_refused_by_its_number(
    engine: FaceEngine, matcher: type[BruteForceMatcher], value: float
) -> None:
    rows = np.zeros((3, 512), np.float32)
    rows[:, 0] = 1
    rows[1, 0] = value
    with pytest.raises(GalleryRefused, match="1"):
        matcher(["a", "b", "c"], rows, engine.model_hash)


def test_models_that_are_missing_or_others_are_refused_by_name(tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / manifest.model("detect").file).write_bytes(b"no model")
    with pytest.raises(ModelRefused) as refused:
        FaceEngine.load(tmp_path, manifest)
    assert {name for name, _, _ in refused.value.files} == {model.file for model in manifest.models}


def test_thresholds_made_for_other_models_open_no_session(
    engine: FaceEngine, thresholds: Thresholds, gallery: Gallery
) -> None:
    other = thresholds.model_copy(update={"models": {**thresholds.models, "liveness": "0" * 64}})
    with pytest.raises(ThresholdsRefused, match="liveness"):
        FaceSession(engine, gallery("grace_hopper"), other)
    with pytest.raises(ThresholdsRefused, match="liveness"):
        EnrolmentSession(engine, other)

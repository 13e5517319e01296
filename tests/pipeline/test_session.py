"""One payment's look at one payer, with the real models and two real portraits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from PIL.ImageFilter import GaussianBlur

from hal.virtual.pictures import PictureBook
from pipeline.decision import Decision, Guidance, Hint, Observation, Reason
from pipeline.engine import FaceEngine, FaceView
from pipeline.errors import FrameRefused, GalleryRefused, SessionFinished, ThresholdsRefused
from pipeline.match import BruteForceMatcher, Embedding
from pipeline.models.manifest import Manifest
from pipeline.session import FaceSession
from pipeline.thresholds import Thresholds

Frame = NDArray[np.uint8]
Seen = Callable[..., Frame]
Gallery = Callable[..., BruteForceMatcher]


@pytest.fixture
def session(engine: FaceEngine, thresholds: Thresholds, gallery: Gallery) -> FaceSession:
    return FaceSession(engine, gallery("grace_hopper", "eileen_collins"), thresholds)


def sensed(frame: Frame, number: int) -> Frame:
    """As a sensor gives it: with a little noise, never twice the same."""
    noise = np.random.default_rng(number).integers(-1, 2, frame.shape, dtype=np.int16)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def watch(session: FaceSession, frames: Iterable[Frame], first: int = 1, every_s: float = 0.1) -> list[Observation]:
    """Every observation up to the decision."""
    seen: list[Observation] = []
    for number, frame in enumerate(frames, first):
        seen.append(session.observe(sensed(frame, number), number, number * every_s))
        if isinstance(seen[-1], Decision):
            break
    return seen


def decision_of(observations: list[Observation]) -> Decision:
    assert isinstance(observations[-1], Decision), observations
    return observations[-1]


@pytest.mark.parametrize("name", ["grace_hopper", "eileen_collins"])
def test_two_good_frames_find_the_enrolled_payer(session: FaceSession, seen: Seen, name: str) -> None:
    observations = watch(session, (seen(name, shift) for shift in (1, 4)))
    decision = decision_of(observations)
    assert observations[0] == Guidance(Hint.HOLD_STILL, observations[0].face_box)  # type: ignore[union-attr]
    assert (decision.reason, decision.handle, decision.frames) == (Reason.MATCHED, name, 2)
    assert decision.score > 0.9 > 0.4 > decision.runner_up
    assert decision.margin == pytest.approx(decision.score - decision.runner_up, abs=0.02)
    assert decision.liveness > 0.8


def test_a_decision_says_how_long_each_stage_took_and_what_it_was_made_with(
    session: FaceSession, seen: Seen, engine: FaceEngine, thresholds: Thresholds
) -> None:
    decision = decision_of(watch(session, [seen("grace_hopper")] * 2))
    stages = {"frame", "detect", "look", "follow", "screen_edge", "moire", "liveness", "embed", "match"}
    assert stages | {"total"} == set(decision.timings_ms)
    assert all(ms > 0 for ms in decision.timings_ms.values())
    assert decision.timings_ms["total"] == pytest.approx(sum(decision.timings_ms[s] for s in stages))
    assert (decision.model_hash, decision.thresholds_id) == (engine.model_hash, thresholds.id)


def test_the_face_box_is_relative_to_the_frame(session: FaceSession, seen: Seen) -> None:
    observed = session.observe(seen("grace_hopper"), 1, 0.0)
    assert isinstance(observed, Guidance)
    assert observed.face_box is not None
    x0, y0, x1, y1 = observed.face_box
    assert 0.2 < x0 < 0.5 < x1 < 0.8
    assert 0 <= y0 < 0.4 < 0.6 < y1 <= 1


def test_nobody_in_view_never_decides(session: FaceSession, nobody: Frame) -> None:
    assert watch(session, [nobody] * 6) == [Guidance(Hint.NO_FACE)] * 6


def test_a_black_picture_says_too_dark_and_never_decides(session: FaceSession, nobody: Frame) -> None:
    assert watch(session, [np.zeros_like(nobody)] * 6) == [Guidance(Hint.TOO_DARK)] * 6


def test_who_is_not_enrolled_is_a_stranger(
    engine: FaceEngine, thresholds: Thresholds, gallery: Gallery, seen: Seen
) -> None:
    session = FaceSession(engine, gallery("grace_hopper"), thresholds)
    decision = decision_of(watch(session, (seen("eileen_collins", shift) for shift in range(6))))
    assert (decision.reason, decision.handle, decision.frames) == (Reason.STRANGER, None, 3)
    assert decision.score < 0.4


def test_an_empty_gallery_is_said_so(engine: FaceEngine, thresholds: Thresholds, gallery: Gallery, seen: Seen) -> None:
    decision = decision_of(watch(FaceSession(engine, gallery(), thresholds), [seen("grace_hopper")] * 6))
    assert (decision.reason, decision.handle) == (Reason.GALLERY_EMPTY, None)


@pytest.mark.parametrize("name", ["grace_hopper", "eileen_collins"])
def test_a_portrait_on_a_phone_is_a_spoof(session: FaceSession, on_a_phone: Seen, name: str) -> None:
    decision = decision_of(watch(session, (on_a_phone(name, shift) for shift in range(8))))
    assert (decision.reason, decision.handle) == (Reason.SPOOF, None)
    assert decision.liveness < 0.5


@pytest.mark.parametrize("name", ["phone:grace_hopper", "phone:eileen_collins"])
def test_the_virtual_boxs_phone_is_a_spoof_wherever_it_is_held(
    engine: FaceEngine, thresholds: Thresholds, gallery: Gallery, portraits_folder: Path, name: str
) -> None:
    scene = PictureBook(portraits_folder, (640, 480)).scene(name)
    matcher = gallery("grace_hopper", "eileen_collins")
    for left in range(0, scene.width - 645, 14):
        for top in range(0, scene.height - 480, 14):
            frames = (np.asarray(scene.crop((left + n, top, left + n + 640, top + 480))) for n in range(5))
            last = watch(FaceSession(engine, matcher, thresholds), frames)[-1]
            if isinstance(last, Decision):
                assert last.reason is Reason.SPOOF, (left, top)
            else:
                assert last.hint is Hint.COME_CLOSER, (left, top)


@pytest.mark.parametrize("name", ["grace_hopper", "eileen_collins"])
def test_the_virtual_boxs_people_are_found(session: FaceSession, portraits_folder: Path, name: str) -> None:
    book = PictureBook(portraits_folder, (640, 480))
    scene = book.scene(name)
    frames = (np.asarray(scene.crop((dx, 20, dx + 640, 500))) for dx in range(0, 60, 15))
    assert decision_of(watch(session, frames)).handle == name


def test_a_second_comparable_face_asks_for_one_person_and_starts_over(
    session: FaceSession, seen: Seen, side_by_side: Frame
) -> None:
    frames = [seen("grace_hopper"), side_by_side, seen("grace_hopper"), side_by_side, seen("grace_hopper")]
    observations = watch(session, frames)
    assert [o.hint for o in observations if isinstance(o, Guidance)] == [
        Hint.HOLD_STILL,
        Hint.ONE_PERSON,
        Hint.HOLD_STILL,
        Hint.ONE_PERSON,
        Hint.HOLD_STILL,
    ]
    assert decision_of(watch(session, [seen("grace_hopper", 2)], first=6)).frames == 2


def test_a_small_face_far_behind_does_not_stop_the_payer(session: FaceSession, seen: Seen) -> None:
    frame = seen("grace_hopper").copy()
    frame[20:116, 8:136] = np.asarray(seen("eileen_collins"))[::5, ::5]
    assert decision_of(watch(session, [frame] * 2)).handle == "grace_hopper"


def test_two_people_taking_turns_never_agree(session: FaceSession, seen: Seen) -> None:
    turns = (seen(("grace_hopper", "eileen_collins")[number % 2]) for number in range(12))
    assert not any(isinstance(observed, Decision) for observed in watch(session, turns))


def test_a_payer_who_leaves_for_a_moment_starts_over(session: FaceSession, seen: Seen, nobody: Frame) -> None:
    face = seen("grace_hopper")
    observations = watch(session, [face, nobody, face, nobody, face, nobody])
    assert not any(isinstance(observed, Decision) for observed in observations)


def test_a_long_gap_between_frames_breaks_the_track(session: FaceSession, seen: Seen) -> None:
    observations = watch(session, [seen("grace_hopper")] * 5, every_s=1.5)
    assert not any(isinstance(observed, Decision) for observed in observations)


def test_a_slow_machine_may_allow_a_longer_gap(
    engine: FaceEngine, thresholds: Thresholds, gallery: Gallery, seen: Seen
) -> None:
    session = FaceSession(engine, gallery("grace_hopper"), thresholds, max_gap_s=5.0)
    assert decision_of(watch(session, [seen("grace_hopper")] * 2, every_s=3.0)).reason is Reason.MATCHED


def test_a_face_that_jumps_across_the_picture_is_another_track(session: FaceSession, seen: Seen) -> None:
    small = seen("grace_hopper")[::2, ::2]
    left, right = (np.full((480, 640, 3), 120, np.uint8) for _ in range(2))
    left[120:360, :320], right[120:360, 320:] = small, small
    observations = watch(session, [left, right] * 4)
    assert not any(isinstance(o, Decision) and o.reason is Reason.MATCHED for o in observations)


def test_a_frozen_camera_never_decides(session: FaceSession, seen: Seen) -> None:
    face = seen("grace_hopper")
    observations = [session.observe(face, 7, now * 0.1) for now in range(10)]
    assert {type(observed) for observed in observations} == {Guidance}


def test_a_frame_older_than_the_last_one_never_counts(session: FaceSession, seen: Seen) -> None:
    face = seen("grace_hopper")
    observations = [session.observe(face, sequence, 0.1 * n) for n, sequence in enumerate([7, 6, 5, 7, 6])]
    assert {type(observed) for observed in observations} == {Guidance}


def test_a_finished_session_refuses_more_frames(session: FaceSession, seen: Seen) -> None:
    watch(session, [seen("grace_hopper")] * 2)
    with pytest.raises(SessionFinished):
        session.observe(seen("grace_hopper"), 99, 9.0)


def test_a_refused_frame_changes_nothing(session: FaceSession, seen: Seen) -> None:
    session.observe(seen("grace_hopper"), 1, 0.0)
    with pytest.raises(FrameRefused, match="shape"):
        session.observe(np.zeros((480, 640), np.uint8), 2, 0.1)
    assert isinstance(session.observe(seen("grace_hopper", 1), 3, 0.2), Decision)


def test_look_alikes_are_ambiguous(
    engine: FaceEngine, thresholds: Thresholds, gallery: Gallery, seen: Seen, captures: dict[str, object]
) -> None:
    original = captures["grace_hopper"].embedding  # type: ignore[attr-defined]
    twin = original + 0.01 * np.random.default_rng(1).standard_normal(512).astype(np.float32)
    matrix = np.stack([original, twin / np.linalg.norm(twin)]).astype(np.float32)
    session = FaceSession(engine, BruteForceMatcher(["one", "other"], matrix, engine.model_hash), thresholds)
    decision = decision_of(watch(session, [seen("grace_hopper")] * 6))
    assert decision.reason is Reason.AMBIGUOUS
    assert {decision.handle, decision.rival} == {"one", "other"}
    assert decision.margin < thresholds.match.margin


def test_an_embedding_that_is_no_number_never_matches(
    models_folder: Path, manifest: Manifest, thresholds: Thresholds, gallery: Gallery, seen: Seen
) -> None:
    class BrokenEngine(FaceEngine):
        def embed(self, view: FaceView) -> Embedding:
            return np.full(512, np.nan, np.float32)

    broken = BrokenEngine.load(models_folder, manifest)
    observations = watch(FaceSession(broken, gallery("grace_hopper"), thresholds), [seen("grace_hopper")] * 8)
    assert not any(isinstance(observed, Decision) for observed in observations)


def test_templates_of_another_model_are_refused(
    engine: FaceEngine, thresholds: Thresholds, captures: dict[str, object]
) -> None:
    matrix = captures["grace_hopper"].embedding[None]  # type: ignore[attr-defined]
    with pytest.raises(GalleryRefused, match="model"):
        FaceSession(engine, BruteForceMatcher(["grace"], matrix, "0" * 64), thresholds)


def test_a_gallery_larger_than_calibrated_is_refused(engine: FaceEngine, thresholds: Thresholds) -> None:
    matrix = np.zeros((10_001, 512), np.float32)
    matrix[:, 0] = 1
    matcher = BruteForceMatcher([str(n) for n in range(10_001)], matrix, engine.model_hash)
    with pytest.raises(ThresholdsRefused, match="10000"):
        FaceSession(engine, matcher, thresholds)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        pytest.param(lambda f: np.clip(f * 0.15, 0, 255).astype(np.uint8), Hint.TOO_DARK, id="dark"),
        pytest.param(lambda f: np.clip(f * 1.0 + 130, 0, 255).astype(np.uint8), Hint.TOO_BRIGHT, id="bright"),
        pytest.param(lambda f: f[::12, ::12].repeat(12, 0).repeat(12, 1), None, id="coarse"),
        pytest.param(lambda f: np.asarray(Image.fromarray(f).filter(GaussianBlur(7))), Hint.BLURRED, id="blurred"),
        pytest.param(lambda f: np.asarray(Image.fromarray(f).rotate(35)), Hint.LOOK_AT_CAMERA, id="tilted"),
    ],
)
def test_a_bad_view_is_said_and_does_not_count(
    session: FaceSession, seen: Seen, change: Callable[[Frame], Frame], hint: Hint | None
) -> None:
    observed = session.observe(change(seen("grace_hopper")), 1, 0.0)
    assert isinstance(observed, Guidance)
    if hint:
        assert observed.hint is hint


def test_a_far_face_is_asked_to_come_closer(session: FaceSession, seen: Seen) -> None:
    frame = np.full((480, 640, 3), 128, np.uint8)
    frame[180:300, 240:400] = seen("grace_hopper")[::4, ::4]
    observed = session.observe(frame, 1, 0.0)
    assert isinstance(observed, Guidance)
    assert observed.hint is Hint.COME_CLOSER


def test_a_face_half_out_of_the_picture_is_not_judged(session: FaceSession, seen: Seen) -> None:
    face = seen("grace_hopper")
    cut = np.concatenate([face[:, 330:], np.full((480, 330, 3), 120, np.uint8)], axis=1)
    observations = watch(session, [np.ascontiguousarray(cut)] * 6)
    assert not any(isinstance(observed, Decision) for observed in observations)

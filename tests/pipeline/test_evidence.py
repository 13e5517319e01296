"""Several frames of one track decide together: by the mean of their embeddings, and only where they agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.decision import Decision, Reason
from pipeline.engine import Face, FaceEngine, FaceView
from pipeline.evidence import Judged, fuse
from pipeline.liveness import Liveness
from pipeline.match import BruteForceMatcher, Embedding
from pipeline.quality import Pose, Quality
from pipeline.session import FaceSession
from pipeline.thresholds import Thresholds

Frame = NDArray[np.uint8]
QUALITY = Quality(height=0.5, pixels=240, margin=0.2, luma=120, sharpness=10, pose=Pose(0, 0, 0), detector_score=0.99)
VIEW = FaceView(Face((0, 0, 9, 9), 0.99), np.zeros((68, 2), np.float32), np.zeros((112, 112, 3), np.uint8), QUALITY)


def unit(vector: NDArray[np.float64]) -> Embedding:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def people(*vectors: Embedding) -> BruteForceMatcher:
    return BruteForceMatcher([f"person-{n}" for n in range(len(vectors))], np.stack(vectors), "0" * 64)


def judged(matcher: BruteForceMatcher, *embeddings: Embedding) -> list[Judged]:
    return [Judged(VIEW, Liveness(1.0, 0.0), embedding, matcher.search(embedding)) for embedding in embeddings]


def near(target: Embedding, noise: float, seed: int) -> Embedding:
    return unit(target + noise * np.random.default_rng(seed).standard_normal(512) / np.sqrt(512))


A, B = (unit(np.random.default_rng(seed).standard_normal(512)) for seed in (1, 2))


@given(st.integers(1, 6), st.floats(0.05, 1.5), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_the_fused_score_is_the_mean_cosine_and_never_above_the_best_frames(
    thresholds: Thresholds, count: int, noise: float, seed: int
) -> None:
    matcher = people(A)
    frames = judged(matcher, *(near(A, noise, seed * 10 + n) for n in range(count)))
    evidence = fuse(frames, matcher, 0.1, thresholds.match)
    assert evidence is not None
    cosines = [float(frame.embedding @ A) for frame in frames if frame.embedding is not None]
    assert evidence.score == pytest.approx(np.mean(cosines), abs=1e-4)
    assert evidence.score <= max(cosines) + 1e-5


def test_frames_that_agree_match_and_frames_of_two_minds_decide_nothing(thresholds: Thresholds) -> None:
    matcher = people(A, B)
    agreed = fuse(judged(matcher, near(A, 0.3, 1), near(A, 0.3, 2)), matcher, 0.5, thresholds.match)
    assert agreed is not None
    assert (agreed.reason, agreed.handle) == (Reason.MATCHED, "person-0")
    mostly_a = judged(matcher, near(A, 0.1, 1), near(A, 0.1, 2), near(unit(0.6 * A + 0.8 * B), 0.1, 3))
    assert [frame.found.handle for frame in mostly_a if frame.found] == ["person-0", "person-0", "person-1"]
    assert fuse(mostly_a, matcher, 0.5, thresholds.match) is None


def test_two_look_alikes_are_both_named(thresholds: Thresholds) -> None:
    twin = near(A, 0.1, 9)
    matcher = people(A, twin)
    between = fuse(judged(matcher, near(A, 0.2, 1), near(twin, 0.2, 2)), matcher, 0.5, thresholds.match)
    assert between is not None
    assert between.reason is Reason.AMBIGUOUS
    assert {between.handle, between.rival} == {"person-0", "person-1"}


def test_who_is_near_nobody_is_a_stranger_and_an_empty_gallery_is_said_so(thresholds: Thresholds) -> None:
    matcher = people(A, B)
    stranger = fuse(judged(matcher, near(-A, 0.2, 1), near(-A, 0.2, 2)), matcher, 0.5, thresholds.match)
    assert stranger is not None
    assert (stranger.reason, stranger.handle) == (Reason.STRANGER, None)
    empty = BruteForceMatcher([], np.zeros((0, 512), np.float32), "0" * 64)
    nobody = fuse(judged(empty, A, A), empty, 0.5, thresholds.match)
    assert nobody is not None
    assert nobody.reason is Reason.GALLERY_EMPTY


def test_identity_is_read_from_the_best_frames_only(
    engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Callable[..., Frame]
) -> None:
    embedded: list[float] = []

    class Noting(FaceEngine):
        """Every other frame is a poor one; which ones are embedded is written down."""

        looks = 0

        def view(self, *arguments: object) -> FaceView:
            view = super().view(*arguments)  # type: ignore[arg-type]
            self.looks += 1
            return replace(view, quality=replace(view.quality, pose=Pose(28.0 if self.looks % 2 else 1.0, 0, 0)))

        def embed(self, view: FaceView) -> Embedding:
            embedded.append(view.quality.pose.yaw)
            return super().embed(view)

    patient = thresholds.model_copy(update={"liveness": thresholds.liveness.model_copy(update={"frames": 4})})
    session = FaceSession(Noting(engine.models, engine.manifest), gallery("grace_hopper"), patient)
    for number in range(8):
        outcome = session.observe(seen("grace_hopper", number), number, number * 0.1)
        if isinstance(outcome, Decision):
            break
    assert isinstance(outcome, Decision)
    assert outcome.handle == "grace_hopper"
    assert embedded == [1.0, 1.0]


def test_a_few_live_frames_do_not_buy_one_of_a_photograph(
    engine: FaceEngine, thresholds: Thresholds, gallery: Callable[..., BruteForceMatcher], seen: Callable[..., Frame]
) -> None:
    """The mean is still live; the doubtful frame is the best one, and is not read."""

    class Mixed(FaceEngine):
        lives = 0
        shown = 0

        def live(self, *_: object) -> float:
            self.lives += 1
            return 0.3 if self.lives == 3 else 0.95

        def view(self, *arguments: object) -> FaceView:
            view = super().view(*arguments)  # type: ignore[arg-type]
            self.shown += 1
            return replace(view, quality=replace(view.quality, pose=Pose(0.0 if self.shown == 3 else 20.0, 0, 0)))

        def embed(self, view: FaceView) -> Embedding:
            assert view.quality.pose.yaw == 20.0
            return super().embed(view)

    patient = thresholds.model_copy(update={"liveness": thresholds.liveness.model_copy(update={"frames": 4})})
    session = FaceSession(Mixed(engine.models, engine.manifest), gallery("grace_hopper"), patient)
    for number in range(8):
        if isinstance(session.observe(seen("grace_hopper", number), number, number * 0.1), Decision):
            break
    else:
        raise AssertionError("it never decided")

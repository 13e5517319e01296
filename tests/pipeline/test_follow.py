"""The subject between two detections: followed while it is certainly the same, looked for again when it is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.boxes import iou
from pipeline.decision import Guidance, Hint
from pipeline.engine import FaceEngine, Stopwatch
from pipeline.follow import follow, look_of
from pipeline.match import BruteForceMatcher
from pipeline.picture import Picture
from pipeline.session import FaceSession
from pipeline.thresholds import Thresholds
from pipeline.track import Subject, Track

Frame = NDArray[np.uint8]
Seen = Callable[..., Frame]
Gallery = Callable[..., BruteForceMatcher]


class Counting:
    """How often faces were searched for, and the rest as the engine does it."""

    def __init__(self, engine: FaceEngine) -> None:
        self._engine = engine
        self.detections = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def detect(self, image: object) -> object:
        self.detections += 1
        return self._engine.detect(image)  # type: ignore[arg-type]


@pytest.fixture
def rarely(thresholds: Thresholds) -> Thresholds:
    """Detection every 30th frame: whatever else detects is doubt."""
    return thresholds.model_copy(update={"track": thresholds.track.model_copy(update={"detect_every": 30})})


def noisy(frame: Frame, number: int) -> Frame:
    noise = np.random.default_rng(number).integers(-1, 2, frame.shape, dtype=np.int16)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def test_faces_are_searched_for_in_every_nth_frame_only(engine: FaceEngine, thresholds: Thresholds, seen: Seen) -> None:
    counting, watch = Counting(engine), Stopwatch()
    track = Track(counting, thresholds, None)  # type: ignore[arg-type]
    for number in range(7):
        assert isinstance(track.advance(seen("grace_hopper", number), number, number * 0.1, watch), Subject)
    assert (thresholds.track.detect_every, counting.detections, track.number) == (3, 3, 0)


def test_a_followed_box_stays_where_detection_would_put_it(engine: FaceEngine, rarely: Thresholds, seen: Seen) -> None:
    track, watch = Track(engine, rarely, None), Stopwatch()
    for number in range(25):
        subject = track.advance(np.roll(seen("grace_hopper"), number * 3, axis=1), number, number * 0.1, watch)
        assert isinstance(subject, Subject)
    detected = engine.detect(subject.picture)[0]
    assert iou(subject.view.face.box, detected.box) > 0.75
    assert track.number == 0


def test_somebody_else_in_the_same_place_is_not_followed(
    engine: FaceEngine, thresholds: Thresholds, seen: Seen
) -> None:
    first, second = Picture.of(seen("grace_hopper")), Picture.of(seen("eileen_collins"))
    for one, other in ((first, second), (second, first)):
        view = engine.look(one, engine.detect(one)[0])
        assert follow(engine, other, view, look_of(view.aligned), thresholds.track) is None
        assert follow(engine, one, view, look_of(view.aligned), thresholds.track) is not None


def test_nobody_in_the_same_place_is_not_followed(
    engine: FaceEngine, thresholds: Thresholds, seen: Seen, nobody: Frame
) -> None:
    picture = Picture.of(seen("grace_hopper"))
    view = engine.look(picture, engine.detect(picture)[0])
    for empty in (nobody, np.zeros_like(nobody), np.random.default_rng(1).integers(0, 256, nobody.shape, np.uint8)):
        assert follow(engine, Picture.of(empty), view, look_of(view.aligned), thresholds.track) is None


def test_faces_swapped_between_two_detections_start_over(
    engine: FaceEngine, rarely: Thresholds, gallery: Gallery, seen: Seen
) -> None:
    """The attack: a live accomplice is looked for, then somebody else's face slips into the same place."""
    endless = rarely.model_copy(update={"track": rarely.track.model_copy(update={"frames_to_match": 8})})
    session = FaceSession(engine, gallery("grace_hopper", "eileen_collins"), endless)
    for turn in range(10):
        name = ("grace_hopper", "eileen_collins")[turn % 2]
        for step in range(3):
            number = turn * 3 + step
            observed = session.observe(seen(name, number % 10), number, number * 0.1)
            assert isinstance(observed, Guidance), "neither face was there for as many frames as a match needs"


def test_a_face_that_is_shown_for_the_last_frame_only_does_not_pay(
    engine: FaceEngine, rarely: Thresholds, gallery: Gallery, seen: Seen
) -> None:
    session = FaceSession(engine, gallery("grace_hopper"), rarely)
    session.observe(seen("eileen_collins"), 1, 0.1)
    assert isinstance(session.observe(seen("grace_hopper"), 2, 0.2), Guidance)


def test_a_second_person_who_joins_between_two_detections_stops_the_decision(
    engine: FaceEngine, rarely: Thresholds, seen: Seen
) -> None:
    """The frame a decision would rest on is always searched for faces."""
    alone = np.full((480, 640, 3), 120, np.uint8)
    half = Image.fromarray(np.asarray(seen("grace_hopper"))[:, 160:480]).resize((320, 480))
    alone[:, :320] = np.asarray(half)
    joined = alone.copy()
    joined[:, 320:] = np.asarray(seen("eileen_collins"))[:, 160:480]
    track, watch = Track(engine, rarely, None), Stopwatch()
    assert isinstance(track.advance(alone, 1, 0.1, watch), Subject)
    followed = track.advance(noisy(joined, 2), 2, 0.2, watch)
    assert isinstance(followed, Subject), "nobody was looked for in this frame"
    assert not track.confirmed(followed.picture, watch)
    again = track.advance(noisy(joined, 3), 3, 0.3, watch)
    assert isinstance(again, Guidance)
    assert again.hint is Hint.ONE_PERSON


def test_a_camera_that_repeats_its_picture_under_new_numbers_never_decides(
    engine: FaceEngine, thresholds: Thresholds, gallery: Gallery, seen: Seen
) -> None:
    session, still = FaceSession(engine, gallery("grace_hopper"), thresholds), seen("grace_hopper")
    assert all(isinstance(session.observe(still.copy(), n, n * 0.1), Guidance) for n in range(10))


def test_following_costs_a_small_part_of_an_analysis(engine: FaceEngine, rarely: Thresholds, seen: Seen) -> None:
    """Counted in models, not in time: of all of them only the landmarks run."""
    ran: list[str] = []
    models = {}
    for role, model in engine.models.items():
        models[role] = Noting(role, model, ran)
    noting = FaceEngine(models, engine.manifest)  # type: ignore[arg-type]
    track, watch = Track(noting, rarely, None), Stopwatch()
    track.advance(seen("grace_hopper"), 1, 0.1, watch)
    ran.clear()
    assert isinstance(track.advance(seen("grace_hopper", 2), 2, 0.2, watch), Subject)
    assert ran == ["landmarks"]


class Noting:
    """A model that writes down its runs."""

    def __init__(self, role: str, model: object, ran: list[str]) -> None:
        self._role, self._model, self._ran = role, model, ran

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def run(self) -> object:
        self._ran.append(self._role)
        return self._model.run()  # type: ignore[attr-defined]


def test_closed_eyes_are_told_against_the_payers_own(engine: FaceEngine, thresholds: Thresholds, seen: Seen) -> None:
    track, watch = Track(engine, thresholds, None), Stopwatch()
    assert isinstance(track.advance(seen("grace_hopper"), 1, 0.1, watch), Subject)
    assert track._view is not None
    shut = track._view.landmarks.copy()
    for outer in (36, 42):
        middle = shut[outer : outer + 6, 1].mean()
        shut[outer : outer + 6, 1] = middle + 0.3 * (shut[outer : outer + 6, 1] - middle)
    engine_with_shut_eyes = Shut(engine, shut)
    track._engine = engine_with_shut_eyes  # type: ignore[assignment]
    observed = track.advance(noisy(seen("grace_hopper"), 2), 2, 0.2, watch)
    assert isinstance(observed, Guidance)
    assert observed.hint is Hint.OPEN_EYES


class Shut:
    """An engine that sees these landmarks."""

    def __init__(self, engine: FaceEngine, landmarks: NDArray[np.float32]) -> None:
        self._engine, self._landmarks = engine, landmarks

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def landmarks(self, picture: object, face: object) -> NDArray[np.float32]:
        return self._landmarks

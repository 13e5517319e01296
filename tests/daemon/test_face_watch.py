"""The face side's thread: what the pipeline says reaches the screen; what can't be recognised by is named."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np
import pytest

from daemon.box_events import newest_only
from daemon.people.face_watch import (
    CameraFound,
    CameraLost,
    Faces,
    FacesLoaded,
    FacesRefused,
    FacesUsable,
    FaceWatch,
    ForPayment,
    Seen,
)
from hal.camera import Frame
from hal.camera_v4l2 import V4l2Options
from hal.drivers import Rig, build_camera
from hal.virtual.camera import VirtualCamera
from hal.virtual.samples import pull_samples
from pipeline.decision import Challenge
from pipeline.engine import FaceEngine
from pipeline.match import BruteForceMatcher, Matcher
from pipeline.models.manifest import load_manifest
from pipeline.models.pull import pull
from pipeline.thresholds import PROVISIONAL, load_thresholds

REPO = Path(__file__).resolve().parents[2]
STATE = REPO / ".kingfisher"
WANTED = ForPayment("order-1", 1)


class Doubting(FaceEngine):
    """An engine whose liveness models can't tell."""

    def live(self, image: object, face: object) -> float:
        return 0.35


@pytest.fixture(scope="module")
def engine() -> FaceEngine:
    pull(STATE / "models", npm_lock=REPO / "script" / "locks" / "npm.txt")
    pull_samples(STATE / "samples", REPO / "script" / "locks" / "samples.txt")
    return FaceEngine.load(STATE / "models", load_manifest())


class Telling(VirtualCamera):
    """A virtual camera that tells of each picture it takes."""

    def __init__(self, pictures: Path, taken: Callable[[], None]) -> None:
        super().__init__(pictures)
        self._taken = taken

    def read(self, timeout_s: float) -> Frame:
        frame = super().read(timeout_s)
        self._taken()
        return frame


class Watched:
    """A running face watch before a virtual camera; `next_of` waits for the next report of a kind, and `at_screen` is
    called where it waits for the screen that asks for a face."""

    def __init__(self, engine: FaceEngine, rows: int) -> None:
        self.rows = rows
        self.engine = engine
        self._reports: Queue[Any] = Queue()
        self.happened: list[str] = []
        self.at_screen: Callable[[], None] = lambda: None
        camera = Telling(STATE / "samples", lambda: self.happened.append("taken"))
        camera.choose("grace_hopper")
        thresholds = load_thresholds(PROVISIONAL, engine.manifest)
        self.watch = FaceWatch(
            camera,
            lambda: Faces(engine, thresholds, self._matcher, draw=lambda: random.Random(4)),
            frame_timeout_s=2.0,
            report=self._reports.put,
            preview=lambda image: self.happened.append("picture"),
            wait_for_look=self._screen,
        )
        self.watch.start()

    def _screen(self) -> None:
        self.happened.append("screen")
        self.at_screen()

    def _matcher(self, payer: str | None) -> Matcher:
        matrix = np.zeros((self.rows, 512), np.float32)
        matrix[:, 0] = 1
        return BruteForceMatcher([str(n) for n in range(self.rows)], matrix, self.engine.model_hash)

    def next_of(self, *kinds: type) -> Any:
        while True:
            try:
                report = self._reports.get(timeout=30)
            except Empty:
                raise AssertionError(f"no {kinds} was reported") from None
            if isinstance(report, kinds):
                return report


@pytest.fixture
def watched(request: pytest.FixtureRequest, engine: FaceEngine) -> Iterator[Watched]:
    kind, rows = request.param
    before = threading.active_count()
    made = Watched(kind(engine.models, engine.manifest), rows)
    yield made
    made.watch.stop()
    assert threading.active_count() <= before


@pytest.mark.parametrize("watched", [(FaceEngine, 10_001)], indirect=True)
def test_a_gallery_too_large_for_its_thresholds_is_no_missing_camera_and_is_over_when_it_fits(watched: Watched) -> None:
    watched.watch.watch(WANTED)
    assert isinstance(watched.next_of(CameraFound, FacesRefused), CameraFound)
    refused = watched.next_of(FacesRefused)
    assert refused.wanted == WANTED
    assert "10000" in refused.why
    watched.rows = 5
    watched.watch.watch(WANTED)
    watched.next_of(FacesUsable)
    assert isinstance(watched.next_of(Seen), Seen)


@pytest.mark.parametrize("watched", [(Doubting, 1)], indirect=True)
def test_a_payer_in_doubt_is_asked_to_act(watched: Watched) -> None:
    watched.watch.watch(WANTED)
    while True:
        seen = watched.next_of(Seen)
        if isinstance(seen.observation, Challenge):
            break
    assert newest_only(seen) == WANTED, "an older request is of no use"


@pytest.mark.parametrize("watched", [(FaceEngine, 1)], indirect=True)
def test_the_first_picture_is_taken_while_the_screen_is_drawn_and_looked_at_only_once_it_stands(
    watched: Watched,
) -> None:
    watched.next_of(CameraFound)
    watched.happened.clear()
    watched.watch.watch(WANTED)
    watched.next_of(Seen)
    assert watched.happened[:3] == ["taken", "screen", "picture"]
    assert watched.happened.count("screen") == 1, "once for each payer, not for each frame"


@pytest.mark.parametrize("watched", [(FaceEngine, 1)], indirect=True)
def test_nobody_looks_at_the_picture_of_a_payer_who_left_while_the_screen_was_drawn(watched: Watched) -> None:
    gone = threading.Event()

    def leaves() -> None:
        watched.watch.rest()
        gone.set()

    watched.next_of(CameraFound)
    watched.happened.clear()
    watched.at_screen = leaves
    watched.watch.watch(WANTED)
    assert gone.wait(30)
    watched.at_screen = lambda: None
    watched.watch.watch(ForPayment("order-2", 2))
    assert watched.next_of(Seen).wanted == ForPayment("order-2", 2)
    assert watched.happened[:5] == ["taken", "screen", "taken", "screen", "picture"]


def test_the_box_shows_and_forgets_the_condition_by_its_own_name(rig: Any) -> None:
    box = rig()
    box.start()
    box.parts.queue.put(FacesRefused(None, "calibrated for up to 10000 templates, the gallery has 10001"))
    assert box.until(lambda: "faces_refused" in dict(box.parts.board.snapshot.conditions))
    assert "no_camera" not in dict(box.parts.board.snapshot.conditions)
    box.parts.queue.put(FacesUsable())
    assert box.until(lambda: "faces_refused" not in dict(box.parts.board.snapshot.conditions))


def without_a_camera(engine: FaceEngine, folder: Path, report: Callable[[Any], None]) -> FaceWatch:
    """In a process of its own, as on any box; there is no such device."""
    return FaceWatch(
        build_camera(V4l2Options(path=folder / "video0"), Rig()),
        lambda: Faces(
            engine,
            load_thresholds(PROVISIONAL, engine.manifest),
            lambda payer: BruteForceMatcher((), np.empty((0, 512), np.float32), ""),
        ),
        frame_timeout_s=20.0,
        report=report,
        preview=lambda image: None,
    )


def test_a_missing_camera_that_is_looked_for_again_is_not_found_in_between(engine: FaceEngine, tmp_path: Path) -> None:
    reports: Queue[Any] = Queue()
    looked: Queue[str] = Queue()
    watch = without_a_camera(engine, tmp_path, reports.put)
    watch.start()
    try:
        assert isinstance(reports.get(timeout=60), FacesLoaded)
        assert isinstance(reports.get(timeout=60), CameraLost)
        for _ in range(2):
            watch.peek(lambda image, why: looked.put(why))
            assert "No such file" in looked.get(timeout=60)
    finally:
        watch.stop()
    said = [reports.get_nowait() for _ in range(reports.qsize())]
    assert not [report for report in said if isinstance(report, CameraFound)]


def test_a_camera_that_is_not_there_is_missed_before_any_payer_comes(engine: FaceEngine, tmp_path: Path) -> None:
    reports: Queue[Any] = Queue()
    watch = without_a_camera(engine, tmp_path, reports.put)
    watch.start()
    try:
        first, second = reports.get(timeout=60), reports.get(timeout=60)
    finally:
        watch.stop()
    assert isinstance(first, FacesLoaded)
    assert isinstance(second, CameraLost)
    assert second.wanted is None
    assert "No such file" in second.why

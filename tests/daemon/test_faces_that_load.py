"""The models load while the box is up already: what it says meanwhile, and of itself when they are refused."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from daemon.first_things import First, FirstThings
from daemon.notify import Notify
from daemon.people.face_watch import (
    CameraLost,
    Faces,
    FacesLoaded,
    FacesLoading,
    FaceWatch,
    ForPayment,
)
from daemon.screen import views
from hal.null import NullCamera
from pipeline.errors import ModelRefused, PipelineError
from pipeline.match import BruteForceMatcher

WANTED = ForPayment("order-1", 1)
REFUSED = ModelRefused((("face.onnx", "00", "a file of another hash"),), "pull the models again")
NO_FACES = Faces(None, None, lambda payer: BruteForceMatcher((), [], ""))  # type: ignore[arg-type]


class Loading:
    """A face side whose models load when `loads` is set, with the outcome that is wanted."""

    def __init__(self, refused: PipelineError | None = None) -> None:
        self.refused, self.loads, self.began = refused, threading.Event(), threading.Event()
        self.reports: Queue[Any] = Queue()
        self.watch = FaceWatch(
            NullCamera(), self._load, frame_timeout_s=1, report=self.reports.put, preview=lambda image: None
        )
        self.watch.start()

    def _load(self) -> Faces:
        self.began.set()
        assert self.loads.wait(60)
        if self.refused is not None:
            raise self.refused
        return NO_FACES

    def next(self) -> Any:
        return self.reports.get(timeout=60)


@pytest.fixture
def loading() -> Iterator[Callable[..., Loading]]:
    made: list[Loading] = []

    def make(refused: PipelineError | None = None) -> Loading:
        made.append(Loading(refused))
        return made[-1]

    yield make
    for one in made:
        one.loads.set()
        one.watch.stop()


def test_who_comes_before_the_models_are_loaded_is_told_so_and_makes_them_load(loading: Callable[..., Loading]) -> None:
    side = loading()
    side.watch.watch(WANTED)
    assert side.next() == FacesLoading(WANTED)
    assert side.began.wait(60), "nobody said begin, but somebody is waiting"
    side.loads.set()
    assert side.next() == FacesLoaded()


def test_the_camera_is_opened_after_the_models_are_loaded(loading: Callable[..., Loading]) -> None:
    side = loading()
    side.watch.begin()
    side.loads.set()
    assert side.next() == FacesLoaded()
    assert isinstance(side.next(), CameraLost), "there is none: it was tried to open"


def test_models_that_are_refused_are_reported_with_their_reason(loading: Callable[..., Loading]) -> None:
    side = loading(REFUSED)
    side.watch.begin()
    side.loads.set()
    assert side.next() == FacesLoaded(REFUSED)


def test_the_screen_tells_the_payer_to_wait_a_moment(rig: Any) -> None:
    box = rig()
    box.start()
    box.say("order", box.order("order-1"))
    assert box.until(lambda: isinstance(box.box._front.view, views.Look))
    box.parts.queue.put(FacesLoading(WANTED))
    assert box.until(lambda: getattr(box.box._front.view, "hint", None) == views.Condition.FACES_LOADING)


def test_the_box_is_up_only_when_its_models_are_loaded(rig: Any, tmp_path: Path) -> None:
    box = rig()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        object.__setattr__(box.parts, "notify", Notify(systemd.getsockname(), None))
        box.start()
        box.parts.queue.put(FacesLoaded())
        said = [systemd.recv(4096).decode()]
        while said[-1] != "READY=1":
            said.append(systemd.recv(4096).decode())
        assert said[:-1] == [line for line in said[:-1] if line.startswith("STATUS=")]


def test_a_box_whose_models_are_refused_ends_with_that_error(rig: Any) -> None:
    from daemon.box import Box

    box = rig()
    box.parts.queue.put(FacesLoaded(REFUSED))
    with pytest.raises(ModelRefused, match=r"face\.onnx"):
        Box(box.parts).run()


def test_what_can_wait_begins_when_both_the_screen_is_drawn_and_the_fleet_reached() -> None:
    begun: list[str] = []
    first = FirstThings(lambda: begun.append("faces"))
    first.done(First.LINK)
    first.done(First.LINK)
    assert begun == []
    first.done(First.SCREEN)
    first.done(First.LINK)
    assert begun == ["faces"]

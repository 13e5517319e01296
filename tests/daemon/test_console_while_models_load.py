"""The control socket of a box whose models are still being loaded: what is lent, and what a technician is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.box_events import ConditionChanged
from daemon.console import desk as desk_module
from daemon.console import pages
from daemon.console.control import ControlSocket
from daemon.console.desk import Desk
from daemon.console.errors import Refused
from daemon.console.lending import Lending
from daemon.console.recent_logs import RecentLogs
from daemon.console.store_desk import StoreDesk
from daemon.console.wire import ControlClient
from daemon.health.watches import CameraEye
from daemon.people.face_watch import Faces, FaceWatch
from daemon.screen.views import Condition
from hal.camera import Frame
from hal.errors import DeadlineExceeded
from pipeline.match import BruteForceMatcher


class SlowCamera:
    """Gives its pictures once `shutter` is open."""

    name = "slow"

    def __init__(self) -> None:
        self.shutter = threading.Event()
        self.sequence = 0

    def open(self) -> None:
        pass

    def read(self, timeout_s: float) -> Frame:
        if not self.shutter.wait(timeout_s):
            raise DeadlineExceeded(self.name, timeout_s)
        self.sequence += 1
        return Frame(np.full((48, 64, 3), 128, np.uint8), self.sequence, time.monotonic())

    def close(self) -> None:
        pass


@dataclass
class Starting:
    """A box whose control socket answers, whose loop runs once `rig.start()` is called, and whose models load once
    `loads` is set."""

    rig: Any
    faces: FaceWatch
    camera: SlowCamera
    loads: threading.Event
    control: ControlSocket

    @property
    def client(self) -> ControlClient:
        return ControlClient(self.control.path.parent)

    def refusal(self, command: str, **args: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            self.client.ask(command, **args)
        return caught.value

    def up(self) -> None:
        self.rig.start()
        assert self.rig.until(lambda: not self.rig.parts.board.snapshot.starting)


@pytest.fixture
def box(rig: Callable[..., Any], tmp_path: Path) -> Iterator[Starting]:
    made, camera, loads = rig(settings="[face]\nframe_timeout_s = 20\n"), SlowCamera(), threading.Event()

    def load() -> Faces:
        assert loads.wait(120)
        return Faces(None, None, lambda payer: BruteForceMatcher((), [], ""))  # type: ignore[arg-type]

    faces = FaceWatch(camera, load, frame_timeout_s=20, report=made.queue.put, preview=made.parts.painter.preview)
    made.parts = replace(made.parts, faces=faces, lending=Lending(faces, made.parts.painter))
    p = made.parts
    desk = Desk(
        in_force=lambda: p.applier.config, board=p.board, db=made.db, clock=p.clock, link=made.link,
        members=made.members, store=StoreDesk(made.members, made.db, p.clock, tmp_path, lambda *news: None),
        logs=RecentLogs(), display_size=lambda: (800, 480), tls=None, model_hash="0" * 64, software="0",
        send=made.queue.put, restart=lambda: made.restarts.append("asked"), began_s=time.monotonic(),
    )  # fmt: skip
    (tmp_path / "control").mkdir()
    control = ControlSocket(tmp_path / "control", desk.answer)
    control.start()
    made.queue.put(ConditionChanged(Condition.FACES_LOADING, True, "the models are being loaded"))
    faces.start()
    yield Starting(made, faces, camera, loads, control)
    loads.set()
    camera.shutter.set()
    made.stop()
    control.stop()
    faces.stop()


def test_the_camera_of_a_box_whose_models_load_is_not_waited_for_but_the_models_are_named(box: Starting) -> None:
    box.up()
    refused = box.refusal("camera")
    assert refused.reason == "faces_loading"
    assert "models" in refused.why
    assert "wait" in refused.hint
    assert "`status`" in refused.hint
    [condition] = [c for c in box.client.ask("status")["conditions"] if c["name"] == "faces_loading"]
    assert condition["suggestion"].startswith("wait: the models are being loaded")
    findings = {finding["check"]: finding for finding in box.client.ask("doctor")}
    assert findings["faces_loading"]["detail"] == "the models are being loaded"
    box.loads.set()
    box.camera.shutter.set()
    assert box.rig.until(lambda: "faces_loading" not in dict(box.rig.parts.board.snapshot.conditions))
    assert box.client.ask("camera")["size"] == [64, 48]


def test_what_does_not_hang_on_the_models_works_while_they_load(box: Starting, tmp_path: Path) -> None:
    box.up()
    assert box.client.ask("keypad", seconds=0.2) == {"keys": 0}
    assert box.client.ask("display", seconds=0.2) == {"shown_s": 0.2}
    assert isinstance(box.client.ask("journal"), list)
    assert isinstance(box.client.ask("logs"), list)
    assert box.client.ask("config")["face"]["frame_timeout_s"] == 20
    assert box.client.ask("net")["broker"]["well"] is False
    assert box.client.ask("restart") == {"restarting": True}
    assert box.rig.restarts == ["asked"]


@pytest.mark.parametrize(
    ("command", "args"),
    [("camera", {}), ("keypad", {}), ("display", {}), ("restart", {}), ("reboot", {}), ("refund", {"order": "o1"})],
)
def test_before_the_main_loop_runs_nobody_is_told_of_an_order_that_is_not_there(
    box: Starting, command: str, args: dict[str, Any]
) -> None:
    refused = box.refusal(command, **args)
    assert refused.reason == "starting"
    assert "the daemon is starting" in refused.why
    assert "wait" in refused.hint
    assert box.rig.restarts == []


def test_before_the_main_loop_runs_nothing_is_said_to_be_well(box: Starting) -> None:
    status = "\n".join(pages.end("status", box.client.ask("status")))
    assert "all is well" not in status
    assert "not known yet: the daemon is starting" in status


def test_a_box_that_hangs_in_its_start_can_be_begun_anew_all_the_same(box: Starting) -> None:
    assert box.client.ask("restart", force=True) == {"restarting": True}


def test_where_a_picture_takes_long_it_is_said_how_long_and_the_technician_gets_it(
    box: Starting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "SAY_EVERY_S", 0.2)
    box.up()
    box.loads.set()
    assert box.rig.until(lambda: box.faces._loaded)
    answer = box.client.follow("camera")
    over, said = next(answer)
    assert not over
    assert said["most_s"] == 45, "two pictures' time, and the lending's"
    assert pages.part("camera", said).endswith("it may take 45 s here")
    box.camera.shutter.set()
    *_, (over, picture) = answer
    assert over
    assert len(picture["rows"]) == 24


def test_models_that_load_do_not_make_the_camera_a_missing_one(box: Starting) -> None:
    assert CameraEye(box.faces.peek, 60.0, 1).look() == {}

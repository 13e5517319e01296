"""The face side, on a thread of its own: camera frames in, hints and decisions out, tagged with whom they are for.

The models are loaded here too, so that a start need not wait for them: when `begin` says so, or a face is wanted.
The camera is read only while a payment or an enrolment wants a face. A camera that fails is closed and opened again
with back-off; whoever waits for a face is told at once that there is none to be had.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from daemon.logs import note
from hal.camera import Camera, Frame
from hal.errors import DeadlineExceeded, HalError
from pipeline.capture import Capture, EnrolmentSession
from pipeline.decision import Challenge, Decision, Guidance, Hint
from pipeline.engine import FaceEngine
from pipeline.errors import PipelineError
from pipeline.match import Matcher
from pipeline.session import FaceSession
from pipeline.smile import Smiled, SmileSession
from pipeline.thresholds import Thresholds

log = logging.getLogger("daemon.people.face_watch")

REOPEN_FIRST_S = 0.5
REOPEN_LONGEST_S = 10.0
BEGIN_WITHIN_S = 5.0  # without `begin`: no network, or no display


@dataclass(frozen=True, slots=True)
class ForPayment:
    """`payer`: the face is held against this one's alone (1:1); None: against everybody's. `challenge`: nobody is
    matched who has not turned and blinked."""

    order_id: str
    epoch: int
    payer: str | None = None
    challenge: bool = False


@dataclass(frozen=True, slots=True)
class ForEnrolment:
    command_id: str


@dataclass(frozen=True, slots=True)
class ForGate:
    """Whoever comes into view is to be let through, or not. Each look has a number of its own. `challenge`: as for a
    payment."""

    number: int
    challenge: bool = False


@dataclass(frozen=True, slots=True)
class ForSmile:
    """Somebody who has paid wants to smile for a coupon: nobody is recognised, nothing is kept."""

    order_id: str
    epoch: int


Wanted = ForPayment | ForEnrolment | ForGate | ForSmile
Session = FaceSession | EnrolmentSession | SmileSession


@dataclass(frozen=True, slots=True)
class Seen:
    """What the pipeline said of one frame, for whom. `progress` (0..1) is of an enrolment."""

    wanted: Wanted
    observation: Guidance | Challenge | Decision | Capture | Smiled
    progress: float = 0.0


@dataclass(frozen=True, slots=True)
class CameraLost:
    """No picture can be had. `wanted` is who waits for one, if anybody."""

    wanted: Wanted | None
    why: str


@dataclass(frozen=True, slots=True)
class CameraFound:
    """The camera gives pictures (again)."""


@dataclass(frozen=True, slots=True)
class FacesRefused:
    """There are pictures, but nobody may be recognised from them: the gallery, the models and the thresholds do not go
    together. `wanted` is who waits, if anybody."""

    wanted: Wanted | None
    why: str


@dataclass(frozen=True, slots=True)
class FacesUsable:
    """Gallery, models and thresholds go together (again)."""


@dataclass(frozen=True, slots=True)
class FacesLoading:
    """Somebody is to be looked for, and the models are not loaded yet: it will be done as soon as they are."""

    wanted: Wanted


@dataclass(frozen=True, slots=True)
class FacesLoaded:
    """The models are what their manifest says, and loaded. `refused`: they are not, and no box runs with them."""

    refused: PipelineError | None = None


News = Seen | CameraLost | CameraFound | FacesLoading | FacesLoaded | FacesRefused | FacesUsable


@dataclass(frozen=True)
class Faces:
    """What is needed to recognise anybody; `matcher(payer)` is of everybody, or of one payer, as the gallery is now.

    `max_gap_s` replaces the thresholds' own on a machine that needs longer for one frame. `draw` gives the chance that
    a challenge's order hangs on.
    """

    engine: FaceEngine
    thresholds: Thresholds
    matcher: Callable[[str | None], Matcher]
    max_gap_s: float | None = None
    draw: Callable[[], random.Random] = random.SystemRandom


class FaceWatch:
    """`watch` and `rest` return at once. `load` and `preview` are called on this thread; `report` too, but for
    `FacesLoading`. Where `load` raises a PipelineError, `FacesLoaded` says so and the thread ends."""

    def __init__(
        self,
        camera: Camera,
        load: Callable[[], Faces],
        *,
        frame_timeout_s: float,
        report: Callable[[News], None],
        preview: Callable[[NDArray[np.uint8]], None],
        wait_for_look: Callable[[], None] = lambda: None,
    ) -> None:
        """`wait_for_look` returns once the screen asks for a face, or after a moment; called on this thread, with the
        first picture taken and not looked at yet: the next one comes a period after it, whoever drew meanwhile."""
        self._camera, self._load = camera, load
        self._frame_timeout_s = frame_timeout_s
        self._report, self._preview, self._wait_for_look = report, preview, wait_for_look
        self._changed = threading.Condition()
        self._wanted: Wanted | None = None
        self._peeks: list[Callable[[NDArray[np.uint8] | None, str], None]] = []
        self._stopping = False
        self._begun = False
        self._loaded = False
        self._open = False
        self._refused = False
        self._thread = threading.Thread(target=self._run, name="face-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self) -> None:
        """Load the models and open the camera now: nothing more urgent is left to do."""
        with self._changed:
            self._begun = True
            self._changed.notify()

    def watch(self, wanted: Wanted) -> None:
        """Look for this one's face from the next frame on; whoever was looked for before is dropped."""
        with self._changed:
            self._wanted = wanted
            loading = self._thread.is_alive() and not self._loaded
            self._changed.notify()
        if loading:
            self._report(FacesLoading(wanted))

    def rest(self) -> None:
        with self._changed:
            self._wanted = None
            self._changed.notify()

    def peek(self, answer: Callable[[NDArray[np.uint8] | None, str], None]) -> None:
        """One picture for a technician, (H, W, 3) RGB, or None and why; none once a payment wants the camera, and none
        before the models are loaded, as the camera is opened after them."""
        with self._changed:
            if self._loaded:
                self._peeks.append(answer)
                self._changed.notify()
                return
        answer(None, "faces_loading")

    def stop(self) -> None:
        """May be called twice."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(self._frame_timeout_s + 3)
        self._camera.close()

    def _run(self) -> None:
        faces = self._loaded_faces()
        if faces is None:
            return
        self._ensure_open(None)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted is not None or self._peeks or self._stopping)
                wanted, peeks, self._peeks = self._wanted, self._peeks, []
            if self._stopping:
                return
            for answer in peeks:
                self._take_a_look(answer)
            if peeks and not self._open:
                self._ensure_open(wanted)
            if wanted is not None and self._ensure_open(wanted):
                self._look_for(wanted, faces)

    def _loaded_faces(self) -> Faces | None:
        """None when the models were refused, or the box ends."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._begun or self._wanted is not None or self._stopping, BEGIN_WITHIN_S
            )  # fmt: skip
            if self._stopping:
                return None
        began_s = time.monotonic()
        try:
            faces = self._load()
        except PipelineError as error:
            self._report(FacesLoaded(error))
            return None
        with self._changed:
            self._loaded = True
        note(log, "faces_loaded", took_ms=(time.monotonic() - began_s) * 1000)
        self._report(FacesLoaded())
        return faces

    def _look_for(self, wanted: Wanted, faces: Faces) -> None:
        session: Session
        try:
            session = _session(wanted, faces)
        except PipelineError as error:
            note(log, "face_session_refused", logging.ERROR, why=str(error))
            self._refused = True
            self._give_up(FacesRefused(wanted, str(error)), wanted)
            return
        if self._refused:
            self._refused = False
            self._report(FacesUsable())
        said: Guidance | Challenge | None = None
        late = 0
        unasked = isinstance(wanted, ForPayment | ForEnrolment)
        near = True  # the next picture may decide: showing it then waits, as drawing and looking hold each other up
        while self._is_wanted(wanted):
            try:
                frame = self._camera.read(self._frame_timeout_s)
                late = 0
            except DeadlineExceeded as error:
                late += 1
                if late >= 2:
                    self._lost(wanted, error)
                    return
                continue
            except HalError as error:
                self._lost(wanted, error)
                return
            if unasked:
                unasked = False
                self._wait_for_look()
                if not self._is_wanted(wanted):
                    return
            if not near:
                self._preview(frame.image)
            observation = self._observe(session, frame)
            if near and not isinstance(observation, Decision):
                self._preview(frame.image)
            near = observation is None or (isinstance(observation, Guidance) and observation.hint is Hint.HOLD_STILL)
            if observation is None:
                continue
            if isinstance(observation, Guidance | Challenge):
                if said is None or _words(said) != _words(observation) or isinstance(session, EnrolmentSession):
                    said = observation
                    self._report(Seen(wanted, observation, _progress(session)))
                continue
            self._settle(wanted, observation)
            return

    def _take_a_look(self, answer: Callable[[NDArray[np.uint8] | None, str], None]) -> None:
        try:
            if not self._open:
                self._open_now()
            image = self._camera.read(self._frame_timeout_s).image
        except HalError as error:
            if not isinstance(error, DeadlineExceeded):
                self._camera.close()
                self._open = False
            answer(None, error.why)
            return
        with self._changed:
            wanted = self._wanted
        answer(None, "order_open") if wanted is not None else answer(image, "")

    def _observe(self, session: Session, frame: Frame) -> Guidance | Challenge | Decision | Capture | Smiled | None:
        try:
            return session.observe(frame.image, frame.sequence, time.monotonic())
        except PipelineError as error:
            note(log, "frame_refused", logging.WARNING, why=str(error))
            return None

    def _settle(self, wanted: Wanted, observation: Decision | Capture | Smiled) -> None:
        if isinstance(observation, Decision):
            note(
                log, "face_decided", reason=observation.reason.value, frames=observation.frames,
                score=observation.score, margin=observation.margin, liveness=observation.liveness,
                because=",".join(observation.because), challenged=observation.challenged,
                compute_ms=observation.timings_ms.get("total", 0.0),
            )  # fmt: skip
        with self._changed:
            if self._wanted == wanted:
                self._wanted = None
        self._report(Seen(wanted, observation))

    def _give_up(self, news: CameraLost | FacesRefused, wanted: Wanted) -> None:
        with self._changed:
            if self._wanted == wanted:
                self._wanted = None
        self._report(news)

    def _lost(self, wanted: Wanted, error: HalError) -> None:
        note(log, "camera_lost", logging.ERROR, why=error.why, hint=error.hint)
        self._camera.close()
        self._open = False
        self._give_up(CameraLost(wanted, error.why), wanted)

    def _open_now(self) -> None:
        """Raises HalError."""
        self._camera.open()
        # A driver in a process of its own says only to the first reader that there is no camera.
        with suppress(DeadlineExceeded):
            self._camera.read(self._frame_timeout_s)
        self._open = True
        self._report(CameraFound())

    def _ensure_open(self, wanted: Wanted | None) -> bool:
        """One try, then back-off that ends early when there is nobody left who waits."""
        wait_s, said = REOPEN_FIRST_S, ""
        while not self._open and not self._stopping:
            try:
                self._open_now()
            except HalError as error:
                self._camera.close()
                if error.why != said:  # not again and again: the card takes each line
                    said = error.why
                    note(log, "camera_unavailable", logging.ERROR, why=error.why, hint=error.hint)
                self._report(CameraLost(wanted, error.why))
                if wanted is not None:
                    with self._changed:
                        self._wanted = None if self._wanted == wanted else self._wanted
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._wanted is not None or self._peeks or self._stopping, wait_s
                    )  # fmt: skip
                    if self._peeks:
                        return False
                    wanted = self._wanted
                wait_s = min(wait_s * 2, REOPEN_LONGEST_S)
        return self._open

    def _is_wanted(self, wanted: Wanted) -> bool:
        with self._changed:
            return self._wanted == wanted and not self._stopping


def _session(wanted: Wanted, faces: Faces) -> Session:
    if isinstance(wanted, ForSmile):
        return SmileSession(faces.engine)
    if isinstance(wanted, ForEnrolment):
        return EnrolmentSession(faces.engine, faces.thresholds, max_gap_s=faces.max_gap_s)
    matcher = faces.matcher(wanted.payer if isinstance(wanted, ForPayment) else None)
    return FaceSession(
        faces.engine, matcher, faces.thresholds, max_gap_s=faces.max_gap_s, draw=faces.draw, challenge=wanted.challenge
    )  # fmt: skip


def _words(said: Guidance | Challenge) -> tuple[str, int, int]:
    """What the payer reads; a challenge may ask for the same again."""
    return (said.hint.value if isinstance(said, Guidance) else said.act.value), said.done, said.steps


def _progress(session: Session) -> float:
    return session.progress if isinstance(session, EnrolmentSession) else 0.0

"""The subject: the one face in front of the box, followed from frame to frame. Any doubt starts over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.boxes import area, iou
from pipeline.decision import Guidance, Hint, RelativeBox
from pipeline.engine import Face, FaceEngine, FaceView, Stopwatch
from pipeline.liveness import Liveness
from pipeline.picture import Box, Picture, Pixels
from pipeline.quality import advise
from pipeline.thresholds import LivenessThresholds, Thresholds

MOVED = 0.12  # of the face's height between two frames: what is blurred then is blurred by motion


@dataclass(frozen=True, slots=True)
class Subject:
    """A view of the subject that passed the quality gate."""

    picture: Picture
    view: FaceView
    face_box: RelativeBox


class Track:
    """Follows the largest face. `number` grows whenever it starts over: evidence of an older number is void."""

    def __init__(self, engine: FaceEngine, thresholds: Thresholds, max_gap_s: float | None) -> None:
        self.number = 0
        self._engine = engine
        self._limits = thresholds
        self._max_gap_s = max_gap_s or thresholds.track.max_gap_s
        self._box: Box | None = None
        self._seen_s = -math.inf
        self._sequence: int | None = None
        self._last = Guidance(Hint.NO_FACE)

    def advance(self, image: Pixels, sequence: int, now_s: float, watch: Stopwatch) -> Subject | Guidance:
        """Look at one frame. A sequence that is not newer than the last one is not looked at: the last hint again.

        Raises FrameRefused.
        """
        if self._sequence is not None and sequence <= self._sequence:
            return self._last
        with watch.stage("frame"):
            picture = Picture.of(image)
        self._sequence = sequence
        with watch.stage("detect"):
            faces = self._engine.detect(picture)
        outcome = self._follow(picture, faces, now_s, watch)
        self._last = outcome if isinstance(outcome, Guidance) else Guidance(Hint.HOLD_STILL, outcome.face_box)
        return outcome

    def start_over(self) -> None:
        """Forget the subject; the next face is a new one."""
        self.number += 1
        self._box = None

    def _follow(self, picture: Picture, faces: list[Face], now_s: float, watch: Stopwatch) -> Subject | Guidance:
        if self._box is not None and not now_s - self._seen_s <= self._max_gap_s:
            self.start_over()
        if not faces:
            self.start_over()
            return Guidance(Hint.TOO_DARK if _is_dark(picture, self._limits.quality.dark) else Hint.NO_FACE)
        face = faces[0]
        if self._box is not None:
            before = self._box
            face = max(faces, key=lambda candidate: iou(candidate.box, before))
            if iou(face.box, before) < self._limits.track.overlap:
                self.start_over()
                face = faces[0]
        moved = _moved(self._box, face.box)
        self._box, self._seen_s = face.box, now_s
        where = _relative(face.box, picture)
        comparable = area(face.box) * self._limits.track.comparable_face
        if any(other is not face and area(other.box) >= comparable for other in faces):
            self.start_over()
            return Guidance(Hint.ONE_PERSON, where)
        with watch.stage("look"):
            view = self._engine.look(picture, face)
        hint = advise(view.quality, self._limits.quality)
        if hint is Hint.BLURRED and moved:
            hint = Hint.HOLD_STILL
        return Guidance(hint, where) if hint else Subject(picture, view, where)


def look_for_life(engine: FaceEngine, subject: Subject, limits: LivenessThresholds, watch: Stopwatch) -> Liveness:
    """The cheap cue first; the model is not run on what that one has condemned (its probability is 0 then)."""
    with watch.stage("screen_edge"):
        edge = engine.screen_edge(subject.picture, subject.view.face)
    if not edge < limits.screen_edge:
        return Liveness(model=0.0, screen_edge=edge)
    with watch.stage("liveness"):
        return Liveness(model=engine.live(subject.picture, subject.view.face), screen_edge=edge)


def _is_dark(picture: Picture, limit: float) -> bool:
    return float(picture.pixels[::16, ::16, 1].mean()) < limit


def _moved(before: Box | None, after: Box) -> bool:
    if before is None:
        return False
    shift = math.hypot(after[0] + after[2] - before[0] - before[2], after[1] + after[3] - before[1] - before[3]) / 2
    return shift > MOVED * (after[3] - after[1])


def _relative(box: Box, picture: Picture) -> RelativeBox:
    return (
        min(max(box[0] / picture.width, 0.0), 1.0),
        min(max(box[1] / picture.height, 0.0), 1.0),
        min(max(box[2] / picture.width, 0.0), 1.0),
        min(max(box[3] / picture.height, 0.0), 1.0),
    )

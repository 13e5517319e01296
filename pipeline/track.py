"""The subject: the one face in front of the box, followed from frame to frame. Any doubt starts over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.boxes import area, iou
from pipeline.decision import Guidance, Hint, RelativeBox
from pipeline.engine import Face, FaceEngine, FaceView, Stopwatch
from pipeline.follow import Look, follow, look_of
from pipeline.picture import Box, Picture, Pixels
from pipeline.quality import advise
from pipeline.thresholds import Thresholds

MOVED = 0.12  # of the face's height between two frames: what is blurred then is blurred by motion
SPARSE = (16, 8)  # every so many rows and columns are compared to tell a frame from its repetition


@dataclass(frozen=True, slots=True)
class Subject:
    """A view of the subject that passed the quality gate."""

    picture: Picture
    view: FaceView
    face_box: RelativeBox


class Track:
    """Follows the largest face. `number` grows whenever it starts over: evidence of an older number is void.

    Every `detect_every`-th frame is searched for faces, and every one in which following is unsure: a second face, a
    jump, somebody else in the same place. `confirmed` does so for the frame that a decision would rest on.
    """

    def __init__(self, engine: FaceEngine, thresholds: Thresholds, max_gap_s: float | None) -> None:
        self.number = 0
        self._engine = engine
        self._limits = thresholds
        self._max_gap_s = max_gap_s or thresholds.track.max_gap_s
        self._view: FaceView | None = None
        self._look: Look | None = None
        self._seen_s = -math.inf
        self._since_detection = 0
        self._alone = False
        self._widest_eyes = 0.0
        self._sequence: int | None = None
        self._sample: NDArray[np.uint8] | None = None
        self._last = Guidance(Hint.NO_FACE)

    def advance(
        self, image: Pixels, sequence: int, now_s: float, watch: Stopwatch, *, turning: bool = False
    ) -> Subject | Guidance:
        """Look at one frame. One that is not newer than the last, by its sequence or by its pixels, says the same
        again and counts for nothing: a sensor's noise never repeats. `turning`: the payer was asked to turn.

        Raises FrameRefused.
        """
        if self._sequence is not None and sequence <= self._sequence:
            return self._last
        with watch.stage("frame"):
            picture = Picture.of(image)
            repeated = self._repeats(picture)
        self._sequence = sequence
        if repeated:
            return self._last
        if self._view is not None and not now_s - self._seen_s <= self._max_gap_s:
            self.start_over()
        outcome = self._follow(picture, watch, turning) or self._detect(picture, watch, turning)
        if self._view is not None:
            self._seen_s = now_s
        self._last = outcome if isinstance(outcome, Guidance) else Guidance(Hint.HOLD_STILL, outcome.face_box)
        return outcome

    def confirmed(self, picture: Picture, watch: Stopwatch) -> bool:
        """Whether a detection of this, the last frame, finds the subject where it was followed to, and alone."""
        if self._view is None:
            return False
        if self._since_detection == 0:
            return self._alone
        with watch.stage("detect"):
            faces = self._engine.detect(picture)
        box = self._view.face.box
        face = max(faces, key=lambda candidate: iou(candidate.box, box), default=None)
        self._since_detection = 0
        stayed = face is not None and iou(face.box, box) >= self._limits.track.overlap
        self._alone = face is not None and stayed and self._is_alone(face, faces)
        return self._alone

    def start_over(self) -> None:
        """Forget the subject; the next face is a new one."""
        self.number += 1
        self._view = None
        self._look = None
        self._widest_eyes = 0.0

    def _repeats(self, picture: Picture) -> bool:
        rows, columns = SPARSE
        sample = picture.pixels[::rows, ::columns].copy()
        before, self._sample = self._sample, sample
        return before is not None and np.array_equal(before, sample)

    def _follow(self, picture: Picture, watch: Stopwatch, turning: bool) -> Subject | Guidance | None:
        """None where a detection is due: it is the frame for one, nobody is followed yet, or following is unsure."""
        due = self._since_detection + 1 >= self._limits.track.detect_every
        if due or self._view is None or not self._alone:
            return None
        with watch.stage("follow"):
            seen = self._look or look_of(self._view.aligned)
            followed = follow(self._engine, picture, self._view, seen, self._limits.track)
        if followed is None:
            return None
        before, self._view, self._look = self._view, *followed
        self._since_detection += 1
        return self._gate(picture, before, self._view, turning)

    def _detect(self, picture: Picture, watch: Stopwatch, turning: bool) -> Subject | Guidance:
        with watch.stage("detect"):
            faces = self._engine.detect(picture)
        self._since_detection = 0
        if not faces:
            self.start_over()
            return Guidance(Hint.TOO_DARK if _is_dark(picture, self._limits.quality.dark) else Hint.NO_FACE)
        face = faces[0]
        if self._view is not None:
            box = self._view.face.box
            face = max(faces, key=lambda candidate: iou(candidate.box, box))
            if iou(face.box, box) < self._limits.track.overlap:
                self.start_over()
                face = faces[0]
        before = self._view
        self._alone = self._is_alone(face, faces)
        if not self._alone:
            self.start_over()
            return Guidance(Hint.ONE_PERSON, _relative(face.box, picture))
        with watch.stage("look"):
            self._view = self._engine.look(picture, face)
            self._look = None  # worked out when it is compared with
        return self._gate(picture, before, self._view, turning)

    def _is_alone(self, face: Face, faces: list[Face]) -> bool:
        comparable = area(face.box) * self._limits.track.comparable_face
        return not any(other is not face and area(other.box) >= comparable for other in faces)

    def _gate(self, picture: Picture, before: FaceView | None, view: FaceView, turning: bool) -> Subject | Guidance:
        where = _relative(view.face.box, picture)
        hint = advise(view.quality, self._limits.quality, turning=turning)
        if hint is Hint.BLURRED and _moved(before.face.box if before else None, view.face.box):
            hint = Hint.HOLD_STILL
        self._widest_eyes = max(self._widest_eyes, view.quality.eyes)
        if hint is None and not turning and view.quality.eyes < self._limits.quality.eyes * self._widest_eyes:
            hint = Hint.OPEN_EYES
        return Guidance(hint, where) if hint else Subject(picture, view, where)


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

"""Enrolment: several good, live frames of one person become a few templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.decision import Decision, Guidance, Hint, Reason
from pipeline.engine import FaceEngine, Stopwatch
from pipeline.errors import SessionFinished
from pipeline.evidence import look_for_life
from pipeline.liveness import Cue, Liveness, Verdict, against, judge, stands_alone
from pipeline.match import NOTHING, Embedding, is_unit
from pipeline.picture import Pixels
from pipeline.relief import Depth
from pipeline.thresholds import Thresholds
from pipeline.track import Track


@dataclass(frozen=True, slots=True)
class CapturedTemplate:
    """embedding: (512,) float32, L2-normalised; quality and liveness 0..1 of the frame it came from."""

    embedding: Embedding
    quality: float
    liveness: float


@dataclass(frozen=True, slots=True)
class Capture:
    """The enrolled face. `embedding`: the normalised mean over all frames; `templates`: the best frames that differ."""

    embedding: Embedding
    quality: float
    liveness: float
    templates: tuple[CapturedTemplate, ...]
    frames: int
    model_hash: str
    timings_ms: Mapping[str, float]


class EnrolmentSession:
    """Same subject, same gate and same liveness as a payment, over more frames; two people never mix."""

    def __init__(self, engine: FaceEngine, thresholds: Thresholds, *, max_gap_s: float | None = None) -> None:
        """`max_gap_s` as in FaceSession. Raises ThresholdsRefused."""
        self._limits = thresholds.bound_to(engine.manifest)
        self._engine = engine
        self._track = Track(engine, thresholds, max_gap_s)
        self._number = self._track.number
        self._frames: list[CapturedTemplate] = []
        self._spoofs: list[Liveness] = []
        self._watch = Stopwatch()
        self._finished = False

    @property
    def progress(self) -> float:
        """0..1: good frames so far."""
        return len(self._frames) / self._limits.capture.frames

    def observe(
        self, image: Pixels, sequence: int, now_s: float, depth: Depth | None = None
    ) -> Guidance | Capture | Decision:
        """Look at one frame, as FaceSession.observe does. The Decision is a SPOOF.

        Raises FrameRefused, and SessionFinished after a Capture or a Decision.
        """
        if self._finished:
            raise SessionFinished
        seen = self._track.advance(image, sequence, now_s, self._watch)
        if self._track.number != self._number:
            self._forget()
        if isinstance(seen, Guidance):
            return seen
        hold = Guidance(Hint.HOLD_STILL, seen.face_box)
        liveness = look_for_life(self._engine, seen.picture, seen.view, self._limits.liveness, self._watch, depth)
        verdict = judge(liveness, self._limits.liveness)
        if verdict is Verdict.ATTACK:
            self._frames = []
            self._spoofs.append(liveness)
            return self._spoof() if len(self._spoofs) >= self._limits.track.frames_to_refuse else hold
        self._spoofs = []
        if not stands_alone(liveness, self._limits.liveness):
            return hold
        with self._watch.stage("embed"):
            embedding = self._engine.embed(seen.view)
        if not is_unit(embedding):
            self._break()
            return hold
        if any(not float(np.dot(embedding, f.embedding)) >= self._limits.match.same_person for f in self._frames):
            self._break()
            return hold
        self._frames.append(CapturedTemplate(embedding, seen.view.quality.score, liveness.score))
        if len(self._frames) < self._limits.capture.frames:
            return hold
        if not self._track.confirmed(seen.picture, self._watch):
            self._break()
            return hold
        return self._capture()

    def _capture(self) -> Capture:
        self._finished = True
        mean = np.mean([frame.embedding for frame in self._frames], axis=0)
        best: list[CapturedTemplate] = []
        for frame in sorted(self._frames, key=lambda f: -f.quality):
            new = all(float(np.dot(frame.embedding, b.embedding)) < self._limits.capture.same_template for b in best)
            if new and len(best) < self._limits.capture.templates:
                best.append(frame)
        return Capture(
            embedding=(mean / np.linalg.norm(mean)).astype(np.float32),
            quality=best[0].quality,
            liveness=min(frame.liveness for frame in self._frames),
            templates=tuple(best),
            frames=len(self._frames),
            model_hash=self._engine.model_hash,
            timings_ms=self._watch.total(),
        )

    def _spoof(self) -> Decision:
        self._finished = True
        return Decision(
            reason=Reason.SPOOF,
            handle=None,
            score=NOTHING,
            runner_up=NOTHING,
            margin=0.0,
            liveness=min(spoof.score for spoof in self._spoofs),
            frames=len(self._spoofs),
            timings_ms=self._watch.total(),
            model_hash=self._engine.model_hash,
            thresholds_id=self._limits.id,
            because=self._because(),
        )

    def _because(self) -> tuple[str, ...]:
        found: list[Cue] = [cue for spoof in self._spoofs for cue in against(spoof, self._limits.liveness)]
        return tuple(dict.fromkeys(cue.value for cue in found))

    def _break(self) -> None:
        self._track.start_over()
        self._forget()

    def _forget(self) -> None:
        self._number = self._track.number
        self._frames = []
        self._spoofs = []

"""One payment's look at one payer: frames in, guidance out, one Decision at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.decision import Decision, Guidance, Hint, Observation, Reason
from pipeline.engine import FaceEngine, Stopwatch
from pipeline.errors import GalleryRefused, SessionFinished
from pipeline.liveness import Verdict, judge
from pipeline.match import NOTHING, Embedding, Matcher, MatchResult, is_unit
from pipeline.picture import Pixels
from pipeline.thresholds import Thresholds
from pipeline.track import Subject, Track, look_for_life


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one analysed frame says."""

    reason: Reason
    handle: str | None
    score: float
    runner_up: float
    liveness: float


class FaceSession:
    """The subject is fixed by its track and by its embedding; N agreeing frames in a row decide; doubt starts over."""

    def __init__(
        self, engine: FaceEngine, matcher: Matcher, thresholds: Thresholds, *, max_gap_s: float | None = None
    ) -> None:
        """`max_gap_s` replaces the thresholds' own on a machine that needs longer for one frame.

        Raises ThresholdsRefused (other models, gallery too large), GalleryRefused (templates of another model)."""
        thresholds.bound_to(engine.manifest)
        if matcher.model_hash != engine.model_hash:
            raise GalleryRefused(
                "gallery",
                f"its templates were made by model {matcher.model_hash[:12]}…, this box runs {engine.model_hash[:12]}…",
                "enrol again with this model",
            )
        self._point = thresholds.point(len(matcher))
        self._engine = engine
        self._matcher = matcher
        self._limits = thresholds
        self._track = Track(engine, thresholds, max_gap_s)
        self._watch = Stopwatch()
        self._agreeing: list[Evidence] = []
        self._number = self._track.number
        self._embedding: Embedding | None = None
        self._finished = False

    @property
    def timings_ms(self) -> dict[str, float]:
        """Stages summed over the frames so far, and "total"."""
        return self._watch.total()

    def observe(self, image: Pixels, sequence: int, now_s: float) -> Observation:
        """Look at one frame: (H, W, 3) uint8 RGB; `now_s` is monotonic. A frame whose sequence is not new never counts.

        Raises FrameRefused, and SessionFinished after a Decision.
        """
        if self._finished:
            raise SessionFinished
        seen = self._track.advance(image, sequence, now_s, self._watch)
        if self._track.number != self._number:
            self._forget()
        if isinstance(seen, Guidance):
            return seen
        evidence = self._judge(seen)
        if evidence is None:
            return Guidance(Hint.HOLD_STILL, seen.face_box)
        return self._weigh(evidence) or Guidance(Hint.HOLD_STILL, seen.face_box)

    def _judge(self, subject: Subject) -> Evidence | None:
        liveness = look_for_life(self._engine, subject, self._limits.liveness, self._watch)
        match judge(liveness, self._limits.liveness):
            case Verdict.ATTACK:
                return Evidence(Reason.SPOOF, None, NOTHING, NOTHING, liveness.score)
            case Verdict.UNSURE:
                self._agreeing = []
                return None
        with self._watch.stage("embed"):
            embedding = self._engine.embed(subject.view)
        if not is_unit(embedding):
            self._break()
            return None
        if (
            self._embedding is not None
            and not float(np.dot(embedding, self._embedding)) >= self._limits.match.same_person
        ):
            self._break()
        self._embedding = embedding
        with self._watch.stage("match"):
            found = self._matcher.search(embedding)
        return Evidence(self._reason(found), found.handle, found.score, found.runner_up, liveness.score)

    def _reason(self, found: MatchResult) -> Reason:
        if not len(self._matcher):
            return Reason.GALLERY_EMPTY
        if found.handle is None or not found.score >= self._point.threshold:
            return Reason.STRANGER
        return Reason.MATCHED if found.margin >= self._limits.match.margin else Reason.AMBIGUOUS

    def _weigh(self, evidence: Evidence) -> Decision | None:
        same = [e for e in self._agreeing[-1:] if (e.reason, self._who(e)) == (evidence.reason, self._who(evidence))]
        self._agreeing = [*self._agreeing, evidence] if same else [evidence]
        matched = evidence.reason is Reason.MATCHED
        needed = self._limits.track.frames_to_match if matched else self._limits.track.frames_to_refuse
        if len(self._agreeing) < needed:
            return None
        self._finished = True
        weakest = min(self._agreeing, key=lambda e: e.score - e.runner_up)
        return Decision(
            reason=evidence.reason,
            handle=evidence.handle if matched else None,
            score=min(e.score for e in self._agreeing),
            runner_up=max(e.runner_up for e in self._agreeing),
            margin=weakest.score - weakest.runner_up,
            liveness=min(e.liveness for e in self._agreeing),
            frames=len(self._agreeing),
            timings_ms=self._watch.total(),
            model_hash=self._engine.model_hash,
            thresholds_id=self._limits.id,
        )

    @staticmethod
    def _who(evidence: Evidence) -> str | None:
        """Frames must agree on the person only where one is claimed: a stranger's nearest neighbour may change."""
        return evidence.handle if evidence.reason is Reason.MATCHED else None

    def _break(self) -> None:
        self._track.start_over()
        self._forget()

    def _forget(self) -> None:
        self._number = self._track.number
        self._agreeing = []
        self._embedding = None

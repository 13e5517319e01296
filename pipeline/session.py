"""One payment's look at one payer: frames in, guidance out, one Decision at the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pipeline.challenge import STEPS, STRAIGHT, ActiveChallenge, Answer
from pipeline.decision import Challenge, Decision, Guidance, Hint, Observation, Reason, RelativeBox
from pipeline.engine import FaceEngine, Stopwatch
from pipeline.errors import GalleryRefused, SessionFinished
from pipeline.evidence import Evidence, Judged, fuse, look_for_life
from pipeline.liveness import Cue, LifeSoFar, Liveness, Verdict, stands_alone
from pipeline.match import NOTHING, Embedding, Matcher, is_unit
from pipeline.picture import Pixels
from pipeline.relief import Depth
from pipeline.thresholds import Thresholds
from pipeline.track import Subject, Track

Draw = Callable[[], random.Random]


class FaceSession:
    """The subject is fixed by its track and by its embedding; N agreeing frames decide; doubt starts over.

    Liveness is looked for in every good frame, identity in the best ones only, and only where each of these passed for
    live itself. Their embeddings must be of one person and name the same handle; what is decided on is their mean.
    """

    def __init__(
        self,
        engine: FaceEngine,
        matcher: Matcher,
        thresholds: Thresholds,
        *,
        max_gap_s: float | None = None,
        draw: Draw | None = None,
        challenge: bool = False,
    ) -> None:
        """`max_gap_s` replaces the thresholds' own on a machine that needs longer for one frame. `draw` gives the
        source of chance for challenges; without one there is none, and whoever would be asked stays undecided.
        `challenge`: nobody is matched who has not answered one, unless the camera's depth speaks for them.

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
        self._draw = draw
        self._demanded = challenge
        self._track = Track(engine, thresholds, max_gap_s)
        self._life = LifeSoFar(thresholds.liveness)
        self._watch = Stopwatch()
        self._challenge: ActiveChallenge | None = None
        self._passed = False
        self._who: Embedding | None = None
        self._judged: list[Judged] = []
        self._number = self._track.number
        self._finished = False

    @property
    def timings_ms(self) -> dict[str, float]:
        """Stages summed over the frames so far, and "total"."""
        return self._watch.total()

    def observe(self, image: Pixels, sequence: int, now_s: float, depth: Depth | None = None) -> Observation:
        """Look at one frame: (H, W, 3) uint8 RGB; `now_s` is monotonic. A frame whose sequence or whose pixels are not
        new never counts. `depth`: (h, w) millimetres of the same view, from a camera that has it; NaN or 0 is unknown.

        Raises FrameRefused, and SessionFinished after a Decision.
        """
        if self._finished:
            raise SessionFinished
        seen = self._track.advance(image, sequence, now_s, self._watch, turning=self._challenge is not None)
        if self._track.number != self._number:
            self._forget()
            if self._challenge is not None and self._challenge.interrupted(now_s) is Answer.FAILED:
                return self._spoof((Cue.CHALLENGE,))
        if self._challenge is not None:
            return self._answer(self._challenge, seen, now_s)
        if isinstance(seen, Guidance):
            return self._counted(seen)
        if self._passed and abs(seen.view.quality.pose.yaw) > STRAIGHT * self._limits.liveness.turn_deg:
            return self._counted(Guidance(Hint.LOOK_AT_CAMERA, seen.face_box))  # still turned as the last act was
        return self._look(seen, now_s, depth) or self._counted(Guidance(Hint.HOLD_STILL, seen.face_box))

    def _look(self, subject: Subject, now_s: float, depth: Depth | None) -> Observation | None:
        limits = self._limits.liveness
        liveness = look_for_life(self._engine, subject.picture, subject.view, limits, self._watch, depth)
        verdict = self._life.add(liveness)
        if verdict is Verdict.ATTACK:
            self._judged = []
            refused = self._life.attacks >= self._limits.track.frames_to_refuse
            return self._spoof(self._life.because) if refused else None
        self._judged = [*self._judged, Judged(subject.view, liveness)][-limits.frames_most :]
        if not self._passed and (verdict is Verdict.UNSURE or self._must_act):
            due = verdict is Verdict.LIVE or self._life.doubtful
            return self._begin_challenge(self._draw, subject, now_s) if due and self._draw is not None else None
        found = self._identify()
        if found is None:
            return None
        if not self._track.confirmed(subject.picture, self._watch):
            self._break()
            return None
        return self._decide(*found)

    @property
    def _must_act(self) -> bool:
        always = self._limits.liveness.challenge == "always"
        return always or (self._demanded and not self._life.stands_out)

    def _identify(self) -> tuple[Evidence, list[Judged]] | None:
        """What the best frames say together, and which these are; None where they are too few, or of two minds."""
        limits = self._limits.liveness
        live = [frame for frame in self._judged if self._passed or stands_alone(frame.liveness, limits)]
        best = sorted(live, key=lambda frame: -frame.view.quality.score)
        for count in sorted({self._limits.track.frames_to_match, self._limits.track.frames_to_refuse}):
            frames = best[:count]
            if len(frames) < count or not all(self._embed(frame) for frame in frames):
                return None
            with self._watch.stage("match"):
                evidence = fuse(frames, self._matcher, self._point.threshold, self._limits.match)
            if evidence is None:
                return None
            matched = evidence.reason is Reason.MATCHED
            if count >= (self._limits.track.frames_to_match if matched else self._limits.track.frames_to_refuse):
                return evidence, frames
        return None

    def _embed(self, frame: Judged) -> bool:
        """Embed and search, once a frame. False, and everything starts over, where it is not the track's person."""
        if frame.embedding is not None:
            return True
        with self._watch.stage("embed"):
            embedding = self._engine.embed(frame.view)
        if self._who is None:
            self._who = embedding
        if not is_unit(embedding) or not float(np.dot(embedding, self._who)) >= self._limits.match.same_person:
            self._break()
            return False
        with self._watch.stage("match"):
            frame.found = self._matcher.search(embedding)
        frame.embedding = embedding
        return True

    def _begin_challenge(self, draw: Draw, subject: Subject, now_s: float) -> Observation | None:
        """The payer of before must be the payer of after: remembered by embedding, and by an unbroken track."""
        if not self._embed(max(self._judged, key=lambda frame: frame.view.quality.score)):
            return None
        self._challenge = ActiveChallenge(draw, self._limits.liveness, now_s)
        return self._asked(self._challenge, subject.face_box)

    def _answer(self, challenge: ActiveChallenge, seen: Subject | Guidance, now_s: float) -> Observation:
        if now_s > challenge.until_s:
            return self._spoof((Cue.CHALLENGE,))
        if isinstance(seen, Guidance):
            return self._counted(seen)
        if self._who is None and not self._embed(Judged(seen.view, Liveness(0.0, 0.0))):
            return self._asked(challenge, seen.face_box)  # whoever came after a break is remembered before any answer
        answer = challenge.look(seen.view.quality, now_s)
        if answer is Answer.FAILED:
            return self._spoof((Cue.CHALLENGE,))
        if answer is Answer.PENDING:
            return self._asked(challenge, seen.face_box)
        self._challenge, self._passed = None, True
        self._life.forget()
        self._judged = []
        return self._counted(Guidance(Hint.LOOK_AT_CAMERA, seen.face_box))

    def _counted(self, said: Guidance) -> Guidance:
        """With how far the challenge has come: a hint in between does not take back what was done."""
        if self._challenge is not None:
            return replace(said, done=self._challenge.pending.done, steps=STEPS)
        return replace(said, done=STEPS, steps=STEPS) if self._passed else said

    def _asked(self, challenge: ActiveChallenge, where: RelativeBox) -> Challenge:
        pending = challenge.pending
        return Challenge(pending.act, challenge.until_s, pending.done, STEPS, where)

    def _decide(self, evidence: Evidence, frames: list[Judged]) -> Decision:
        weakest = min(self._life.score, *(frame.liveness.score for frame in frames))
        return self._final(evidence, weakest, len(frames), ())

    def _spoof(self, because: tuple[Cue, ...]) -> Decision:
        evidence = Evidence(Reason.SPOOF, None, NOTHING, NOTHING)
        return self._final(evidence, self._life.score, self._life.attacks, because)

    def _final(self, evidence: Evidence, liveness: float, frames: int, because: tuple[Cue, ...]) -> Decision:
        self._finished = True
        return Decision(
            reason=evidence.reason,
            handle=evidence.handle,
            score=evidence.score,
            runner_up=evidence.runner_up,
            margin=evidence.score - evidence.runner_up,
            liveness=liveness,
            frames=frames,
            timings_ms=self._watch.total(),
            model_hash=self._engine.model_hash,
            thresholds_id=self._limits.id,
            rival=evidence.rival,
            because=tuple(cue.value for cue in because),
            challenged=self._passed or self._challenge is not None,
            relief=self._life.stands_out,
        )

    def _break(self) -> None:
        self._track.start_over()
        self._forget()

    def _forget(self) -> None:
        self._number = self._track.number
        self._life.forget()
        self._judged = []
        self._who = None
        self._passed = False

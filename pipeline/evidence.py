"""What one frame says of the subject, and what several say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.decision import Reason
from pipeline.engine import FaceEngine, FaceView, Stopwatch
from pipeline.liveness import Liveness
from pipeline.match import NOTHING, Embedding, Matcher, MatchResult
from pipeline.picture import Picture
from pipeline.relief import Depth, relief_mm
from pipeline.thresholds import LivenessThresholds, MatchThresholds


@dataclass(slots=True)
class Judged:
    """A good frame of the track; embedded and searched for only when it is among the best."""

    view: FaceView
    liveness: Liveness
    embedding: Embedding | None = None
    found: MatchResult | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the frames say together. `runner_up` is the best score of any other person; see Decision for `rival`."""

    reason: Reason
    handle: str | None
    score: float
    runner_up: float
    rival: str | None = None


def look_for_life(
    engine: FaceEngine,
    picture: Picture,
    view: FaceView,
    limits: LivenessThresholds,
    watch: Stopwatch,
    depth: Depth | None = None,
) -> Liveness:
    """The cheap cues first; the models are not run on what these have condemned (their probability is 0 then)."""
    box = view.face.box
    with watch.stage("screen_edge"):
        edge = engine.screen_edge(picture, view.face)
    with watch.stage("moire"):
        pattern = engine.moire(picture, view.face)
    relief = None if depth is None else relief_mm(depth, box, picture.width, picture.height)
    if not (edge < limits.screen_edge and pattern < limits.moire) or (relief is not None and relief < limits.relief_mm):
        return Liveness(0.0, edge, pattern, relief)
    with watch.stage("liveness"):
        return Liveness(engine.live(picture, view.face), edge, pattern, relief)


def fuse(frames: Sequence[Judged], matcher: Matcher, threshold: float, limits: MatchThresholds) -> Evidence | None:
    """Search with the mean of the frames' embeddings; None where the frames name different people.

    Every frame is embedded and searched for. The score is the mean of the frames' cosines: that of the normalised mean
    times the mean's own length. So it is never higher than the best frame's, and a threshold that was read on single
    frames is not made easier.
    """
    if not len(matcher):
        return Evidence(Reason.GALLERY_EMPTY, None, NOTHING, NOTHING)
    mean: Embedding = np.mean([f.embedding for f in frames if f.embedding is not None], axis=0, dtype=np.float32)
    length = float(np.sqrt(np.dot(mean, mean)))
    alone = frames[0].found if len(frames) == 1 else None
    found = alone or matcher.search(np.divide(mean, np.float32(length), dtype=np.float32))
    score = found.score * length
    runner_up = found.runner_up * length if found.runner_up > NOTHING else NOTHING
    if found.handle is None or not score >= threshold:
        return Evidence(Reason.STRANGER, None, score, runner_up)
    named = {frame.found.handle for frame in frames if frame.found is not None}
    if not score - runner_up >= limits.margin:
        if not named <= {found.handle, found.rival}:
            return None
        return Evidence(Reason.AMBIGUOUS, found.handle, score, runner_up, found.rival)
    if named != {found.handle}:
        return None
    return Evidence(Reason.MATCHED, found.handle, score, runner_up)

"""Presentation attack detection: APCER per source, BPCER, per frame and per decision, by ISO/IEC 30107-3 names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.engine import FaceEngine
from pipeline.errors import EvaluationRefused, FrameRefused
from pipeline.eval.datasets import Labelled
from pipeline.eval.features import question
from pipeline.eval.intervals import Interval, grouped_proportion, proportion
from pipeline.eval.memory import Memory, Tell
from pipeline.eval.metrics import auc
from pipeline.liveness import LifeSoFar, Liveness, Verdict, judge, stands_alone
from pipeline.picture import Picture, Pixels
from pipeline.thresholds import Thresholds

WINDOW = 10  # frames that a payer has for one decision here, at most


@dataclass(frozen=True, slots=True)
class Cues:
    """What each frame showed; None where no face was found. In the order of the list."""

    frames: Sequence[Labelled]
    liveness: Sequence[Liveness | None]


@dataclass(frozen=True, slots=True)
class PadResult:
    """apcer: attacks taken for live, by source; bpcer: live not taken for live. `*_per_decision`: see `decisions`.

    ci95 counts a video as one where all its frames may share a fate (grouped); `ci95_frames` is what the numbers would
    be worth if every frame were another person, which they are not.
    """

    frames: Mapping[str, int]
    apcer: Mapping[str, float]
    bpcer: float | None
    apcer_per_decision: Mapping[str, float]
    bpcer_per_decision: float | None
    decisions: Mapping[str, int]
    undecided: float
    auc: float | None
    eer: float | None
    eer_threshold: float | None
    threshold: float
    thresholds_id: str
    fta: float
    ci95: Mapping[str, Any]
    ci95_frames: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {name: getattr(self, name) for name in self.__slots__}


def look_at(engine: FaceEngine, memory: Memory, folder: Path, frames: Sequence[Labelled], tell: Tell) -> Cues:
    """Cues of the largest face, as the box itself takes it."""

    def see(pixels: Pixels) -> NDArray[np.float32]:
        cues = cues_of(engine, pixels)
        return np.array([cues.model, cues.screen_edge, cues.moire] if cues else [np.nan] * 3, np.float32)

    rows = memory.look(question("cues", engine), folder, [f.image for f in frames], see, tell, "looking for life")
    return Cues(frames, [Liveness(*map(float, row)) if np.isfinite(row).all() else None for row in rows])


def cues_of(engine: FaceEngine, pixels: Pixels) -> Liveness | None:
    """Every cue of the largest face; None where there is none, or no picture."""
    try:
        picture = Picture.of(pixels)
    except FrameRefused:
        return None
    face = next(iter(engine.detect(picture)), None)
    if face is None:
        return None
    return Liveness(engine.live(picture, face), engine.screen_edge(picture, face), engine.moire(picture, face))


def measure(cues: Cues, thresholds: Thresholds) -> PadResult:
    """Raises EvaluationRefused where there is nothing to measure. A frame without a face is left out: see `fta`."""
    seen = [(f, c) for f, c in zip(cues.frames, cues.liveness, strict=True) if c is not None]
    if not seen:
        raise EvaluationRefused("labels", "no face was found in any of the pictures")
    taken = np.array([judge(c, thresholds.liveness) is Verdict.LIVE for _, c in seen])
    attack = np.array([f.attack for f, _ in seen])
    source = np.array([f.source for f, _ in seen])
    video = [f.video for f, _ in seen]
    score = np.array([c.score for _, c in seen], np.float64)
    outcomes = decide(cues, thresholds)

    sources = sorted({f.source for f, _ in seen if f.attack})
    chosen = {name: attack & (source == name) for name in sources}
    grouped: dict[str, Any] = {"apcer": {n: _grouped(taken, video, where) for n, where in chosen.items()}}
    plain: dict[str, Any] = {
        "apcer": {n: proportion(int(taken[where].sum()), int(where.sum())) for n, where in chosen.items()}
    }
    live = ~attack
    grouped["bpcer"] = _grouped(~taken, video, live)
    plain["bpcer"] = proportion(int((~taken[live]).sum()), int(live.sum()))
    lost = np.array([c is None for c in cues.liveness])
    grouped["fta"] = grouped_proportion(lost, [f.video for f in cues.frames])
    by_source = {n: [o for f, o in outcomes if f.attack and f.source == n] for n in sources}
    of_live = [o for f, o in outcomes if not f.attack]
    plain["apcer_per_decision"] = {
        n: proportion(sum(o is Verdict.LIVE for o in found), len(found)) for n, found in by_source.items()
    }
    plain["bpcer_per_decision"] = proportion(sum(o is not Verdict.LIVE for o in of_live), len(of_live))
    meeting = _meeting(score[live], score[attack])
    return PadResult(
        frames={"live": int(live.sum()), **{name: int(where.sum()) for name, where in chosen.items()}},
        apcer={name: float(taken[where].mean()) for name, where in chosen.items()},
        bpcer=float((~taken[live]).mean()) if live.any() else None,
        apcer_per_decision={n: _share(found, Verdict.LIVE) for n, found in by_source.items() if found},
        bpcer_per_decision=1 - _share(of_live, Verdict.LIVE) if of_live else None,
        decisions={"live": len(of_live), **{name: len(found) for name, found in by_source.items()}},
        undecided=_share([o for _, o in outcomes], Verdict.UNSURE) if outcomes else 0.0,
        auc=auc(score[live], score[attack]) if live.any() and attack.any() else None,
        eer=meeting[0] if meeting else None,
        eer_threshold=meeting[1] if meeting else None,
        threshold=thresholds.liveness.live,
        thresholds_id=thresholds.id,
        fta=float(lost.mean()),
        ci95=grouped,
        ci95_frames=plain,
    )


def decide(cues: Cues, thresholds: Thresholds) -> list[tuple[Labelled, Verdict]]:
    """What the box would decide on each run of WINDOW frames of a video: LIVE, ATTACK, or UNSURE when it never could.

    A frame without a face starts over, as it does in a session.
    """
    videos: dict[tuple[str, bool], list[tuple[Labelled, Liveness | None]]] = {}
    for frame, cue in zip(cues.frames, cues.liveness, strict=True):
        videos.setdefault((frame.video, frame.attack), []).append((frame, cue))
    outcomes = []
    for frames in videos.values():
        ordered = sorted(frames, key=lambda pair: pair[0].image)
        for start in range(0, len(ordered), WINDOW):
            run = ordered[start : start + WINDOW]
            if len(run) == WINDOW or start == 0:
                outcomes.append((run[0][0], _decide(run, thresholds)))
    return outcomes


def _decide(run: Sequence[tuple[Labelled, Liveness | None]], thresholds: Thresholds) -> Verdict:
    """As a session does, without challenges: LIVE where so many frames pass in one unbroken run as identity needs."""
    life, passed = LifeSoFar(thresholds.liveness), 0
    for _, cue in run:
        if cue is None:
            life.forget()
            passed = 0
            continue
        verdict = life.add(cue)
        if verdict is Verdict.ATTACK:
            passed = 0
            if life.attacks >= thresholds.track.frames_to_refuse:
                return verdict
            continue
        passed += stands_alone(cue, thresholds.liveness)
        if verdict is Verdict.LIVE and passed >= thresholds.track.frames_to_match:
            return verdict
    return Verdict.UNSURE


def _grouped(errors: NDArray[np.bool_], video: Sequence[str], chosen: NDArray[np.bool_]) -> Interval:
    return grouped_proportion(errors[chosen], [v for v, c in zip(video, chosen, strict=True) if c])


def _share(outcomes: Sequence[Verdict], which: Verdict) -> float:
    return sum(outcome is which for outcome in outcomes) / max(1, len(outcomes))


def _meeting(live: NDArray[np.float64], attack: NDArray[np.float64]) -> tuple[float, float] | None:
    """Where APCER and BPCER are nearest: (their mean, threshold)."""
    if not live.size or not attack.size:
        return None
    candidates = np.unique(np.concatenate([live, attack]))
    apcer = 1 - np.searchsorted(np.sort(attack), candidates, side="left") / attack.size
    bpcer = np.searchsorted(np.sort(live), candidates, side="left") / live.size
    at = int(np.argmin(np.abs(apcer - bpcer)))
    return float((apcer[at] + bpcer[at]) / 2), float(candidates[at])

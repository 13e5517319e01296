"""Where a frame's time goes that is in no model: CPU microseconds of each part within whole analysed frames.

    python benchmarks/pipeline_parts.py [--models better] [--rounds 200]

The parts are timed where they stand, between the models, whose weights and pictures have just filled the caches: alone
and warm most of them take half as long. A part's own time is without that of the parts it calls; the rest is what lies
between all of them. Timing costs a microsecond or two a call, so the sum is a little above what
`benchmarks/pipeline_frame.py` finds.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pipeline_frame as frame

from pipeline import engine, session, track
from pipeline.matching.coded import CodedMatcher
from pipeline.models.manifest import SETS, load_set
from pipeline.picture import Picture
from pipeline.runtime import BoundModel
from pipeline.sampling import Crop, Overview, Whole
from pipeline.thresholds import CALIBRATED, load_thresholds

REST = "the rest: tracking, the session, calls between"
PARTS: tuple[tuple[Any, str, str], ...] = (
    (BoundModel, "run", "models, their pictures made inside"),
    (Overview, "fill", "the detector's small picture"),
    (Overview, "gray", "the frame in gray, for the sides"),
    (Crop, "fill", "telling models which rectangle"),
    (Whole, "fill", "giving the embedding its crop"),
    (engine, "rfb_boxes", "detector's answer to boxes"),
    (engine, "yunet_boxes", "detector's answer to boxes"),
    (engine, "suppress", "boxes that overlap"),
    (engine, "five_points", "landmarks to transform"),
    (engine, "similarity", "landmarks to transform"),
    (engine, "back_to_frame", "landmarks to transform"),
    (Picture, "warp", "alignment to 112x112"),
    (engine, "measure", "quality and pose"),
    (track.Track, "_repeats", "telling a frame from its repetition"),
    (engine, "screen_edge", "sides of a screen"),
    (engine, "moire", "moiré"),
    (engine.FaceEngine, "live_parts", "around the liveness models"),
    (engine.FaceEngine, "embed", "around the embedding"),
    (CodedMatcher, "search", "search in 10,000"),
    (session, "fuse", "what several frames say together"),
    (session.FaceSession, "observe", REST),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    state = Path(os.environ.get("KINGFISHER_STATE", frame.REPO / ".kingfisher"))
    parser.add_argument("--state", type=Path, default=state, help="where models and samples are kept")
    parser.add_argument("--models", default="default", choices=tuple(SETS), help="which set (default)")
    parser.add_argument("--rounds", type=int, default=200, help="measured frames (%(default)s)")
    options = parser.parse_args()
    eyes = engine.FaceEngine.load(options.state / "models", load_set(options.models))
    limits = load_thresholds(CALIBRATED[options.models], eyes.manifest)
    people = {name: frame.frames_of(options.state / "samples", name) for name in frame.FRAMINGS}
    people = {name: views for name, views in people.items() if frame.capture_of(eyes, limits, views)}
    frames = [view for views in people.values() for view in views]
    matcher = frame.gallery(eyes, limits, people, frame.GALLERY)
    at_once = frame.changed(limits, frames_to_match=1, frames_to_refuse=1, detect_every=1)
    at_once = at_once.model_copy(update={"liveness": limits.liveness.model_copy(update={"frames": 1})})
    spent: dict[str, float] = defaultdict(float)
    for owner, name, label in PARTS:
        setattr(owner, name, timed(getattr(owner, name), label, spent))
    for number in range(-10, options.rounds):
        if number == 0:
            spent.clear()
        session.FaceSession(eyes, matcher, at_once).observe(frames[number % len(frames)], 1, 0.1)
    print(f"{options.models} set, {options.rounds} frames: CPU microseconds a frame")
    for label, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {label:<48}{1e6 * seconds / options.rounds:>8.0f}")
    return 0


def timed(call: Callable[..., Any], label: str, spent: dict[str, float]) -> Callable[..., Any]:
    """The same, its own time added to `spent`: what it calls that is timed too is taken off again."""

    @functools.wraps(call)
    def around(*arguments: Any, **named: Any) -> Any:
        before, start = sum(spent.values()), time.thread_time()
        try:
            return call(*arguments, **named)
        finally:
            whole = time.thread_time() - start
            spent[label] += whole - (sum(spent.values()) - before)

    return around


if __name__ == "__main__":
    sys.exit(main())

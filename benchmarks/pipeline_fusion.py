"""Where a logistic regression over all cues would put the border of one live frame, on pictures it was not fitted to.

    python benchmarks/pipeline_fusion.py --images lfw/images --pad pad

Fitted on one half of the people of LFW, as portraits and as drawn attacks on them; told of the other half, and of the
real recordings under `--pad` (images/, labels.csv), none of which takes part in any fit. What is asked is one number:
how low the models' probability may be, in a frame where no other cue sees anything, before an attack is the likelier
explanation. `pipeline/liveness.py` takes `attack` for that; a border above it would say that this is too low.

And the other question: were `live` so high that only a tenth of the finely printed cut-outs' frames reached it, how
many live ones would?
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pipeline_attacks
from numpy.typing import NDArray

from daemon.cli.output import progress_bar
from pipeline.engine import FaceEngine
from pipeline.eval import pad
from pipeline.eval.datasets import half_of, read_labels
from pipeline.eval.memory import Memory
from pipeline.liveness import Liveness
from pipeline.models.manifest import SETS, load_set
from pipeline.thresholds import CALIBRATED, load_thresholds

REPO = Path(__file__).resolve().parents[1]
RIDGE = 1e-2
CUT_OUT, STRICT = "fine cut-out", 0.10
SURE = 1e-4  # probabilities nearer to 0 or 1 say no more than this
Numbers = NDArray[np.float64]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    parser.add_argument("--images", type=Path, required=True, help="folder of portraits, one folder a person")
    parser.add_argument("--pad", type=Path, required=True, help="folder of recordings: images/, labels.csv")
    parser.add_argument("--people", type=int, default=60, help="portraits (%(default)s)")
    parser.add_argument("--models-folder", type=Path, default=state / "models")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found, strict = [], {}
    with progress_bar() as tell:
        for name in SETS:
            engine = FaceEngine.load(options.models_folder, load_set(name))
            faces = pipeline_attacks.portraits(options.images, options.people)
            drawn = pipeline_attacks.stage(engine, faces, 2, tell)
            labels = read_labels(options.pad / "labels.csv", options.pad / "images")
            real = pad.look_at(engine, Memory(None), options.pad / "images", labels, tell)
            limits = load_thresholds(CALIBRATED[name], engine.manifest).liveness
            found += [{"models": name, "attack": limits.attack, **fitted(half, drawn, real)} for half in "ab"]
            strict[name] = against_cut_outs(drawn, real)
    if options.json:
        print(json.dumps({"fitted": found, "strict": strict}, indent=2))
        return 0
    for row in found:
        print(
            f"{row['models']}, fitted on half {row['fitted_on']}: border {row['border']:.3f}, `attack` {row['attack']}"
        )
        for source, share in row["taken_for_live"].items():
            print(f"    {source:28}{share:>7.1%} of its frames taken for live")
    for name, row in strict.items():
        live = ", ".join(f"{share:.0%} of {source}" for source, share in row["live"].items())
        print(f"{name}: {STRICT:.0%} of the {CUT_OUT}s reach {row['threshold']:.3f}, and so do {live}")
    return 0


def against_cut_outs(drawn: pad.Cues, real: pad.Cues) -> dict[str, Any]:
    """The models' probability that so few cut-outs reach, and the share of live frames that does."""
    groups: dict[str, list[float]] = {}
    for cues in (drawn, real):
        for frame, cue in zip(cues.frames, cues.liveness, strict=True):
            if cue is not None and (not frame.attack or frame.source == CUT_OUT):
                groups.setdefault(frame.source, []).append(cue.model)
    threshold = float(np.quantile(groups.pop(CUT_OUT), 1 - STRICT))
    return {
        "threshold": threshold,
        "live": {source: float((np.array(models) >= threshold).mean()) for source, models in groups.items()},
    }


def fitted(half: str, drawn: pad.Cues, real: pad.Cues) -> dict[str, Any]:
    cues = [
        (half_of(frame.video.split(" ", 1)[-1]) == half, frame.attack, frame.source, cue)
        for frame, cue in zip(drawn.frames, drawn.liveness, strict=True)
        if cue is not None
    ]
    mine = [(attack, cue) for inside, attack, _, cue in cues if inside]
    weights = fit(seen([cue for _, cue in mine]), np.array([not attack for attack, _ in mine], np.float64))
    groups: dict[str, list[Liveness]] = {}
    for inside, _, source, cue in cues:
        if not inside:
            groups.setdefault(f"{source} (other half)", []).append(cue)
    for frame, living in zip(real.frames, real.liveness, strict=True):
        if living is not None:
            groups.setdefault(frame.source, []).append(living)
    return {
        "fitted_on": half,
        "border": float(1 / (1 + np.exp(weights[-1] / weights[0]))),
        "taken_for_live": {name: float((seen(group) @ weights > 0).mean()) for name, group in groups.items()},
    }


def seen(cues: Sequence[Liveness]) -> Numbers:
    """(n, 4): log odds of the models, sides, pattern, one."""
    model = np.clip([cue.model for cue in cues], SURE, 1 - SURE)
    columns = [np.log(model / (1 - model)), [cue.screen_edge for cue in cues], [cue.moire for cue in cues]]
    return np.stack([*map(np.asarray, columns), np.ones(len(cues))], axis=1)


def fit(cues: Numbers, live: Numbers) -> Numbers:
    """Logistic regression by Newton's steps, both classes weighing the same, a ridge on all but the constant."""
    weight = np.where(live > 0, 0.5 / live.mean(), 0.5 / (1 - live.mean()))
    ridge = RIDGE * np.diag([*np.ones(cues.shape[1] - 1), 0.0])
    found = np.zeros(cues.shape[1])
    for _ in range(50):
        likely = 1 / (1 + np.exp(-cues @ found))
        slope = cues.T @ (weight * (likely - live)) + ridge @ found
        found -= np.linalg.solve((cues.T * (weight * likely * (1 - likely))) @ cues + ridge, slope)
    return found


if __name__ == "__main__":
    sys.exit(main())

"""Drawn attacks (replay, print, bent print, cut-out) against a set of models, per frame and per decision.

    python benchmarks/pipeline_attacks.py --images lfw/images
    python benchmarks/pipeline_attacks.py --images lfw/images --models better --people 60 --json

The portraits are the first pictures of so many people of the folder; the same portraits, filling the frame, stand for
live people, which they are not (press photos). Drawn attacks say where a cue is blind, not how often a real one works.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from daemon.cli.output import progress_bar
from pipeline.engine import FaceEngine
from pipeline.eval import pad
from pipeline.eval.attacks import ATTACKS
from pipeline.eval.datasets import Labelled, identity_of, pictures_in
from pipeline.models.manifest import load_set
from pipeline.picture import Pixels
from pipeline.thresholds import CALIBRATED, load_thresholds

REPO = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    parser.add_argument("--images", type=Path, required=True, help="folder of portraits, one folder a person")
    parser.add_argument("--people", type=int, default=30, help="portraits to attack with (%(default)s)")
    parser.add_argument("--frames", type=int, default=5, help="frames of each attack (%(default)s)")
    parser.add_argument("--models", default="default", metavar="SET")
    parser.add_argument("--models-folder", type=Path, default=state / "models")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    engine = FaceEngine.load(options.models_folder, load_set(options.models))
    thresholds = load_thresholds(CALIBRATED[options.models], engine.manifest)
    with progress_bar() as tell:
        cues = stage(engine, portraits(options.images, options.people), options.frames, tell)
    result = pad.measure(cues, thresholds)
    if options.json:
        print(json.dumps({"models": options.models, **result.as_json()}, indent=2, default=str))
        return 0
    print(f"{options.models}: {options.people} portraits, {options.frames} frames each; thresholds {thresholds.id}")
    print(f"{'attack':12}{'frames':>8}{'APCER':>8}{'95 %':>16}{'decisions':>11}{'APCER':>8}{'95 %':>16}")
    for name in ATTACKS:
        row, whole = result.ci95["apcer"][name], result.ci95_frames["apcer_per_decision"][name]
        print(
            f"{name:12}{result.frames[name]:>8}{result.apcer[name]:>8.1%}{spread(row):>16}"
            f"{result.decisions[name]:>11}{result.apcer_per_decision[name]:>8.1%}{spread(whole):>16}"
        )
    print(f"press photos taken for attacks or undecided: {result.bpcer:.1%} a frame")
    return 0


def portraits(folder: Path, count: int) -> dict[str, Pixels]:
    """The first picture of so many people, in an order that repeats and means nothing."""
    first: dict[str, str] = {}
    for image in pictures_in(folder):
        first.setdefault(identity_of(image), image)
    chosen = sorted(first, key=lambda name: hashlib.sha256(f"attack {name}".encode()).digest())[:count]
    found = {}
    for name in chosen:
        with Image.open(folder / first[name]) as image:
            found[name] = np.asarray(image.convert("RGB"))
    return found


def stage(engine: FaceEngine, faces: dict[str, Pixels], frames: int, tell: Callable[[int, int, str], None]) -> pad.Cues:
    """Every attack with every portrait, and the portraits themselves, filling the frame."""
    labels, cues = [], []
    for number, (name, portrait) in enumerate(faces.items()):
        for kind, draw in {**ATTACKS, "live": filling}.items():
            for step in range(frames):
                labels.append(Labelled(f"{step:03d}", kind != "live", kind, f"{kind} {name}"))
                cues.append(pad.cues_of(engine, draw(portrait, number, step)))
        tell(number + 1, len(faces), "attacking")
    return pad.Cues(labels, cues)


def filling(portrait: Pixels, seed: int, step: int) -> Pixels:
    """The portrait itself as what the camera sees, a few pixels further on with each step."""
    side = min(portrait.shape[0], portrait.shape[1])
    box = (0, step % 3, side, step % 3 + side * 0.75)
    return np.asarray(Image.fromarray(portrait).resize((640, 480), Image.Resampling.LANCZOS, box=box))


def spread(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


if __name__ == "__main__":
    sys.exit(main())

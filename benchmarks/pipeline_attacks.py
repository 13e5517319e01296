"""Drawn attacks (replay, print, bent print, cut-out) against a set of models, per frame and per decision.

    python benchmarks/pipeline_attacks.py --images lfw/images
    python benchmarks/pipeline_attacks.py --images lfw/images --models better --people 60 --json

The portraits are the first pictures of so many people of the folder; the same portraits, filling the frame, stand for
live people, which they are not (press photos). Drawn attacks say where a cue is blind, not how often a real one works.
"fine" ones are printed so finely that the sensor sees no dots.

Those that pass for live are also put before whole sessions as they are shipped: where a PIN is asked for anyway, so
that only who is in doubt is asked to turn and blink, and where a face alone could pay, so that everybody is. Whoever
holds the thing turns it as the box asks.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from daemon.cli.output import progress_bar
from pipeline.decision import Act, Challenge, Decision, Reason
from pipeline.engine import FaceEngine
from pipeline.eval import pad
from pipeline.eval.attacks import ATTACKS, turned
from pipeline.eval.datasets import Labelled, identity_of, pictures_in
from pipeline.eval.intervals import Interval, proportion
from pipeline.match import ExactMatcher
from pipeline.models.manifest import load_set
from pipeline.picture import Pixels
from pipeline.session import FaceSession
from pipeline.thresholds import CALIBRATED, Thresholds, load_thresholds

REPO = Path(__file__).resolve().parents[1]
WHOLE = ("cut-out", "fine print", "fine cut-out")  # what is put before whole sessions
PERIOD_S, STEPS, PATIENCE = 0.2, 6, 80  # between frames; different ones; after so many nobody waits any longer
HELD, TURN_DEG = 4, 32.0  # frames that the thing is held turned, and how far
WITH_PIN, FACE_ALONE = "face and PIN", "a face alone"
DEMANDED = {WITH_PIN: False, FACE_ALONE: True}  # whether everybody is asked to turn and blink, by what pays

Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Outcome:
    """Whole sessions of one kind: taken for live, asked to act, of so many."""

    accepted: int
    asked: int
    sessions: int

    @property
    def ci95(self) -> Interval:
        return proportion(self.accepted, self.sessions)


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
    faces = portraits(options.images, options.people)
    with progress_bar() as tell:
        cues = stage(engine, faces, options.frames, tell)
        sessions = play(engine, thresholds, faces, tell)
    result = pad.measure(cues, thresholds)
    if options.json:
        whole = {
            mode: {kind: vars(outcome) | {"ci95": outcome.ci95} for kind, outcome in found.items()}
            for mode, found in sessions.items()
        }
        print(json.dumps({"models": options.models, **result.as_json(), "sessions": whole}, indent=2, default=str))
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
    print(
        f"\n{'whole sessions':16}{'what pays':>14}{'sessions':>10}{'asked':>7}{'accepted':>10}{'APCER':>8}{'95 %':>16}"
    )
    for mode, found in sessions.items():
        for kind, each in found.items():
            print(
                f"{kind:16}{mode:>14}{each.sessions:>10}{each.asked:>7}{each.accepted:>10}"
                f"{each.accepted / each.sessions:>8.1%}{spread(each.ci95):>16}"
            )
    return 0


def play(
    engine: FaceEngine,
    limits: Thresholds,
    faces: Mapping[str, Pixels],
    tell: Tell,
    kinds: tuple[str, ...] = WHOLE,
) -> dict[str, dict[str, Outcome]]:
    """Whole sessions with each portrait, by what pays and the kind of attack. Each is drawn once for both."""
    found: dict[str, dict[str, Outcome]] = {mode: {} for mode in DEMANDED}
    for place, kind in enumerate(kinds):
        outcomes: dict[str, list[tuple[bool, bool]]] = {mode: [] for mode in DEMANDED}
        for number, portrait in enumerate(faces.values()):
            views = [ATTACKS[kind](portrait, number, step) for step in range(STEPS)]
            for mode, demanded in DEMANDED.items():
                outcomes[mode].append(session(engine, limits, views, number, demanded))
            tell(place * len(faces) + number + 1, len(kinds) * len(faces), "at the box")
        for mode, seen in outcomes.items():
            accepted, asked = (sum(column) for column in zip(*seen, strict=True))
            found[mode][kind] = Outcome(accepted, asked, len(seen))
    return found


def session(
    engine: FaceEngine, limits: Thresholds, views: list[Pixels], seed: int, demanded: bool
) -> tuple[bool, bool]:
    """Taken for live, asked to act (`demanded`: everybody is). Whoever holds the thing turns it as asked, and back."""
    nobody = ExactMatcher(
        [], np.zeros((0, engine.models["embedding"].first_output.size), np.float32), engine.model_hash
    )
    box = FaceSession(engine, nobody, limits, draw=lambda: random.Random(seed), challenge=demanded)
    degrees, asked = 0.0, False
    for number in range(PATIENCE):
        view = views[number % len(views)]
        seen = box.observe(turned(view, degrees) if degrees else view, number, number * PERIOD_S)
        if isinstance(seen, Decision):
            return seen.reason is Reason.GALLERY_EMPTY, asked
        degrees = 0.0
        if isinstance(seen, Challenge):
            asked = True
            if number // HELD % 2 and seen.act is not Act.BLINK:
                degrees = TURN_DEG if seen.act is Act.TURN_LEFT else -TURN_DEG
    return False, asked


def portraits(folder: Path, count: int) -> dict[str, Pixels]:
    """The first picture of so many people, in an order that repeats and means nothing."""
    first: dict[str, str] = {}
    for image in pictures_in(folder):
        first.setdefault(identity_of(image), image)
    chosen = sorted(first, key=lambda name: hashlib.sha256(f"attack {name}".encode()).digest())[:count]
    found = {}
    for name in chosen:
        with Image.open(folder / first[name]) as picture:
            found[name] = np.asarray(picture.convert("RGB"))
    return found


def stage(engine: FaceEngine, faces: dict[str, Pixels], frames: int, tell: Tell) -> pad.Cues:
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


def spread(interval: Interval) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


if __name__ == "__main__":
    sys.exit(main())

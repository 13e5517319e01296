"""Is there something in one frame that tells a finely printed mask from a live face? Masks unlike those of the table.

    python benchmarks/pipeline_masks.py --images lfw/images [--models better] [--people 40]

A face is cut out along its outline and held before *somebody else's* portrait, so that there is a real head behind it;
blackness of the ink, eye holes and softness of the cut vary. First what the box as shipped makes of them; then each cue
that could be added, its limit read at 5 % of the live portraits of one half of the people, with masks of one kind, and
reported on the other half and on all kinds. A cue is worth having where it finds most masks of every kind and takes few
more than those 5 % of the live ones.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from pipeline_attacks import REPO, filling, portraits

from pipeline.engine import FaceEngine, FaceView
from pipeline.eval import pad
from pipeline.eval.attacks import PAPER
from pipeline.eval.datasets import Labelled
from pipeline.models.manifest import load_set
from pipeline.picture import Picture, Pixels
from pipeline.thresholds import CALIBRATED, load_thresholds

FRAMES = 3  # of each mask
LIVE_LOST = 5  # per cent of live portraits that a cue may take for masks where its limit is read


@dataclass(frozen=True)
class Kind:
    """ink: how much light the darkest print gives back, 0..1; cut: how soft its edge is, in pixels of the frame."""

    name: str
    ink: float
    holes: bool
    cut: float


KINDS = (
    Kind("ink as drawn, eye holes", 0.16, True, 0.7),
    Kind("ink as drawn, no holes", 0.16, False, 0.7),
    Kind("deep black, eye holes", 0.05, True, 0.7),
    Kind("deep black, soft cut", 0.05, False, 4.0),
    Kind("faded, no holes", 0.30, False, 0.7),
)


def masked(portrait: Pixels, wearer: Pixels, kind: Kind, step: int) -> Pixels:
    """(480, 640, 3): the portrait's face on paper, before the wearer's. Where faces stand is LFW's own."""
    printed = np.asarray(Image.fromarray(filling(portrait, 0, 0)).filter(ImageFilter.GaussianBlur(0.7)), np.float32)
    face = Image.fromarray((255 * kind.ink + (PAPER - kind.ink) * printed + 0.5).astype(np.uint8))
    outline = Image.new("L", face.size, 0)
    draw = ImageDraw.Draw(outline)
    draw.ellipse((190, 125, 450, 505), fill=255)
    for x in (269, 371) if kind.holes else ():
        draw.ellipse((x - 27, 274, x + 27, 304), fill=0)
    scene = Image.fromarray(filling(wearer, 0, step))
    scene.paste(face, (step % 3, (step * 2) % 3), outline.filter(ImageFilter.GaussianBlur(kind.cut)))
    return np.asarray(scene.filter(ImageFilter.GaussianBlur(0.6)))


def _luma(view: FaceView) -> NDArray[np.float32]:
    luma: NDArray[np.float32] = view.aligned[16:104, 16:96].astype(np.float32).mean(axis=2)
    return luma


def blackness(picture: Picture, view: FaceView) -> float:
    """The darkest of the face over its mean: ink on paper gives more light back than a pupil."""
    luma = _luma(view)
    return float(np.percentile(luma, 2) / max(luma.mean(), 1.0))


def flatness(picture: Picture, view: FaceView) -> float:
    """How little contrast the face has."""
    luma = _luma(view)
    return -float(luma.std() / max(luma.mean(), 1.0))


def paleness(picture: Picture, view: FaceView) -> float:
    """How little colour the face has."""
    part = view.aligned[16:104, 16:96].astype(np.float32)
    return -float((part.max(axis=2) - part.min(axis=2)).mean() / max(part.mean(), 1.0))


def seam(picture: Picture, view: FaceView) -> float:
    """How much sharper or softer the face is than what lies round it."""
    x0, y0, x1, y1 = (int(v) for v in view.face.box)
    luma = picture.pixels[:, :, 1].astype(np.float32)
    change = np.abs(4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:])
    inside = np.zeros(change.shape, np.bool_)
    inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
    far = (x1 - x0) // 3
    near = np.zeros(change.shape, np.bool_)
    near[max(y0 - far, 0) : y1 + far, max(x0 - far, 0) : x1 + far] = True
    round_it = near & ~inside
    if not inside.any() or not round_it.any():
        return 0.0
    return abs(float(np.log((change[inside].mean() + 0.1) / (change[round_it].mean() + 0.1))))


CUES: dict[str, Callable[[Picture, FaceView], float]] = {
    "blackness of the darkest": blackness,
    "lack of contrast": flatness,
    "lack of colour": paleness,
    "sharpness beside what is round it": seam,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    state = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
    parser.add_argument("--images", type=Path, required=True, help="folder of portraits, one folder a person")
    parser.add_argument("--people", type=int, default=40, help="portraits to attack with (%(default)s)")
    parser.add_argument("--models", default="default", metavar="SET")
    parser.add_argument("--models-folder", type=Path, default=state / "models")
    options = parser.parse_args()
    engine = FaceEngine.load(options.models_folder, load_set(options.models))
    thresholds = load_thresholds(CALIBRATED[options.models], engine.manifest)
    faces = list(portraits(options.images, options.people).values())
    labels, shipped = [], []
    values: dict[str, list[list[float]]] = {name: [] for name in ("live", *(kind.name for kind in KINDS))}
    for number, portrait in enumerate(faces):
        wearer = faces[(number + 1) % len(faces)]
        for step in range(FRAMES):
            views = {"live": filling(portrait, number, step)}
            views |= {kind.name: masked(portrait, wearer, kind, step) for kind in KINDS}
            for name, frame in views.items():
                labels.append(Labelled(f"{step}", name != "live", name, f"{name} {number}"))
                shipped.append(pad.cues_of(engine, frame))
                values[name].append([number % 2, *cues_of(engine, frame)])
    result = pad.measure(pad.Cues(labels, shipped), thresholds)
    print(
        f"{options.models}: {len(faces)} people, {FRAMES} frames each, as shipped; press photos lost {result.bpcer:.0%}"
    )
    for kind in KINDS:
        print(f"  {kind.name:28} passes {result.apcer[kind.name]:6.0%} of frames")
    head = "".join(f"{kind.name:>26}" for kind in KINDS)
    print(f"\nfound on the other half at {LIVE_LOST} % of the live of one half\n{'':36}{'live lost':>12}{head}")
    rows = {name: np.array(seen) for name, seen in values.items()}
    for column, cue in enumerate(CUES, 1):
        share = [found(rows, column, name) for name in ("live", *(kind.name for kind in KINDS))]
        print(f"{cue:36}{share[0]:>12.0%}" + "".join(f"{each:>26.0%}" for each in share[1:]))
    return 0


def cues_of(engine: FaceEngine, frame: Pixels) -> list[float]:
    """What each cue says of the largest face; NaN, which no limit finds, where there is none."""
    picture = Picture.of(frame)
    face = next(iter(engine.detect(picture)), None)
    if face is None:
        return [np.nan] * len(CUES)
    view = engine.look(picture, face)
    return [cue(picture, view) for cue in CUES.values()]


def found(rows: dict[str, NDArray[np.float64]], column: int, name: str) -> float:
    """The share of these that lies above a limit read on the other half's live portraits; both halves."""
    shares = []
    for half in (0, 1):
        live = rows["live"][rows["live"][:, 0] == half]
        limit = np.nanpercentile(live[:, column], 100 - LIVE_LOST)
        shares.append(np.mean(rows[name][rows[name][:, 0] != half][:, column] > limit))
    return float(np.mean(shares))


if __name__ == "__main__":
    sys.exit(main())

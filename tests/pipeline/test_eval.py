"""On the evaluation pictures, where they are: what the manifest and the provisional thresholds claim still holds."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.engine import Face, FaceEngine
from pipeline.liveness import Liveness, Verdict, judge
from pipeline.match import Embedding
from pipeline.thresholds import Thresholds

EVAL = Path(os.environ.get("KINGFISHER_EVAL", Path(__file__).resolve().parents[3] / "shared" / "eval"))
PAIRS = 300

pytestmark = [
    pytest.mark.eval,
    pytest.mark.skipif(not EVAL.is_dir(), reason="no evaluation pictures; name their folder in KINGFISHER_EVAL"),
]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def middle(faces: list[Face], frame: NDArray[np.uint8]) -> Face:
    """LFW's subject stands in the middle; others may stand beside."""
    y, x = frame.shape[0] / 2, frame.shape[1] / 2
    return min(faces, key=lambda f: abs((f.box[0] + f.box[2]) / 2 - x) + abs((f.box[1] + f.box[3]) / 2 - y))


def test_people_are_verified_on_lfw(engine: FaceEngine) -> None:
    chosen = rows(EVAL / "lfw" / "pairs.csv")
    same, other = ([row for row in chosen if row["same"] == value][: PAIRS // 2] for value in "10")
    known: dict[str, Embedding] = {}

    def embedding(name: str) -> Embedding:
        if name not in known:
            frame = pixels(EVAL / "lfw" / "images" / name)
            known[name] = engine.embed(engine.look(frame, middle(engine.detect(frame), frame)))
        return known[name]

    genuine = np.array([embedding(row["a"]) @ embedding(row["b"]) for row in same])
    impostor = np.array([embedding(row["a"]) @ embedding(row["b"]) for row in other])
    accuracy = max(((genuine >= t).mean() + (impostor < t).mean()) / 2 for t in np.arange(0.1, 0.6, 0.005))
    assert len(genuine) == len(impostor) == PAIRS // 2
    assert accuracy > 0.98
    assert (impostor >= 0.475).sum() == 0


def test_replayed_faces_are_attacks_and_live_ones_mostly_are_not(engine: FaceEngine, thresholds: Thresholds) -> None:
    verdicts: dict[str, list[Verdict]] = {"live": [], "attack": []}
    for row in rows(EVAL / "pad" / "labels.csv")[::2]:
        frame = pixels(EVAL / "pad" / "images" / row["image"])
        faces = engine.detect(frame)
        if faces:
            cues = Liveness(engine.live(frame, faces[0]), engine.screen_edge(frame, faces[0]))
            verdicts[row["label"]].append(judge(cues, thresholds.liveness))
    live, attack = verdicts["live"], verdicts["attack"]
    assert len(live) > 25
    assert len(attack) > 60
    assert attack.count(Verdict.LIVE) <= 0.02 * len(attack)
    assert live.count(Verdict.ATTACK) <= 0.10 * len(live)
    assert live.count(Verdict.LIVE) >= 0.65 * len(live)

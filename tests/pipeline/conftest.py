"""Real models and real portraits, fetched once into the development state folder and kept there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from hal.virtual.samples import pull_samples
from pipeline.capture import Capture, EnrolmentSession
from pipeline.engine import FaceEngine
from pipeline.match import BruteForceMatcher
from pipeline.models.manifest import Manifest, load_manifest
from pipeline.models.pull import pull
from pipeline.thresholds import PROVISIONAL, Thresholds, load_thresholds

REPO = Path(__file__).resolve().parents[2]
STATE = Path(os.environ.get("KINGFISHER_STATE", REPO / ".kingfisher"))
Frame = NDArray[np.uint8]
# The part of each portrait that a camera would see: left, top, width in parts of the picture's width.
FRAMING = {"grace_hopper": (0.03, 0.10, 0.94), "eileen_collins": (0.18, 0.02, 0.52)}


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    return load_manifest()


@pytest.fixture(scope="session")
def models_folder(manifest: Manifest) -> Path:
    pull(STATE / "models", manifest, npm_lock=REPO / "script" / "locks" / "npm.txt")
    return STATE / "models"


@pytest.fixture(scope="session")
def portraits_folder() -> Path:
    pull_samples(STATE / "samples", REPO / "script" / "locks" / "samples.txt")
    return STATE / "samples"


@pytest.fixture(scope="session")
def engine(models_folder: Path, manifest: Manifest) -> FaceEngine:
    return FaceEngine.load(models_folder, manifest)


@pytest.fixture(scope="session")
def thresholds(manifest: Manifest) -> Thresholds:
    return load_thresholds(PROVISIONAL, manifest)


@pytest.fixture(scope="session")
def seen(portraits_folder: Path) -> Callable[..., Frame]:
    """seen("grace_hopper", shift=3): a 640x480 frame in which that person fills the view, moved by some pixels."""

    def frame(name: str, shift: int = 0) -> Frame:
        with Image.open(next(portraits_folder.glob(f"{name}.*"))) as file:
            picture = file.convert("RGB")
        left, top, width = (part * picture.width for part in FRAMING[name])
        box = (left + shift, top, left + width + shift, top + width * 0.75)
        return np.asarray(picture.resize((640, 480), Image.Resampling.LANCZOS, box=box))

    return frame


@pytest.fixture(scope="session")
def on_a_phone(seen: Callable[..., Frame]) -> Callable[..., Frame]:
    """A portrait on the screen of a drawn phone, held tilted before a wall."""

    def frame(name: str, shift: int = 0) -> Frame:
        scene = Image.new("RGB", (640, 480), (176, 168, 150))
        body = Image.new("RGBA", (1280, 960))
        draw = ImageDraw.Draw(body)
        draw.rounded_rectangle((370, 40, 910, 920), radius=50, fill=(22, 22, 26, 255))
        shown = Image.fromarray(seen(name)).resize((1120, 840)).crop((310, 0, 810, 840))
        body.paste(shown, (390, 60))
        body = body.resize((640, 480), Image.Resampling.LANCZOS).rotate(3, Image.Resampling.BICUBIC)
        scene.paste(body, (shift, 0), body)
        return np.asarray(scene.filter(ImageFilter.GaussianBlur(0.6)))

    return frame


@pytest.fixture(scope="session")
def side_by_side(seen: Callable[..., Frame]) -> Frame:
    """Both people in one frame, equally near."""
    halves = [seen(name)[:, 140:460] for name in ("grace_hopper", "eileen_collins")]
    return np.ascontiguousarray(np.concatenate(halves, axis=1))


@pytest.fixture(scope="session")
def nobody() -> Frame:
    rows = np.linspace(90, 170, 480, dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(rows[:, None, None], (480, 640, 3)))


@pytest.fixture(scope="session")
def captures(engine: FaceEngine, thresholds: Thresholds, seen: Callable[..., Frame]) -> dict[str, Capture]:
    """Both people, enrolled by the real enrolment."""
    done: dict[str, Capture] = {}
    for name in FRAMING:
        session = EnrolmentSession(engine, thresholds)
        for number in range(20):
            outcome = session.observe(seen(name, shift=number % 5), number, number * 0.1)
            if isinstance(outcome, Capture):
                done[name] = outcome
                break
    assert set(done) == set(FRAMING)
    return done


@pytest.fixture
def gallery(captures: dict[str, Capture], engine: FaceEngine) -> Callable[..., BruteForceMatcher]:
    """gallery("grace_hopper"): a matcher that holds these people's templates."""

    def build(*names: str) -> BruteForceMatcher:
        rows = [(name, t.embedding) for name in names for t in captures[name].templates]
        matrix = np.array([embedding for _, embedding in rows], np.float32).reshape(len(rows), 512)
        return BruteForceMatcher([name for name, _ in rows], matrix, engine.model_hash)

    return build

"""A payer before the virtual camera who does what the box says aloud, and somebody who holds up their printed portrait.

The head is turned and the eyes are shut by bending the portrait about its landmarks: the nose leaves the line between
the eyes, as a real one does and a flat picture that is turned does not. An injected picture is no live person; what the
challenge is worth against a real attack is not what this shows.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from fleet.demo.hands import Hands
from hal.virtual.pictures import MARGIN, PictureBook
from pipeline.alignment import Points
from pipeline.engine import FaceEngine
from pipeline.eval.attacks import cut_out, fine, turned
from pipeline.models.manifest import load_set

Pixels = NDArray[np.uint8]
SIZE = (640, 480)
TURNED = 0.30  # how far the nose goes, of the distance between the eyes' outer corners
SHEET_DEG = 32.0
DOES = {"Turn your head to your left": "_left", "Turn your head to your right": "_right", "Please blink": "_shut"}
MASK_SEED = 3  # what stands behind this mask; the passive cues take it for live


def draw(portraits: Path, name: str, models: Path, to: Path) -> None:
    """`to/NAME.png` and the same with `_left`, `_right` and `_shut`; `NAME_mask` is a printed cut-out of it, turned."""
    engine = FaceEngine.load(models, load_set("default"))
    straight = np.asarray(PictureBook(portraits, SIZE).scene(name))
    face = engine.detect(straight)[0]
    marks = engine.look(straight, face).landmarks
    whole = {"": straight, "_left": _turned(straight, marks, TURNED), "_right": _turned(straight, marks, -TURNED)}
    whole["_shut"] = _shut(straight, marks)
    x0, y0, x1, y1 = (round(edge) for edge in face.box)
    half, (x, y) = y1 - y0, ((x0 + x1) // 2, (y0 + y1) // 2)
    portrait = straight[max(0, y - half) : y + half, max(0, x - half) : x + half]
    mask = cut_out(portrait, MASK_SEED, 0, on_paper=fine)
    whole |= {"_mask": mask, "_mask_left": turned(mask, SHEET_DEG), "_mask_right": turned(mask, -SHEET_DEG)}
    for suffix, pixels in whole.items():
        _framed(pixels).save(to / f"{name}{suffix}.png")


class Payer:
    """Listens to the box and acts, with the pictures that there are: a mask has no eyelids."""

    def __init__(self, hands: Hands, pictures: Path, name: str) -> None:
        self._hands, self._pictures, self._name = hands, pictures, name
        self.asked: list[str] = []

    def pays(self, *screens: str, within_s: float = 90.0) -> str:
        """Stands there and does what is said until one of these screens was shown: which. Raises AssertionError."""
        until_s = time.monotonic() + within_s
        self._hands.choose(self._name)
        heard, passed = len(self._hands.spoken), len(self._hands.passed)
        while not (seen := [screen for screen in self._hands.passed[passed:] if screen in screens]):
            assert time.monotonic() < until_s, f"it shows {self._hands.screen}; said: {self._hands.spoken[heard:]}"
            said = self._hands.spoken[-1] if len(self._hands.spoken) > heard else ""
            self._hold("", 0.5)
            if said == self._hands.spoken[-1] and said in DOES:
                self.asked.append(said)
                self._hold(DOES[said], 0.5)
        self._hold("", 0.0)
        return seen[0]

    def _hold(self, suffix: str, for_s: float) -> None:
        there = (self._pictures / f"{self._name}{suffix}.png").exists()
        self._hands.choose(f"{self._name}{suffix}" if there else self._name)
        time.sleep(for_s)


def _turned(image: Pixels, marks: Points, far: float) -> Pixels:
    """The nose goes to the picture's right for `far` > 0, which is the payer's left; what is round it follows."""
    eyes = float(np.linalg.norm(marks[36] - marks[45]))
    x, y = _grid(image)
    near = np.exp(-(((x - marks[30][0]) / (0.45 * eyes)) ** 2 + ((y - marks[30][1]) / (0.64 * eyes)) ** 2))
    return _sampled(image, x - far * eyes * near, y)


def _shut(image: Pixels, marks: Points) -> Pixels:
    """Skin over both eyes, and the lashes' line."""
    out = Image.fromarray(image)
    for eye in (marks[36:42], marks[42:48]):
        (x, y), wide = eye.mean(axis=0).tolist(), float(np.linalg.norm(eye[0] - eye[3]))
        below = image[round(y + 0.45 * wide) : round(y + 0.7 * wide), round(x - 0.7 * wide) : round(x + 0.7 * wide)]
        skin = tuple(round(float(v)) for v in np.median(below.reshape(-1, 3), axis=0))
        lid = Image.new("L", out.size, 0)
        ImageDraw.Draw(lid).ellipse((x - 0.75 * wide, y - 0.42 * wide, x + 0.75 * wide, y + 0.36 * wide), fill=255)
        out.paste(skin, (0, 0), lid.filter(ImageFilter.GaussianBlur(0.06 * wide)))
        lashes = (x - 0.5 * wide, y - 0.04 * wide, x + 0.5 * wide, y + 0.22 * wide)
        dark = tuple(round(v * 0.45) for v in skin)
        ImageDraw.Draw(out).arc(lashes, 10, 170, fill=dark, width=max(1, round(0.06 * wide)))
    return np.asarray(out.filter(ImageFilter.GaussianBlur(0.6)))


def _grid(image: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    return x, y


def _sampled(image: Pixels, x: NDArray[np.float32], y: NDArray[np.float32]) -> Pixels:
    """The picture at these places, (H, W) each, bilinear."""
    height, width = image.shape[:2]
    x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, down, values = (x - left)[..., None], (y - top)[..., None], image.astype(np.float32)
    upper = values[top, left] * (1 - right) + values[top, left + 1] * right
    lower = values[top + 1, left] * (1 - right) + values[top + 1, left + 1] * right
    return np.rint(upper * (1 - down) + lower * down).astype(np.uint8)


def _framed(pixels: Pixels) -> Image.Image:
    """A file that the virtual camera shows whole: it cuts a little off below."""
    size = (round(SIZE[0] * MARGIN), round(SIZE[1] * MARGIN))
    scene = np.asarray(Image.fromarray(pixels).resize(size))
    below = round(size[1] / 0.85) - size[1]
    return Image.fromarray(np.pad(scene, ((0, below), (0, 0), (0, 0)), mode="edge"))

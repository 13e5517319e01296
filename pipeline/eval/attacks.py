"""Attacks drawn from a portrait: what stands before a camera when somebody holds up a phone, a print or a mask.

Drawn, not filmed: they show that a cue does what it is for, and where it is blind. No APCER of a real attack follows.
Every generator takes a portrait (H, W, 3) uint8 RGB with one face in its middle, and a step of a hand that trembles; it
gives a frame (480, 640, 3). The same seed gives the same scene, a step later the same scene a little moved.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.picture import Pixels

WIDTH, HEIGHT = 640, 480
SCREENS = {"cyan": (0, 15), "magenta": (1, 75), "yellow": (2, 0)}  # channel it takes light from, angle in degrees
INK, PAPER = 0.16, 0.96  # of the light

Attack = Callable[[Pixels, int, int], Pixels]
Print = Callable[[Pixels], Pixels]


def halftone(picture: Pixels) -> Pixels:
    """Each ink as dots on a turned grid, drawn at three times the size and seen from afar."""
    large = np.asarray(Image.fromarray(picture).resize((picture.shape[1] * 3, picture.shape[0] * 3)), np.float32) / 255
    y, x = np.mgrid[: large.shape[0], : large.shape[1]].astype(np.float32)
    sheet = np.ones_like(large)
    for channel, degrees in SCREENS.values():
        angle = math.radians(degrees)
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        dots = (np.cos(2 * math.pi * u / 8) + np.cos(2 * math.pi * v / 8) + 2) / 4
        sheet[..., channel] = np.where(dots > large[..., channel], INK, PAPER)
    seen = Image.fromarray((sheet * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(2.2))
    return np.asarray(seen.resize((picture.shape[1], picture.shape[0]), Image.Resampling.BOX))


def fine(picture: Pixels) -> Pixels:
    """The same inks on the same paper in dots that the sensor does not resolve: their mean alone is seen."""
    seen = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(0.7))
    return (255 * INK + (PAPER - INK) * np.asarray(seen, np.float32) + 0.5).astype(np.uint8)


def replay(portrait: Pixels, seed: int, step: int) -> Pixels:
    """On the screen of a phone: rows of coloured stripes that beat with the camera's pixels, a glow, a dark frame."""
    random = np.random.default_rng(seed)
    shown = _fitted(portrait, 300, 400)
    stripes = 0.82 + 0.18 * np.cos(2 * math.pi * np.arange(300)[None, :, None] / 2.3 + np.array([0, 2.1, 4.2]))
    lit = np.clip(shown * stripes * 1.08 + 12, 0, 255).astype(np.uint8)
    device = Image.new("RGBA", (340, 470), (0, 0, 0, 0))
    ImageDraw.Draw(device).rounded_rectangle((0, 0, 339, 469), radius=28, fill=(18, 18, 22, 255))
    device.paste(Image.fromarray(lit), (20, 35))
    return _held(device, random, step)


def printed(portrait: Pixels, seed: int, step: int, on_paper: Print = halftone) -> Pixels:
    """On paper: dots of three inks, a white border, less contrast."""
    random = np.random.default_rng(seed)
    return _held(_sheet(on_paper(_fitted(portrait, 300, 400))), random, step)


def bent(portrait: Pixels, seed: int, step: int, on_paper: Print = halftone) -> Pixels:
    """A print bent round an upright axis, as if over a cylinder, darker where it turns away."""
    random = np.random.default_rng(seed)
    sheet = np.asarray(_sheet(on_paper(_fitted(portrait, 300, 400))))
    across = np.linspace(-1, 1, int(sheet.shape[1] * 0.85))
    turned = np.arcsin(across * 0.95) / math.asin(0.95)
    columns = np.clip((turned + 1) / 2 * (sheet.shape[1] - 1), 0, sheet.shape[1] - 1).round().astype(np.intp)
    rolled = sheet[:, columns].astype(np.float32)
    rolled[..., :3] *= (0.65 + 0.35 * np.sqrt(1 - (across * 0.95) ** 2))[None, :, None]
    return _held(Image.fromarray(rolled.astype(np.uint8), "RGBA"), random, step)


def cut_out(portrait: Pixels, seed: int, step: int, on_paper: Print = halftone) -> Pixels:
    """A printed face cut out along its outline, with holes for the eyes, before somebody's head and shoulders."""
    random = np.random.default_rng(seed)
    face = Image.fromarray(on_paper(_fitted(portrait, 300, 400))).convert("RGBA")
    outline = Image.new("L", face.size, 0)
    draw = ImageDraw.Draw(outline)
    draw.ellipse((40, 40, 260, 370), fill=255)
    for x in (108, 192):
        draw.ellipse((x - 17, 165, x + 17, 183), fill=0)
    face.putalpha(outline.filter(ImageFilter.GaussianBlur(0.7)))
    scene = _wall(random)
    draw = ImageDraw.Draw(scene)
    skin = tuple(int(v) for v in random.integers((120, 85, 65), (200, 160, 140)))
    x, y = 320 + _tremble(step), 235 + _tremble(step + 7)
    draw.ellipse((x - 118, y - 190, x + 118, y + 175), fill=skin)
    draw.rectangle((x - 55, y + 140, x + 55, y + 250), fill=skin)
    draw.ellipse((x - 260, y + 190, x + 260, y + 520), fill=tuple(int(v) for v in random.integers(20, 120, 3)))
    for eye in (-42, 42):
        draw.ellipse((x + eye - 9, y - 35, x + eye + 9, y - 17), fill=(40, 30, 28))
    scene.paste(face, (x - 150, y - 200), face)
    return np.asarray(scene.filter(ImageFilter.GaussianBlur(0.6)))


def turned(frame: Pixels, degrees: float) -> Pixels:
    """A flat thing that shows this frame, turned about its upright middle line; the camera is three widths away."""
    rows, columns = frame.shape[:2]
    angle, distance = math.radians(degrees), 3.0 * columns
    equations, values = [], []
    for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        x, y = x * columns / 2, y * rows / 2
        depth = distance + x * math.sin(angle)
        u, v = columns / 2 + x * math.cos(angle) * distance / depth, rows / 2 + y * distance / depth
        x, y = x + columns / 2, y + rows / 2
        equations += [[u, v, 1, 0, 0, 0, -u * x, -v * x], [0, 0, 0, u, v, 1, -u * y, -v * y]]
        values += [x, y]
    back = np.linalg.solve(np.array(equations), np.array(values)).tolist()
    seen = Image.fromarray(frame).transform(
        (columns, rows), Image.Transform.PERSPECTIVE, back, Image.Resampling.BILINEAR
    )
    return np.asarray(seen)


ATTACKS: dict[str, Attack] = {
    "replay": replay,
    "print": printed,
    "bent print": bent,
    "cut-out": cut_out,
    "fine print": partial(printed, on_paper=fine),
    "fine cut-out": partial(cut_out, on_paper=fine),
}


def _fitted(portrait: Pixels, width: int, height: int) -> Pixels:
    """The middle of the portrait, as large as fits width x height."""
    rows, columns = portrait.shape[:2]
    side = min(columns, rows * width / height)
    tall = side * height / width
    box = ((columns - side) / 2, (rows - tall) / 2, (columns + side) / 2, (rows + tall) / 2)
    return np.asarray(Image.fromarray(portrait).resize((width, height), Image.Resampling.LANCZOS, box=box))


def _sheet(picture: Pixels) -> Image.Image:
    paper = Image.new("RGBA", (picture.shape[1] + 36, picture.shape[0] + 36), (238, 236, 230, 255))
    paper.paste(Image.fromarray(picture), (18, 18))
    return paper


def _held(thing: Image.Image, random: np.random.Generator, step: int) -> Pixels:
    """In somebody's hand before a wall, a little tilted."""
    scene = _wall(random)
    tilt = float(random.uniform(-5, 5)) + 0.3 * _tremble(step + 3)
    turned = thing.rotate(tilt, Image.Resampling.BICUBIC, expand=True)
    where = (320 - turned.width // 2 + _tremble(step), 240 - turned.height // 2 + _tremble(step + 7))
    scene.paste(turned, where, turned)
    return np.asarray(scene.filter(ImageFilter.GaussianBlur(0.6)))


def _wall(random: np.random.Generator) -> Image.Image:
    """Something that is not flat: a gradient with soft blotches and a little noise."""
    base = random.integers(90, 190, 3).astype(np.float32)
    blotches = np.asarray(
        Image.fromarray(random.integers(0, 60, (6, 8), dtype=np.uint8)).resize(
            (WIDTH, HEIGHT), Image.Resampling.BICUBIC
        ),
        np.float32,
    )
    wall = base + blotches[..., None] + random.normal(0, 3, (HEIGHT, WIDTH, 1))
    return Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8))


def _tremble(step: int) -> int:
    return round(4 * math.sin(1.7 * step) + 2 * math.sin(0.6 * step))

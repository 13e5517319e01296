"""What can stand before the virtual camera: nobody, each portrait of a folder, and each portrait held up on a phone.

A portrait fills the frame: a picture whose own edge is in view is what liveness takes for a print, and rightly so.
The phone scene is the attack: edge, bezel and glare are all in view.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from hal.errors import HalError

NOBODY = "nobody"
PHONE_PREFIX = "phone:"
SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
MAX_SIDE_PX = 6000
# The scene is drawn larger than the frame by this factor; the camera's slow drift stays inside it.
MARGIN = 1.12


class UnknownPicture(HalError):
    """No such picture in the folder, or one that cannot be read."""


@dataclass(frozen=True, slots=True)
class Framing:
    """Where a portrait's face is: its centre, and the width of the part to show, in parts of the picture's width."""

    centre_x: float = 0.5
    centre_y: float = 0.42
    width: float = 1.0


FRAMINGS = {
    "grace_hopper": Framing(0.52, 0.43, 0.96),
    "eileen_collins": Framing(0.43, 0.235, 0.50),
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A picture to choose: `name` is what the camera's `choose` takes, `portrait` the file's stem or None."""

    name: str
    label: str
    kind: str
    portrait: str | None


class PictureBook:
    """The pictures of one folder, read when first needed. The folder may be empty, absent, or filled later."""

    def __init__(self, folder: Path, size: tuple[int, int]) -> None:
        self._folder = folder
        self._size = (round(size[0] * MARGIN), round(size[1] * MARGIN))
        self._scenes: dict[str, Image.Image] = {}
        self._lock = threading.Lock()

    def choices(self) -> tuple[Choice, ...]:
        """What there is to choose now, in the order a page shows it."""
        portraits = sorted(self._files())
        return (
            Choice(NOBODY, "Nobody", "nobody", None),
            *(Choice(stem, label_of(stem), "person", stem) for stem in portraits),
            *(Choice(PHONE_PREFIX + stem, label_of(stem), "phone", stem) for stem in portraits),
        )

    def scene(self, name: str) -> Image.Image:
        """The RGB scene of a choice, larger than the frame by MARGIN. Raises UnknownPicture."""
        with self._lock:
            if name not in self._scenes:
                self._scenes[name] = self._draw(name)
            return self._scenes[name]

    def _draw(self, name: str) -> Image.Image:
        if name == NOBODY:
            return shop(self._size)
        if name.startswith(PHONE_PREFIX):
            return phone(self._size, self._portrait(name.removeprefix(PHONE_PREFIX)), _framing(name))
        return cover(self._portrait(name), self._size, _framing(name))

    def _files(self) -> dict[str, Path]:
        try:
            entries = list(self._folder.iterdir())
        except OSError:
            return {}
        return {path.stem: path for path in entries if path.suffix.lower() in SUFFIXES}

    def _portrait(self, stem: str) -> Image.Image:
        path = self._files().get(stem)
        if path is None:
            known = ", ".join(choice.name for choice in self.choices())
            raise UnknownPicture("virtual camera", f"there is no picture called {stem!r}", f"there are: {known}")
        try:
            with Image.open(path) as picture:
                if max(picture.size) > MAX_SIDE_PX:
                    raise UnknownPicture("virtual camera", f"{path.name} is over {MAX_SIDE_PX} px", "scale it down")
                return picture.convert("RGB")
        except (OSError, ValueError, Image.DecompressionBombError) as why:
            raise UnknownPicture("virtual camera", f"{path.name} cannot be read", str(why)) from why


def label_of(stem: str) -> str:
    """A file's stem as a person reads it: grace_hopper -> Grace Hopper."""
    return stem.replace("_", " ").replace("-", " ").title()


def _framing(name: str) -> Framing:
    return FRAMINGS.get(name.removeprefix(PHONE_PREFIX), Framing())


def cover(portrait: Image.Image, size: tuple[int, int], framing: Framing) -> Image.Image:
    """The part of the portrait around the face, cut to the shape of `size` so that no edge of it is in view."""
    width, height = portrait.size
    crop_width = min(framing.width * width, width, height * size[0] / size[1])
    crop_height = crop_width * size[1] / size[0]
    left = min(max(framing.centre_x * width - crop_width / 2, 0), width - crop_width)
    top = min(max(framing.centre_y * width - crop_height / 2, 0), height - crop_height)
    box = (left, top, left + crop_width, top + crop_height)
    return portrait.resize(size, Image.Resampling.LANCZOS, box=box)


def shop(size: tuple[int, int]) -> Image.Image:
    """A shop at rest, softly lit and out of focus: a wall, shelves with goods, the counter's edge."""
    width, height = size
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 1.0 - 0.30 * np.hypot(columns / width - 0.38, rows / height - 0.18)
    wall = np.clip(light[..., None] * np.array([214, 204, 190], np.float32), 0, 255).astype(np.uint8)
    scene = Image.fromarray(wall)
    draw = ImageDraw.Draw(scene)
    goods = np.random.default_rng(2026)
    palette = [(150, 170, 160), (186, 142, 110), (128, 138, 158), (204, 186, 150), (160, 120, 116), (110, 134, 124)]
    for shelf in range(3):
        floor = round(height * (0.30 + 0.22 * shelf))
        draw.rectangle((0, floor, width, floor + height * 0.018), fill=(140, 116, 94))
        x = float(goods.uniform(0, 20))
        while x < width:
            w, h = goods.uniform(0.03, 0.07) * width, goods.uniform(0.07, 0.15) * height
            draw.rectangle((x, floor - h, x + w, floor), fill=palette[int(goods.integers(len(palette)))])
            x += w + goods.uniform(0.005, 0.03) * width
    draw.rectangle((0, height * 0.88, width, height), fill=(122, 96, 76))
    return scene.filter(ImageFilter.GaussianBlur(width / 45))


def phone(size: tuple[int, int], portrait: Image.Image, framing: Framing) -> Image.Image:
    """A phone held in front of the shop with the portrait on its screen: bezel, rounded corners, a hand, a glare."""
    width, height = size
    scene = shop(size)
    body_h = round(height * 0.84)
    body_w = round(body_h * 0.60)
    bezel = round(body_w * 0.035)
    # Drawn upright on a layer of its own at twice the size, then tilted a little: nobody holds a phone straight.
    scale = 2
    layer = Image.new("RGBA", (body_w * 2 * scale, round(body_h * 1.25) * scale))
    left, top = body_w // 2 * scale, round(body_h * 0.06) * scale
    right, bottom = left + body_w * scale, top + body_h * scale
    draw = ImageDraw.Draw(layer)
    skin = (214, 168, 140, 255)
    draw.rounded_rectangle(
        (
            left - 0.13 * body_w * scale,
            bottom - 0.45 * body_h * scale,
            right + 0.10 * body_w * scale,
            bottom + 0.4 * body_h * scale,
        ),
        radius=round(0.18 * body_w * scale),
        fill=skin,
    )
    draw.rounded_rectangle(
        (left, top, right, bottom),
        radius=round(body_w * 0.11 * scale),
        fill=(24, 25, 28, 255),
        outline=(96, 99, 106, 255),
        width=2 * scale,
    )
    screen = (body_w * scale - 2 * bezel * scale, body_h * scale - 2 * bezel * scale)
    shown = cover(
        portrait, screen, Framing(framing.centre_x, framing.centre_y + framing.width * 0.12, framing.width * 0.82)
    )
    mask = Image.new("L", screen)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *screen), radius=round(body_w * 0.085 * scale), fill=255)
    layer.paste(_with_glare(shown), (left + bezel * scale, top + bezel * scale), mask)
    draw.rounded_rectangle(
        (
            left + body_w * 0.38 * scale,
            top + bezel * 2 * scale,
            right - body_w * 0.38 * scale,
            top + bezel * 4.2 * scale,
        ),
        radius=2 * bezel * scale,
        fill=(10, 10, 12, 255),
    )
    draw.rounded_rectangle(
        (
            right - 0.06 * body_w * scale,
            bottom - 0.36 * body_h * scale,
            right + 0.10 * body_w * scale,
            bottom - 0.20 * body_h * scale,
        ),
        radius=round(0.07 * body_w * scale),
        fill=skin,
    )
    layer = layer.resize((layer.width // scale, layer.height // scale), Image.Resampling.LANCZOS)
    layer = layer.rotate(-4, Image.Resampling.BICUBIC, expand=False)
    scene.paste(layer, ((width - layer.width) // 2, round(height * 0.06)), layer)
    return scene


def _with_glare(shown: Image.Image) -> Image.Image:
    """A screen's picture: lifted blacks, a bluish cast, and the ceiling light's reflection across it."""
    pixels = np.asarray(shown, np.float32) * np.array([0.86, 0.89, 0.97], np.float32) + 18
    rows, columns = np.mgrid[0 : shown.height, 0 : shown.width].astype(np.float32)
    across = columns / shown.width + 0.55 * rows / shown.height
    glare = 0.55 * np.exp(-(((across - 0.22) / 0.13) ** 2)) + 0.20 * np.exp(-(((across - 1.28) / 0.05) ** 2))
    pixels += glare[..., None] * (255 - pixels) * 0.75
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

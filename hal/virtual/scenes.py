"""Scenes for the virtual camera, drawn from a portrait: the person at the counter, the portrait on a phone, nobody.

A portrait fills the frame: a picture whose own edge is in view is what liveness takes for a print, and rightly so.
Where it is too narrow, what lies beside it is its own mirrored background, out of focus. The phone is the attack: edge,
bezel and glare are all in view.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Size = tuple[int, int]
# In parts of the frame's height, of the phone's height, of the frame's height.
PHONE_HEIGHT, PHONE_WIDTH, PHONE_TOP = 0.84, 0.50, 0.06
SKIN = (214, 168, 140, 255)
SHELL, RIM, NOTCH = (24, 25, 28, 255), (96, 99, 106, 255), (10, 10, 12, 255)


@dataclass(frozen=True, slots=True)
class Framing:
    """How much of a portrait stands in the frame: the face's centre, and the height shown, in parts of the picture."""

    centre_x: float = 0.5
    centre_y: float = 0.40
    height: float = 0.85


def person(portrait: Image.Image, size: Size, framing: Framing) -> Image.Image:
    """The person of the portrait, filling a frame of `size`."""
    shown = framing.height * portrait.height
    scale = size[1] / shown
    top = min(max(framing.centre_y * portrait.height - shown / 2, 0), portrait.height - shown)
    strip = portrait.resize((round(portrait.width * scale), size[1]), box=(0, top, portrait.width, top + shown))
    left = round(framing.centre_x * strip.width - size[0] / 2)
    if strip.width >= size[0]:
        left = min(max(left, 0), strip.width - size[0])
        return strip.crop((left, 0, left + size[0], size[1]))
    before = min(max(-left, 0), size[0] - strip.width)
    beside = ((0, 0), (before, size[0] - strip.width - before), (0, 0))
    wide = Image.fromarray(np.pad(np.asarray(strip), beside, mode="symmetric"))
    sharp = Image.new("L", size)
    fade = size[0] // 24
    ImageDraw.Draw(sharp).rectangle((before + fade, 0, before + strip.width - fade, size[1]), fill=255)
    sharp = sharp.filter(ImageFilter.GaussianBlur(fade / 2))
    return Image.composite(wide, wide.filter(ImageFilter.GaussianBlur(size[0] / 40)), sharp)


def shop(size: Size) -> Image.Image:
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


def phone(portrait: Image.Image, size: Size, framing: Framing) -> Image.Image:
    """A phone held in front of the shop with the portrait on its screen: bezel, rounded corners, a hand, a glare."""
    body_height = round(size[1] * PHONE_HEIGHT)
    held = _held_phone(portrait, body_height * 2, framing)
    held = held.resize((held.width // 2, held.height // 2), Image.Resampling.LANCZOS)
    held = held.rotate(-4, Image.Resampling.BICUBIC)  # nobody holds a phone straight
    scene = shop(size)
    scene.paste(held, ((size[0] - held.width) // 2, round(size[1] * PHONE_TOP)), held)
    return scene


def _held_phone(portrait: Image.Image, height: int, framing: Framing) -> Image.Image:
    """The phone and the hand around it, upright, RGBA; the phone is `height` px high."""
    unit = height * PHONE_WIDTH  # every length below is a part of the phone's width
    layer = Image.new("RGBA", (round(unit * 2), round(height * 1.25)))
    draw = ImageDraw.Draw(layer)
    x, y, tall = unit / 2, height * 0.06, height / unit

    def block(left: float, top: float, right: float, bottom: float, radius: float, **paint: object) -> None:
        box = (x + left * unit, y + top * unit, x + right * unit, y + bottom * unit)
        draw.rounded_rectangle(box, radius=radius * unit, **paint)  # type: ignore[arg-type]

    bezel = 0.035
    block(-0.13, tall * 0.55, 1.10, tall * 1.4, 0.18, fill=SKIN)
    block(0, 0, 1, tall, 0.11, fill=SHELL, outline=RIM, width=4)
    screen = (round((1 - 2 * bezel) * unit), round((tall - 2 * bezel) * unit))
    # As a gallery app shows a photo: as wide as the screen, black above and below.
    photo = person(portrait, (screen[0], round(screen[0] * 1.25)), framing)
    shown = Image.new("RGB", screen)
    shown.paste(photo, (0, round(screen[1] * 0.46 - photo.height / 2)))
    corners = Image.new("L", screen)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, *screen), radius=0.085 * unit, fill=255)
    layer.paste(_on_a_screen(shown), (round(x + bezel * unit), round(y + bezel * unit)), corners)
    block(0.38, 2 * bezel, 0.62, 4.2 * bezel, 0.07, fill=NOTCH)
    block(0.94, tall * 0.64, 1.10, tall * 0.80, 0.07, fill=SKIN)
    return layer


def _on_a_screen(picture: Image.Image) -> Image.Image:
    """How a lit screen gives a picture back: lifted blacks, a bluish cast, and the ceiling light across it."""
    pixels = np.asarray(picture, np.float32) * np.array([0.86, 0.89, 0.97], np.float32) + 18
    rows, columns = np.mgrid[0 : picture.height, 0 : picture.width].astype(np.float32)
    across = columns / picture.width + 0.55 * rows / picture.height
    glare = 0.55 * np.exp(-(((across - 0.22) / 0.13) ** 2)) + 0.20 * np.exp(-(((across - 1.28) / 0.05) ** 2))
    pixels += glare[..., None] * (255 - pixels) * 0.75
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

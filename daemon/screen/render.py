"""Turns a Scene into pixels.

What stays the same from frame to frame is drawn once: the elements below the live picture are kept as one finished
layer, and every shape and line of text as a mask. Not for use by two threads at once.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from daemon.screen import masks
from daemon.screen.elements import (
    Arc,
    Backdrop,
    Box,
    Dots,
    Element,
    Icon,
    Outline,
    Picture,
    Plate,
    Preview,
    Ring,
    Scene,
    Shadow,
    Text,
    Weight,
)
from daemon.screen.errors import WrongSize
from daemon.screen.fonts import Fonts, find_typeface, typeface
from daemon.screen.theme import Colour
from daemon.screen.typeset import fit

Pixels = NDArray[np.uint8]
_LAYERS = 8  # finished lower layers that are kept, one display's worth of pixels each


class Renderer:
    """Draws scenes of one display size. Raises FontMissing or FontRefused when it is made, never later."""

    def __init__(self, size: tuple[int, int], font_path: Path | None = None) -> None:
        self.size = size
        self.fonts = Fonts(typeface(font_path) if font_path else find_typeface())
        self._fit = lru_cache(maxsize=512)(lambda text: fit(text, self.fonts))
        self._words = lru_cache(maxsize=512)(self._word_mask)
        self._layer = lru_cache(maxsize=_LAYERS)(self._draw_layer)

    def render(self, scene: Scene, preview: Pixels | None = None, picture: Pixels | None = None) -> Pixels:
        """The scene as (H, W, 3) uint8 RGB, C-contiguous, the caller's to keep.

        `preview` and `picture` are (h, w, 3) uint8 RGB of any size; without them their regions show a plain colour.
        Raises WrongSize for a scene of another display.
        """
        if scene.size != self.size:
            raise WrongSize(scene.size, self.size)
        live = next((i for i, e in enumerate(scene.elements) if isinstance(e, Preview | Picture | Arc)), None)
        below, above = scene.elements[:live], scene.elements[live:] if live is not None else ()
        canvas = self._layer(below).copy()
        for element in above:
            match element:
                case Preview(box=box, radius=radius, empty=empty):
                    _compose(canvas, box, radius, empty, preview, mirror=True)
                case Picture(box=box, radius=radius, empty=empty):
                    _compose(canvas, box, radius, empty, picture, mirror=False)
                case _:
                    self._draw(canvas, element)
        return np.array(canvas)

    def _draw_layer(self, elements: tuple[Element, ...]) -> Image.Image:
        canvas = Image.new("RGB", self.size)
        for element in elements:
            self._draw(canvas, element)
        return canvas

    def _draw(self, canvas: Image.Image, element: Element) -> None:
        match element:
            case Backdrop(top=top, bottom=bottom):
                canvas.paste(_gradient(self.size, top, bottom))
            case Plate(box=box, colour=colour, radius=radius):
                _stamp(canvas, colour, box, masks.plate(box.w, box.h, radius))
            case Outline(box=box, colour=colour, radius=radius, width=width):
                _stamp(canvas, colour, box, masks.outline(box.w, box.h, radius, width))
            case Shadow(box=box, colour=colour, radius=radius, blur=blur):
                around = Box(box.x - 2 * blur, box.y - 2 * blur, box.w + 4 * blur, box.h + 4 * blur)
                _stamp(canvas, colour, around, masks.shadow(box.w, box.h, radius, blur))
            case Ring(box=box, colour=colour, width=width):
                _stamp(canvas, colour, box, masks.arc(box.w, width, 0.0, 1.0))
            case Arc(box=box, colour=colour, width=width, start=start, sweep=sweep):
                _stamp(canvas, colour, box, masks.arc(box.w, width, start, sweep))
            case Dots():
                self._draw_dots(canvas, element)
            case Icon(name=name, box=box, colour=colour, stroke=stroke):
                _stamp(canvas, colour, box, masks.icon(name, box.w, box.h, stroke))
            case Text():
                self._draw_text(canvas, element)
            case Preview(box=box, radius=radius, empty=empty) | Picture(box=box, radius=radius, empty=empty):
                _stamp(canvas, empty, box, masks.plate(box.w, box.h, radius))

    def _draw_dots(self, canvas: Image.Image, row: Dots) -> None:
        diameter = round(min(row.box.h, row.box.w / max(1, row.total)) * 0.36)
        full = tuple(place < row.filled for place in range(row.total))
        _stamp(canvas, row.empty, row.box, masks.dots(row.box.w, row.box.h, diameter // 2, tuple(not f for f in full)))
        _stamp(canvas, row.full, row.box, masks.dots(row.box.w, row.box.h, diameter, full))

    def _draw_text(self, canvas: Image.Image, text: Text) -> None:
        block = self._fit(text)
        for line in block.lines:
            mask, left, top = self._words(line.content, block.size, text.weight)
            _stamp(canvas, text.colour, Box(line.x + left, line.baseline + top, mask.width, mask.height), mask)

    def _word_mask(self, content: str, size: int, weight: Weight) -> tuple[Image.Image, int, int]:
        """(the words' mask, its left and top from the start of the baseline)."""
        font = self.fonts.at(size, weight)
        left, top, right, bottom = font.getbbox(content, anchor="ls")
        mask = Image.new("L", (max(1, int(right - left) + 1), max(1, int(bottom - top) + 1)))
        ImageDraw.Draw(mask).text((-left, -top), content, fill=255, font=font, anchor="ls")
        return mask, int(left), int(top)


def _stamp(canvas: Image.Image, colour: Colour, box: Box, mask: Image.Image) -> None:
    """Paints a colour through a mask whose upper left corner lies at the box's."""
    red, green, blue, opacity = colour
    if opacity < 255:
        mask = mask.point([round(cover * opacity / 255) for cover in range(256)])
    canvas.paste((red, green, blue), (box.x, box.y), mask)


def _compose(canvas: Image.Image, box: Box, radius: int, empty: Colour, pixels: Pixels | None, *, mirror: bool) -> None:
    """Fills the region with the picture's middle, cut to the region's shape."""
    mask = masks.plate(box.w, box.h, radius)
    if pixels is None or not pixels.size:
        _stamp(canvas, empty, box, mask)
        return
    height, width = pixels.shape[:2]
    scale = min(width / box.w, height / box.h)
    cut_w, cut_h = box.w * scale, box.h * scale
    x0, y0 = (width - cut_w) / 2, (height - cut_h) / 2
    picture = Image.fromarray(pixels).resize(
        (box.w, box.h), Image.Resampling.BILINEAR, box=(x0, y0, x0 + cut_w, y0 + cut_h), reducing_gap=1.5
    )
    if mirror:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    canvas.paste(picture, (box.x, box.y), mask)


def _bayer() -> NDArray[np.float32]:
    """(8, 8): thresholds in 0..1, each as far as can be from those near it."""
    order = np.zeros((1, 1), np.float32)
    for _ in range(3):
        order = np.block([[4 * order, 4 * order + 2], [4 * order + 3, 4 * order + 1]])
    return (order + np.float32(0.5)) / np.float32(64)


@lru_cache(maxsize=16)
def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    """From top left to bottom right, in an ordered dither (Bayer, 1973) so that no bands show."""
    width, height = size
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    along = (ys / height * 0.8 + xs / width * 0.2)[..., None]
    colours = np.array(top[:3], np.float32) * (1 - along) + np.array(bottom[:3], np.float32) * along
    grain = np.tile(_bayer(), (height // 8 + 1, width // 8 + 1))[:height, :width, None]
    return Image.fromarray(np.floor(colours + grain).clip(0, 255).astype(np.uint8))

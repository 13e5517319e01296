"""Smooth-edged shapes as coverage masks: Pillow images of mode "L", 0 outside, 255 inside; each made once and kept."""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from daemon.screen.icons import ICONS

_OVER = 4  # drawn this many times larger, then averaged down


@lru_cache(maxsize=128)
def plate(width: int, height: int, radius: int) -> Image.Image:
    """A filled rounded rectangle."""
    mask, draw = _canvas(width, height)
    draw.rounded_rectangle((0, 0, width * _OVER - 1, height * _OVER - 1), radius * _OVER, fill=255)
    return mask.reduce(_OVER)


@lru_cache(maxsize=64)
def outline(width: int, height: int, radius: int, line: int) -> Image.Image:
    """The edge of a rounded rectangle."""
    mask, draw = _canvas(width, height)
    edge = (0, 0, width * _OVER - 1, height * _OVER - 1)
    draw.rounded_rectangle(edge, radius * _OVER, outline=255, width=line * _OVER)
    return mask.reduce(_OVER)


@lru_cache(maxsize=32)
def shadow(width: int, height: int, radius: int, blur: int) -> Image.Image:
    """A blurred rounded rectangle with a margin of 2 x `blur` on each side."""
    mask = Image.new("L", (width + 4 * blur, height + 4 * blur))
    mask.paste(plate(width, height, radius), (2 * blur, 2 * blur))
    return mask.filter(ImageFilter.GaussianBlur(blur))


@lru_cache(maxsize=64)
def icon(name: str, width: int, height: int, stroke: float) -> Image.Image:
    """An icon's strokes with round ends."""
    mask, draw = _canvas(width, height)
    line = max(1, round(stroke * _OVER))
    for path in ICONS[name]:
        points = [(x * width * _OVER, y * height * _OVER) for x, y in path.points]
        if path.filled:
            draw.polygon(points, fill=255)
        draw.line([*points, points[0]] if path.closed else points, fill=255, width=line)
        for x, y in points:
            draw.ellipse((x - line / 2, y - line / 2, x + line / 2, y + line / 2), fill=255)
    return mask.reduce(_OVER)


@lru_cache(maxsize=64)
def dots(width: int, height: int, diameter: int, present: tuple[bool, ...]) -> Image.Image:
    """A row of equal cells, a dot in the middle of each that is present."""
    mask, draw = _canvas(width, height)
    for place, there in enumerate(present):
        if there:
            cx = (place + 0.5) * width / len(present) * _OVER
            cy, half = height / 2 * _OVER, diameter / 2 * _OVER
            draw.ellipse((cx - half, cy - half, cx + half, cy + half), fill=255)
    return mask.reduce(_OVER)


@lru_cache(maxsize=8)
def arc(side: int, line: int, start: float, sweep: float) -> Image.Image:
    """Part of a ring, in turns clockwise from the top, with round ends. A few are kept: a countdown's stands still for
    several live pictures."""
    cover, turn = _polar(side, line)
    sweep = min(1.0, max(0.0, sweep))
    if sweep >= 1.0:
        return Image.fromarray(cover.astype(np.uint8))
    if sweep <= 0.0:
        return Image.new("L", (side, side))
    along = (turn - np.float32(start)) % np.float32(1.0)
    shape = np.where(along <= sweep, cover, np.float32(0))
    radius = (side - line) / 2
    for end in (start, start + sweep):
        cx, cy = side / 2 + radius * sin(2 * pi * end), side / 2 - radius * cos(2 * pi * end)
        x0, y0 = max(0, int(cx - line)), max(0, int(cy - line))
        part = shape[y0 : y0 + 2 * line + 2, x0 : x0 + 2 * line + 2]
        ys, xs = np.ogrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        cap = np.clip(line / 2 + 0.5 - np.hypot(xs + 0.5 - cx, ys + 0.5 - cy), 0, 1) * 255
        np.maximum(part, cap, out=part)
    return Image.fromarray(shape.astype(np.uint8))


@lru_cache(maxsize=8)
def _polar(side: int, line: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(coverage 0..255 of the whole ring, each pixel's angle in turns clockwise from the top), both (side, side)."""
    ys, xs = np.mgrid[0:side, 0:side].astype(np.float32) + np.float32(0.5 - side / 2)
    distance = np.abs(np.hypot(xs, ys) - (side - line) / 2)
    cover = np.clip(line / 2 + 0.5 - distance, 0, 1) * 255
    return cover.astype(np.float32), (np.arctan2(xs, -ys) / (2 * pi) % 1.0).astype(np.float32)


def _canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    mask = Image.new("L", (max(1, width) * _OVER, max(1, height) * _OVER))
    return mask, ImageDraw.Draw(mask)

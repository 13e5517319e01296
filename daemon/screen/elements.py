"""The drawing elements a scene is made of: frozen, hashable, in pixels of the display.

`Box` is the only geometry: layouts cut boxes from boxes, so that what stands beside each other can't overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daemon.screen.theme import Colour

Align = Literal["left", "centre", "right"]
VAlign = Literal["top", "middle", "bottom"]
Weight = Literal["regular", "medium", "bold"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: left, top, width, height in pixels."""

    x: int
    y: int
    w: int
    h: int

    @property
    def right(self) -> int:
        return self.x + self.w

    @property
    def bottom(self) -> int:
        return self.y + self.h

    @property
    def centre(self) -> tuple[int, int]:
        return self.x + self.w // 2, self.y + self.h // 2

    def inset(self, dx: int, dy: int | None = None) -> Box:
        dy = dx if dy is None else dy
        return Box(self.x + dx, self.y + dy, max(0, self.w - 2 * dx), max(0, self.h - 2 * dy))

    def cut_top(self, height: int) -> tuple[Box, Box]:
        """(the strip of that height at the top, the rest); likewise the other three."""
        height = min(height, self.h)
        return Box(self.x, self.y, self.w, height), Box(self.x, self.y + height, self.w, self.h - height)

    def cut_bottom(self, height: int) -> tuple[Box, Box]:
        height = min(height, self.h)
        return Box(self.x, self.bottom - height, self.w, height), Box(self.x, self.y, self.w, self.h - height)

    def cut_left(self, width: int) -> tuple[Box, Box]:
        width = min(width, self.w)
        return Box(self.x, self.y, width, self.h), Box(self.x + width, self.y, self.w - width, self.h)

    def cut_right(self, width: int) -> tuple[Box, Box]:
        width = min(width, self.w)
        return Box(self.right - width, self.y, width, self.h), Box(self.x, self.y, self.w - width, self.h)

    def middle(self, width: int, height: int) -> Box:
        """A box of that size in the middle of this one, no larger than it."""
        width, height = min(width, self.w), min(height, self.h)
        return Box(self.x + (self.w - width) // 2, self.y + (self.h - height) // 2, width, height)

    def square(self) -> Box:
        """The largest square in the middle."""
        side = min(self.w, self.h)
        return self.middle(side, side)

    def contains(self, other: Box) -> bool:
        return self.x <= other.x and self.y <= other.y and other.right <= self.right and other.bottom <= self.bottom


@dataclass(frozen=True, slots=True)
class Backdrop:
    """Fills the whole display, from `top` to `bottom`."""

    top: Colour
    bottom: Colour


@dataclass(frozen=True, slots=True)
class Plate:
    """A filled rectangle with round corners (0: a plain one)."""

    box: Box
    colour: Colour
    radius: int = 0


@dataclass(frozen=True, slots=True)
class Outline:
    """The edge of a rounded rectangle, `width` pixels inwards."""

    box: Box
    colour: Colour
    radius: int
    width: int


@dataclass(frozen=True, slots=True)
class Shadow:
    """A soft shadow of a rounded rectangle; draws outside its box by up to 2 x `blur`."""

    box: Box
    colour: Colour
    radius: int
    blur: int


@dataclass(frozen=True, slots=True)
class Ring:
    """A circle's line inside its (square) box."""

    box: Box
    colour: Colour
    width: int


@dataclass(frozen=True, slots=True)
class Arc:
    """Part of a ring: from `start` over `sweep`, in turns (1.0 = all the way) clockwise from the top; round ends."""

    box: Box
    colour: Colour
    width: int
    start: float
    sweep: float


@dataclass(frozen=True, slots=True)
class Dots:
    """How many digits were typed: `filled` full dots, the rest of `total` as empty ones. It can't hold a digit."""

    box: Box
    filled: int
    total: int
    full: Colour
    empty: Colour


@dataclass(frozen=True, slots=True)
class Icon:
    """A drawing of `icons`, in strokes of `stroke` pixels inside its box."""

    name: str
    box: Box
    colour: Colour
    stroke: float


@dataclass(frozen=True, slots=True)
class Text:
    """Words in a box. Set at `size` pixels (an em), broken into at most `lines`, made smaller where it does not fit.

    `foreign` marks words that come from outside (a shop's name, an order's title): only they may be cut off with "…".
    """

    content: str
    box: Box
    size: int
    colour: Colour
    weight: Weight = "regular"
    align: Align = "left"
    valign: VAlign = "middle"
    lines: int = 1
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """Where the renderer puts the live camera picture, mirrored as in a mirror. A radius of half the side: a circle."""

    box: Box
    radius: int
    empty: Colour


@dataclass(frozen=True, slots=True)
class Picture:
    """Where the renderer puts a still picture that it is handed (an ad), filling the box."""

    box: Box
    radius: int
    empty: Colour


Element = Backdrop | Plate | Outline | Shadow | Ring | Arc | Dots | Icon | Text | Preview | Picture


@dataclass(frozen=True, slots=True)
class Scene:
    """One screen: its elements from back to front. `animated`: it looks different a moment later."""

    size: tuple[int, int]
    elements: tuple[Element, ...]
    animated: bool = False

    @property
    def needs_preview(self) -> bool:
        return any(isinstance(element, Preview) for element in self.elements)

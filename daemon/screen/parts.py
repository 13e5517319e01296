"""What screens are put together from: the page itself, the key legend, the hero drawing, a stack of rows.

Lengths are given in units of the 800x480 design and scaled by `Page.u`, so a screen keeps its proportions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from daemon.screen.elements import (
    Align,
    Arc,
    Backdrop,
    Box,
    Dots,
    Element,
    Icon,
    Outline,
    Plate,
    Ring,
    Shadow,
    Text,
    Weight,
)
from daemon.screen.money import amount
from daemon.screen.text import Wording
from daemon.screen.theme import Colour, Theme
from daemon.screen.typeset import SMALLEST

KeyName = Literal["ok", "cancel", "back", "menu", "agree", "decline"]


@dataclass(frozen=True, slots=True)
class Page:
    """One display with its language and colours."""

    size: tuple[int, int]
    words: Wording
    theme: Theme
    at_s: float = 0.0

    @property
    def portrait(self) -> bool:
        return self.size[1] > self.size[0]

    @property
    def along(self) -> Literal["left", "centre"]:
        """How words stand beside a picture, or below it."""
        return "centre" if self.portrait else "left"

    def tall(self, length: float, portrait: float) -> float:
        """A length in units, or another one on a tall display."""
        return portrait if self.portrait else length

    @property
    def box(self) -> Box:
        return Box(0, 0, *self.size)

    def u(self, length: float) -> int:
        """Design units as pixels."""
        width, height = self.size
        scale = min(width / 480, height / 800) if self.portrait else min(width / 800, height / 480)
        return max(1, round(length * scale))

    def em(self, size: float) -> int:
        """A size of letters in units, as pixels: on a small display larger than in proportion, to be read at all."""
        return max(SMALLEST, self.u(size))

    def text(
        self,
        content: str,
        box: Box,
        size: float,
        colour: Colour,
        weight: Weight = "regular",
        *,
        align: Literal["left", "centre", "right"] = "centre",
        valign: Literal["top", "middle", "bottom"] = "middle",
        lines: int = 1,
        foreign: bool = False,
    ) -> Text:
        return Text(content, box, self.em(size), colour, weight, align, valign, lines, foreign)

    def amount(
        self,
        minor: int | None,
        currency: str,
        box: Box,
        size: float,
        colour: Colour | None = None,
        align: Literal["left", "centre"] = "centre",
    ) -> Text:
        """The sum; where nobody pays, that it is about who stands here."""
        if minor is None:
            label, ink = self.words("identity.label"), colour or self.theme.ink
            return self.text(label, box, min(size, 40), ink, "bold", align=align)
        return self.text(amount(minor, currency), box, size, colour or self.theme.ink, "bold", align=align)


def paper(page: Page) -> Backdrop:
    return Backdrop(page.theme.paper, page.theme.paper_deep)


def stack(box: Box, rows: Sequence[float], page: Page, gap: float = 0) -> list[Box]:
    """Rows of these heights (units), one below the other in the middle of the box; flatter where they don't fit.

    On a tall display they stand a little above the middle, where the eye looks for them.
    """
    wanted = page.u(sum(rows) + gap * (len(rows) - 1))
    scale = min(1.0, box.h / wanted)
    y = box.y + (box.h - wanted * scale) * (0.42 if page.portrait else 0.5)
    boxes = []
    for row in rows:
        height = page.u(row) * scale
        boxes.append(Box(box.x, round(y), box.w, int(height)))
        y += height + (page.u(gap) * scale if gap else 0)
    return boxes


def legend(page: Page, keys: Sequence[KeyName], box: Box | None = None) -> tuple[list[Element], Box]:
    """(what the keys do now, along the bottom; the room above). Cancel stands left and OK right, as on the keypad."""
    strip, body = (box or page.box).cut_bottom(page.u(112 if page.portrait else 76))
    row = strip.inset(page.u(28), 0).cut_top(page.u(96 if page.portrait else 64))[0]
    elements: list[Element] = []
    x = row.x
    for place, (key, width) in enumerate(zip(keys, _cell_widths(page, keys, row.w), strict=True)):
        cell = Box(x, row.y, width, row.h)
        elements += _upright_key(page, key, cell) if page.portrait else _key(page, key, cell, place, len(keys))
        x += width
    return elements, body


def _cell_widths(page: Page, keys: Sequence[KeyName], room: int) -> list[int]:
    """Alike; where one label needs more than that, each as its label asks for, in two lines where one has no room."""
    labels = [page.words(f"key.{key}") for key in keys]
    alike = room // len(keys)
    wanted = [_key_width(page, label) for label in labels]
    if page.portrait or max(wanted) <= alike:
        return [alike] * len(keys)
    if sum(wanted) > room:
        wanted = [_key_width(page, max(label.split(), key=len)) for label in labels]
    return [room * width // sum(wanted) for width in wanted]


def _cap(page: Page, key: KeyName, box: Box) -> list[Element]:
    """The key itself, in the colour that it has on a bank's keypad."""
    icon, colour = {
        "ok": ("check", page.theme.good),
        "agree": ("check", page.theme.good),
        "cancel": ("cross", page.theme.bad),
        "decline": ("cross", page.theme.bad),
        "back": ("back", page.theme.wait),
        "menu": ("menu", page.theme.brand),
    }[key]
    cap = box.square()
    return [
        Plate(cap, colour, cap.w // 2),
        Icon(icon, cap.inset(cap.w // 5), page.theme.on_colour, max(1.5, cap.w * 0.075)),
    ]


_CAP, _CAP_GAP = 46, 12  # of a key, between it and its label, and between two keys; in units


def _key_width(page: Page, label: str) -> int:
    return page.u(_CAP) + 2 * page.u(_CAP_GAP) + roughly(label, page.em(25))


def _key(page: Page, key: KeyName, cell: Box, place: int, count: int) -> list[Element]:
    """Cap and label side by side: the first key at the left end, the last at the right, others in between."""
    gap, label = page.u(_CAP_GAP), page.words(f"key.{key}")
    used = min(cell.w - (gap if place < count - 1 else 0), _key_width(page, label) - gap)
    spare = cell.w - used
    shift = 0 if place == 0 else spare if place == count - 1 else spare // 2
    box = Box(cell.x + shift, cell.y, used, cell.h)
    left, words = box.cut_left(page.u(_CAP))
    text = page.text(label, words.cut_left(gap)[1], 25, page.theme.ink, "medium", align="left", lines=2)
    return [*_cap(page, key, left), text]


def _upright_key(page: Page, key: KeyName, cell: Box) -> list[Element]:
    """Cap above label, for narrow displays."""
    top, below = cell.cut_top(page.u(52))
    text = page.text(page.words(f"key.{key}"), below.inset(page.u(4), 0), 24, page.theme.ink, "medium")
    return [*_cap(page, key, top), text]


def roughly(content: str, size: int) -> int:
    """About how wide the words are, never less; for grounds and centring, typeset measures for sure."""
    ems = 0.0
    for letter in content:
        if ord(letter) > 0x2E7F:
            ems += 1.0
        elif letter in " .,:;'ijlI|":
            ems += 0.31
        elif letter.isupper() or letter in "mwMW":
            ems += 0.76
        else:
            ems += 0.575
    return round(ems * size) + 4


def hero(page: Page, box: Box, icon: str, colour: Colour, halo: Colour) -> list[Element]:
    """A disc with a drawing in it and a soft ring around."""
    outer = box.square()
    disc = outer.inset(round(outer.w * 0.11))
    return [
        Plate(outer, halo, outer.w // 2),
        Plate(disc, colour, disc.w // 2),
        Icon(icon, disc.inset(round(disc.w * 0.18)), page.theme.on_colour, disc.w * 0.075),
    ]


def busy(page: Page, box: Box, icon: str, colour: Colour) -> list[Element]:
    """A ring with a part that runs around; the drawing in the middle."""
    ring = box.square()
    width = max(3, ring.w // 16)
    return [
        Icon(icon, ring.inset(round(ring.w * 0.29)), colour, ring.w * 0.035),
        Ring(ring, page.theme.line, width),
        Arc(ring, colour, width, (page.at_s * 0.7) % 1.0, 0.28),
    ]


def countdown(page: Page, box: Box, left_s: float | None, total_s: float) -> list[Element]:
    """Seconds left as a small ring with the number in it; nothing where there is no limit."""
    if left_s is None:
        return []
    ring = box.square()
    colour = page.theme.warm if left_s <= 5 else page.theme.brand
    width = max(2, ring.w // 14)
    return [
        Ring(ring, page.theme.line, width),
        page.text(str(max(0, int(left_s + 0.999))), ring.inset(ring.w // 5), 22, page.theme.muted, "medium"),
        Arc(ring, colour, width, 0.0, left_s / max(total_s, 0.001)),
    ]


def cells(page: Page, box: Box, count: int, current: int) -> tuple[list[Element], list[Box]]:
    """A row of little cards, one for each digit; the one that comes next is marked."""
    gap = page.u(12)
    side = min(box.h, (box.w - gap * (count - 1)) // count, page.u(78))
    width = side * count + gap * (count - 1)
    row = box.middle(width, side)
    boxes = [Box(row.x + place * (side + gap), row.y, side, side) for place in range(count)]
    elements: list[Element] = []
    for place, cell in enumerate(boxes):
        radius = side // 5
        colour = page.theme.brand if place == current else page.theme.line
        line = page.u(3 if place == current else 2)
        elements += [Plate(cell, page.theme.card, radius), Outline(cell, colour, radius, line)]
    return elements, boxes


def pin_cells(page: Page, box: Box, typed: int, length: int) -> list[Element]:
    """The cells of a PIN with a dot in each that is filled."""
    count = max(1, length, typed)
    elements, boxes = cells(page, box, count, typed)
    for place in range(min(typed, count)):
        elements.append(Dots(boxes[place], 1, 1, page.theme.ink, page.theme.card))
    return elements


def progress(
    page: Page, box: Box, done: int, total: int, *, colours: tuple[Colour, Colour, Colour, Colour], align: Align
) -> list[Element]:
    """How many of `total` steps are done, in no language: a disc with a tick for each of them, a thick ring for the one
    that is asked for, a thin ring for each that comes after. `colours`: of disc, tick, thick ring and thin ring."""
    ground, tick, now, later = colours
    side = min(box.h, page.u(36))
    gap = round(side * 0.55)
    row = box.middle(total * side + (total - 1) * gap, side)
    if align == "left":
        row = Box(box.x, row.y, row.w, row.h)
    elements: list[Element] = []
    for place in range(total):
        disc = Box(row.x + place * (side + gap), row.y, side, side)
        if place < done:
            elements += [Plate(disc, ground, side), Icon("check", disc.inset(round(side * 0.18)), tick, side * 0.1)]
        elif place == done:
            elements.append(Ring(disc, now, max(2, round(side * 0.16))))
        else:
            elements.append(Ring(disc, later, max(1, round(side * 0.07))))
    return elements


def pill(page: Page, box: Box, content: str, ink: Colour, ground: Colour, size: float = 24) -> list[Element]:
    """A short note on a coloured ground, in the middle of the box."""
    plate = box.middle(roughly(content, page.em(size)) + 2 * page.u(18), max(page.u(size * 1.75), page.em(size) + 4))
    return [Plate(plate, ground, plate.h // 2), page.text(content, plate.inset(page.u(14), 0), size, ink, "medium")]


def card(page: Page, box: Box) -> list[Element]:
    """A white card with a soft shadow."""
    radius = page.u(24)
    return [Shadow(box, page.theme.shadow, radius, page.u(9)), Plate(box, page.theme.card, radius)]


def flat(*groups: Element | Iterable[Element]) -> tuple[Element, ...]:
    """Elements and groups of them as one tuple, back to front."""
    elements: list[Element] = []
    for group in groups:
        elements += list(group) if isinstance(group, Iterable) else [group]
    return tuple(elements)

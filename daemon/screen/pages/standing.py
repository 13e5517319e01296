"""The screens while nobody pays: starting, ready for the next payer, or out of order."""

from __future__ import annotations

from daemon.screen.elements import Arc, Backdrop, Box, Element, Icon, Plate, Ring
from daemon.screen.parts import Page, flat, hero, paper, stack
from daemon.screen.views import Booting, Condition, Idle, Trouble


def _emblem(page: Page, box: Box) -> list[Element]:
    """The face in its frame on ever lighter circles: the sign under which people find the box."""
    theme = page.theme
    outer = box.square()
    middle, inner = outer.inset(round(outer.w * 0.11)), outer.inset(round(outer.w * 0.22))
    face = inner.inset(round(inner.w * 0.14))
    return [
        *(Plate(circle, theme.veil, circle.w // 2) for circle in (outer, middle, inner)),
        Icon("face", face, theme.on_colour, face.w * 0.055),
    ]


def booting(page: Page, view: Booting) -> tuple[Element, ...]:
    theme = page.theme
    rows = stack(page.box.inset(page.u(32)), (page.tall(200, 240), page.tall(34, 56), 64, 44), page)
    ring = rows[0].square()
    width = page.u(7)
    face = ring.inset(round(ring.w * 0.26))
    start, sweep = (page.at_s * 0.7 % 1.0, 0.25) if view.progress is None else (0.0, view.progress)
    return flat(
        Backdrop(theme.brand, theme.brand_deep),
        Icon("face", face, theme.on_colour, face.w * 0.055),
        page.text(page.words("booting.headline"), rows[2], 44, theme.on_colour, "bold"),
        page.text(page.words(f"boot.{view.step}"), rows[3], 27, theme.on_colour_muted),
        Ring(ring, theme.veil, width),
        Arc(ring, theme.on_colour, width, start, sweep),
    )


# With one of these nobody can pay by face, and the screen must not invite to it.
FACELESS = frozenset(
    {
        Condition.NO_CAMERA, Condition.NO_MODELS, Condition.NO_GALLERY, Condition.FACES_REFUSED, Condition.STORE_LOCKED,
        Condition.KEY_REFUSED, Condition.NO_DATA, Condition.DISK_FULL, Condition.FACES_LOADING,
    }
)  # fmt: skip


NARROW = 400  # pixels: less has no room for three notes side by side


def _ready(conditions: tuple[str, ...]) -> str:
    return "ready" if FACELESS.isdisjoint(conditions) else "faceless"


def idle(page: Page, view: Idle) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    head, body = page.box.inset(page.u(36), page.u(18)).cut_top(page.u(52))
    foot, body = body.cut_bottom(page.u(page.tall(56, 112)))
    left, right = head.cut_left(head.w // 2)
    if page.portrait:
        sign, side = body.cut_top(round(body.h * 0.56))
        sign = sign.inset(page.u(20))
    else:
        sign, side = body.cut_right(round(body.w * 0.46))
        sign, side = sign.inset(page.u(2)), side.cut_right(page.u(20))[1]
    align = page.along
    rows = stack(side, (46, page.tall(150, 140), 50), page, gap=page.tall(12, 8))
    return flat(
        Backdrop(theme.brand, theme.brand_deep),
        _emblem(page, sign),
        page.text(view.box, left, 22, theme.on_colour_muted, align="left", foreign=True),
        page.text(view.clock or "", right, 32, theme.on_colour, "medium", align="right", foreign=True),
        page.text(words("idle.welcome"), rows[0], 32, theme.on_colour_muted, align=align, valign="bottom"),
        page.text(view.shop, rows[1], 56, theme.on_colour, "bold", align=align, lines=2, foreign=True),
        page.text(
            words(f"idle.{_ready(view.conditions)}"), rows[2], 30, theme.on_colour, "medium", align=align, valign="top"
        ),
        _notes(page, foot, view.conditions),
    )


def _notes(page: Page, strip: Box, conditions: tuple[str, ...]) -> list[Element]:
    """A few small notes: what the box can't do at the moment. Side by side, or below each other on a tall display."""
    theme, gap = page.theme, page.u(12)
    most = 2 if page.portrait or page.size[0] < NARROW else 3
    width = strip.w if page.portrait else (strip.w - (most - 1) * gap) // most
    height = page.u(46)
    elements: list[Element] = []
    for place, condition in enumerate(conditions[:most]):
        if page.portrait:
            plate = Box(strip.x, strip.y + place * (height + page.u(8)), width, height)
        else:
            plate = Box(strip.x + place * (width + gap), strip.y + (strip.h - height) // 2, width, height)
        dot, words = plate.inset(page.u(14), 0).cut_left(page.u(26))
        light = Box(dot.x, dot.y, page.u(14), dot.h).square()
        elements += [
            Plate(plate, theme.veil, plate.h // 2),
            Plate(light, theme.wait, light.w // 2),
            page.text(page.words(f"condition.{condition}"), words, 23, theme.on_colour, "medium", align="left"),
        ]
    return elements


def trouble(page: Page, view: Trouble) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    foot, body = page.box.inset(page.u(32), page.u(14)).cut_bottom(page.u(44))
    rows = stack(body, (page.tall(150, 210), page.tall(18, 36), 68, 88), page)
    note = words(f"condition.{view.condition}")
    return flat(
        paper(page),
        hero(page, rows[0], "offline" if view.condition == "offline" else "warning", theme.wait, theme.wait_soft),
        page.text(words("trouble.headline"), rows[2], 46, theme.ink, "bold"),
        page.text(words(f"trouble.{view.suggestion or view.condition}"), rows[3], 32, theme.muted, lines=2),
        page.text(f"{note} · {view.box}" if view.box else note, foot, 22, theme.muted, foreign=True),
    )

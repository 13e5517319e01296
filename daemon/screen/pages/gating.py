"""A gate's screens: ready for whoever comes next, open, and why it stays shut."""

from __future__ import annotations

from daemon.screen.elements import Backdrop, Element, Icon, Plate
from daemon.screen.money import amount
from daemon.screen.parts import Page, flat, hero, paper, progress, stack
from daemon.screen.views import GateOpen, GateReady, GateShut


def ready(page: Page, view: GateReady) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    headline = page.tall(76, 112) if view.steps else 76
    rows = stack(page.box.inset(page.u(32)), (page.tall(170, 240), headline, 56, 48), page, gap=page.tall(14, 30))
    sign = rows[0].square()
    face = sign.inset(round(sign.w * 0.2))
    hint = view.hint if view.hint not in (None, "no_face") else None
    asked = words(f"hint.{hint}") if hint else words("gate.look")
    on = theme.on_colour
    if view.steps:
        colours = (on, theme.brand_deep, on, theme.on_colour_muted)
        above = page.text(asked, rows[1], 46, on, "bold", lines=2)
        below: Element | list[Element] = progress(page, rows[2], view.done, view.steps, colours=colours, align="centre")
    else:
        above = page.text(words("gate.ready"), rows[1], 52, on, "bold")
        below = page.text(asked, rows[2], 32, on, "medium")
    return flat(
        Backdrop(theme.brand, theme.brand_deep),
        Plate(sign, theme.veil, sign.w // 2),
        Icon("face", face, on, face.w * 0.055),
        above,
        below,
        page.text(
            words("gate.fare", amount=amount(view.passage_minor, view.currency)), rows[3], 27, theme.on_colour_muted
        ),
    )


def opened(page: Page, view: GateOpen) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    rows = stack(page.box.inset(page.u(32)), (page.tall(160, 240), 90, 60), page, gap=page.tall(18, 36))
    charged = amount(view.charged_minor, view.currency) if view.charged_minor else ""
    return flat(
        paper(page),
        hero(page, rows[0], "check", theme.brand, theme.brand_soft),
        page.text(words("gate.open"), rows[1], 60, theme.ink, "bold"),
        page.text(words("gate.charged", amount=charged) if charged else words("gate.free"), rows[2], 32, theme.muted),
    )


def shut(page: Page, view: GateShut) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    rows = stack(page.box.inset(page.u(32)), (page.tall(150, 230), 70, 96), page, gap=page.tall(18, 36))
    return flat(
        paper(page),
        hero(page, rows[0], "cross", theme.bad, theme.bad_soft),
        page.text(words("gate.shut"), rows[1], 46, theme.ink, "bold"),
        page.text(words(f"gateshut.{view.reason}"), rows[2], 32, theme.muted, lines=2),
    )

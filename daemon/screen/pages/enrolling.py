"""The screens on which a person becomes a payer: consent first, then the face, then a PIN typed twice."""

from __future__ import annotations

from daemon.screen.elements import Element
from daemon.screen.pages.paying import halves, mirror
from daemon.screen.parts import Page, flat, hero, legend, paper, pill, pin_cells, stack
from daemon.screen.views import Consent, EnrolDone, EnrolFailed, EnrolLook, Hint, NewPin


def consent(page: Page, view: Consent) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("decline", "agree"))
    body = body.inset(page.u(40), page.u(18))
    purposes = [words(f"purpose.{purpose}") for purpose in view.purposes]
    rows = stack(body, (60, 128 if page.portrait else 92, 60, 40, 34), page, gap=12)
    width = rows[2].w // max(1, len(purposes))
    width = min(width, page.u(200))
    start = rows[2].x + (rows[2].w - width * len(purposes)) // 2
    chips: list[Element] = []
    for place, purpose in enumerate(purposes):
        box = rows[2].cut_left(width)[0]
        box = type(box)(start + place * width, box.y, width, box.h)
        chips += pill(page, box.inset(page.u(6), 0), purpose, theme.brand, theme.brand_soft, 28)
    return flat(
        paper(page),
        page.text(words("consent.headline"), rows[0], 44, theme.ink, "bold"),
        page.text(words("consent.intro"), rows[1], 29, theme.ink, lines=4),
        chips,
        page.text(words("consent.withdraw"), rows[3], 26, theme.muted),
        page.text(words("consent.version", version=view.notice_version), rows[4], 21, theme.muted, foreign=True)
        if view.notice_version
        else (),
        keys,
    )


def enrol_look(page: Page, view: EnrolLook) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel",))
    glass, side = halves(page, body if page.portrait else page.box)
    if not page.portrait:
        side = side.cut_bottom(page.u(60))[1]
    align = page.along
    rows = stack(side, (40, 130), page, gap=8)
    sentence = words(f"hint.{view.hint}") if view.hint else words("look.enrol")
    colour = theme.good if view.hint == Hint.HOLD_STILL else theme.brand
    return flat(
        paper(page),
        keys,
        page.text(words("consent.headline"), rows[0], 27, theme.muted, align=align),
        page.text(sentence, rows[1], 44, colour, "bold", align=align, valign="top", lines=2),
        mirror(page, glass.inset(page.u(6)), theme.good, view.progress),
    )


def new_pin(page: Page, view: NewPin) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel", "back", "ok"))
    rows = stack(body.inset(page.u(28), page.u(16)), (60, 44, 100, 48), page, gap=12)
    again = view.step == "repeat"
    detail = words("newpin.repeat_detail") if again else words("newpin.detail", length=view.length)
    return flat(
        paper(page),
        page.text(words(f"newpin.{view.step}"), rows[0], 42, theme.ink, "bold"),
        page.text(detail, rows[1], 27, theme.muted),
        pin_cells(page, rows[2], view.typed, view.length),
        pill(page, rows[3], words("newpin.mismatch"), theme.bad, theme.bad_soft) if view.mismatch else (),
        keys,
    )


def enrol_done(page: Page, _: EnrolDone) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    rows = stack(page.box.inset(page.u(32), page.u(20)), (156, 22, 70, 56), page)
    return flat(
        paper(page),
        hero(page, rows[0], "person", theme.brand, theme.brand_soft),
        page.text(words("enroldone.headline"), rows[2], 50, theme.ink, "bold"),
        page.text(words("enroldone.detail"), rows[3], 30, theme.muted),
    )


def enrol_failed(page: Page, view: EnrolFailed) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    rows = stack(page.box.inset(page.u(32), page.u(20)), (146, 18, 70, 90), page)
    return flat(
        paper(page),
        hero(page, rows[0], "cross", theme.muted, theme.line),
        page.text(words("enrolfailed.headline"), rows[2], 48, theme.ink, "bold"),
        page.text(words(f"enrolfailed.{view.reason}"), rows[3], 30, theme.muted, lines=2),
    )

"""The screens on which a person becomes a payer: consent first, then the face, then a PIN typed twice."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.screen.elements import Box, Element
from daemon.screen.money import amount
from daemon.screen.pages.paying import beside, mirror
from daemon.screen.parts import Page, busy, flat, hero, legend, paper, pill, pin_cells, roughly, stack
from daemon.screen.views import Authorise, Consent, EnrolDone, EnrolFailed, EnrolLook, EnrolSaving, Hint, NewPin

_AUTHORISED = {"enrol": "authorise.detail", "takeback": "authorise.detail_takeback"}


def authorise(page: Page, view: Authorise) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel", "back", "ok"))
    rows = stack(body.inset(page.u(28), page.u(16)), (60, 44, 84, 48), page, gap=12)
    left = view.wrong_tries_left
    detail = words("authorise.checking") if view.checking else words(_AUTHORISED[view.to])
    wrong = "" if left is None else words("pin.wrong_last") if left <= 1 else words("pin.wrong", tries=left)
    return flat(
        paper(page),
        page.text(words("authorise.headline"), rows[0], 42, theme.ink, "bold"),
        page.text(detail, rows[1], 27, theme.muted),
        pin_cells(page, rows[2], view.typed, view.length),
        pill(page, rows[3], wrong, theme.bad, theme.bad_soft) if wrong and not view.checking else (),
        keys,
    )


def ask_guardian(page: Page) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("decline",))
    rows = stack(body.inset(page.u(40), page.u(18)), (60, page.tall(92, 150), 60, 60), page, gap=page.tall(12, 20))
    return flat(
        paper(page),
        page.text(words("guardian.headline"), rows[0], 44, theme.ink, "bold"),
        page.text(words("guardian.intro"), rows[1], 29, theme.ink, lines=3),
        pill(page, rows[2], words("guardian.parent"), theme.brand, theme.brand_soft, 30),
        pill(page, rows[3], words("guardian.legal_guardian"), theme.brand, theme.brand_soft, 30),
        keys,
    )


def consent(page: Page, view: Consent) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("decline", "agree"))
    body = body.inset(page.u(40), page.u(18))
    chips = page.tall(60, 124 if len(view.purposes) > 3 else 60)
    rows = stack(
        body, (60, page.tall(92, 150), chips, page.tall(76 if view.fare else 40, 76), 34), page, gap=page.tall(12, 20)
    )
    return flat(
        paper(page),
        page.text(words("consent.headline"), rows[0], 44, theme.ink, "bold"),
        page.text(words(_intro(view)), rows[1], 29, theme.ink, lines=4),
        _chips(page, rows[2], [words(f"purpose.{purpose}") for purpose in view.purposes]),
        page.text(_terms(page, view), rows[3], 26, theme.muted, lines=2),
        page.text(words("consent.version", version=view.notice_version), rows[4], 21, theme.muted, foreign=True)
        if view.notice_version
        else (),
        keys,
    )


def _intro(view: Consent) -> str:
    """Where it is kept, and whose it is."""
    return f"consent.intro{'_child' if view.child else ''}{'_elsewhere' if view.elsewhere else ''}"


def _terms(page: Page, view: Consent) -> str:
    if view.fare is not None:
        passage, day, currency = view.fare
        return page.words("consent.fare", passage=amount(passage, currency), day=amount(day, currency))
    return page.words("consent.adult" if view.adult else "consent.withdraw")


def _chips(page: Page, row: Box, names: Sequence[str]) -> list[Element]:
    """The purposes as labels side by side, in the middle of the row; many of them in two rows on a tall display."""
    if page.portrait and len(names) > 3:
        upper, lower = row.cut_top(row.h // 2)
        half = len(names) // 2
        return [*_chips(page, upper, names[:half]), *_chips(page, lower, names[half:])]
    gap, margin, size = page.u(14), page.u(20), 27.0
    room = row.w - gap * (len(names) - 1)
    widths = [roughly(name, page.em(size)) + 2 * margin for name in names]
    shrink = min(1.0, room / max(1, sum(widths)))
    widths = [int(width * shrink) for width in widths]
    x = row.x + (room - sum(widths)) // 2
    elements: list[Element] = []
    for name, width in zip(names, widths, strict=True):
        elements += pill(page, Box(x, row.y, width, row.h), name, page.theme.brand, page.theme.brand_soft, size)
        x += width + gap
    return elements


def enrol_look(page: Page, view: EnrolLook) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, glass, side = beside(page)
    rows = stack(side, (42, 130), page, gap=6)
    align = page.along
    sentence = words(f"hint.{view.hint}") if view.hint else words("look.enrol")
    colour = theme.good if view.hint == Hint.HOLD_STILL else theme.brand
    return flat(
        paper(page),
        keys,
        page.text(words("consent.headline"), rows[0], 27, theme.muted, align=align),
        page.text(sentence, rows[1], 44, colour, "bold", align=align, valign="top", lines=2),
        mirror(page, glass, theme.good, view.progress),
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


def enrol_saving(page: Page, view: EnrolSaving) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    rows = stack(page.box.inset(page.u(32), page.u(20)), (page.tall(140, 190), page.tall(22, 40), 68, 84), page)
    return flat(
        paper(page),
        page.text(words("saving.headline"), rows[2], 44, theme.ink, "bold"),
        page.text(words("saving.late" if view.late else "saving.detail"), rows[3], 28, theme.muted, lines=2),
        busy(page, rows[0], "lock", theme.brand),
    )


def enrol_done(page: Page, _: EnrolDone) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    rows = stack(page.box.inset(page.u(32), page.u(20)), (page.tall(160, 220), page.tall(24, 40), 70, 56), page)
    return flat(
        paper(page),
        hero(page, rows[0], "person", theme.brand, theme.brand_soft),
        page.text(words("enroldone.headline"), rows[2], 50, theme.ink, "bold"),
        page.text(words("enroldone.detail"), rows[3], 30, theme.muted),
    )


def enrol_failed(page: Page, view: EnrolFailed) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    rows = stack(page.box.inset(page.u(32), page.u(20)), (page.tall(150, 210), page.tall(18, 36), 70, 90), page)
    return flat(
        paper(page),
        hero(page, rows[0], "cross", theme.muted, theme.line),
        page.text(words("enrolfailed.headline"), rows[2], 48, theme.ink, "bold"),
        page.text(words(f"enrolfailed.{view.reason}"), rows[3], 30, theme.muted, lines=2),
    )

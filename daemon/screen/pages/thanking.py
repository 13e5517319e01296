"""Paid, and something comes with it: a coupon or a red packet as a code for the payer's phone, and points."""

from __future__ import annotations

from daemon.screen.elements import Backdrop, Box, Element, Plate
from daemon.screen.pages.choosing import modules
from daemon.screen.pages.paying import beside, joining, mirror
from daemon.screen.parts import Page, card, flat, hero, paper, stack
from daemon.screen.theme import rgb
from daemon.screen.views import Approved, Gift, Smile

PACKET = rgb(0xC8362E)  # the red of a red packet


def with_gift(page: Page, view: Approved, gift: Gift) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    if page.portrait:
        paid, side = page.box.cut_top(round(page.size[1] * (0.45 if view.join else 0.38)))
    else:
        paid, side = page.box.cut_left(round(page.size[0] * 0.46))
    if view.join:
        foot, paid = paid.cut_bottom(page.u(78))
    else:
        foot = paid
    rows = stack(paid.inset(page.u(28), page.u(16)), (104, 16, 50, 78, 38, 38), page)
    points = ""
    if view.points_total is not None:
        points = words("points.earned", earned=view.points, total=view.points_total)
    tail = words("approved.reference", tail=view.reference_tail) if view.reference_tail else words("approved.thanks")
    return flat(
        Backdrop(theme.good, theme.good_deep),
        joining(page, foot, view),
        hero(page, rows[0].square(), "check", theme.good_deep, theme.veil),
        page.text(words("approved.headline"), rows[2], 40, theme.on_colour, "bold"),
        page.amount(view.amount_minor, view.currency, rows[3], 58, theme.on_colour),
        page.text(points or tail, rows[4], 26, theme.on_colour, "medium"),
        page.text(tail, rows[5], 22, theme.on_colour_muted) if points else (),
        _gift(page, side.inset(page.u(22), page.u(20)), gift),
    )


def smile(page: Page, view: Smile) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, glass, side = beside(page)
    rows = stack(side, (96, page.tall(20, 14), 60), page)
    return flat(
        paper(page),
        keys,
        page.text(words("smile.headline"), rows[0], 40, theme.ink, "bold", align=page.along, lines=2),
        page.text(words("smile.detail"), rows[2], 28, theme.muted, align=page.along, lines=2),
        mirror(page, glass, theme.warm, view.seconds_left / max(view.seconds_total, 0.001)),
    )


def _gift(page: Page, plate: Box, gift: Gift) -> list[Element]:
    """A card: what it is, a code to scan, until when."""
    words = page.words
    colour = PACKET if gift.red_packet else page.theme.warm
    head, rest = plate.cut_top(page.u(88))
    foot, middle = rest.inset(page.u(16), page.u(6)).cut_bottom(page.u(66))
    radius = page.u(24)
    over = Box(head.x, head.bottom - radius, head.w, radius)
    title, label = head.inset(page.u(18), page.u(8)).cut_bottom(page.u(44))
    scan, until = foot.cut_top(foot.h // 2)
    code = middle.square()
    return [
        *card(page, plate),
        Plate(head, colour, radius),
        Plate(over, colour),
        page.text(words(f"offer.{'red_packet' if gift.red_packet else 'coupon'}"), label, 21, page.theme.on_colour),
        page.text(gift.title, title, 31, page.theme.on_colour, "bold", foreign=True),
        *modules(code, gift.code),
        page.text(words("offer.scan"), scan, 25, page.theme.ink, "bold"),
        page.text(words("offer.until", date=gift.until), until, 20, page.theme.muted),
    ]

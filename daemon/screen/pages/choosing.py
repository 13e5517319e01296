"""The screens of the other ways to pay: a card's number, a choice by its digit, a code to read or to show."""

from __future__ import annotations

from daemon.screen.elements import Box, Element, Plate
from daemon.screen.pages.paying import entry
from daemon.screen.parts import Page, card, countdown, flat, hero, legend, paper, pill, stack
from daemon.screen.theme import rgb
from daemon.screen.views import Choose, EnterCard, ScanCode, ShowCode, Verified

QUIET = 4  # modules of white around a code, ISO/IEC 18004
MOST = 9  # one digit each
WHITE, BLACK = rgb(0xFFFFFF), rgb(0x000000)  # a code is read best without the theme's colours


def enter_card(page: Page, view: EnterCard) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    frame, body = entry(page, view)
    rows = stack(body, (page.tall(52, 96), 96, 48), page, gap=14)
    plate = rows[1].middle(page.u(560), page.u(82))
    hidden = "•" * max(0, min(view.typed, 18) - len(view.tail)) + view.tail
    ink = theme.ink if view.typed else theme.line
    return flat(
        paper(page),
        page.text(words("card.headline"), rows[0], 38, theme.ink, "bold", valign="bottom", lines=2),
        card(page, plate),
        page.text(hidden or "···", plate.inset(page.u(12), 0), 30, ink, "bold"),
        pill(page, rows[2], words("card.wrong"), theme.bad, theme.bad_soft) if view.wrong else (),
        frame,
    )


def choose(page: Page, view: Choose) -> tuple[Element, ...]:
    """Each option on a card of its own with its digit, in one column or two."""
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel",))
    head, body = body.cut_top(page.u(112))
    head = head.inset(page.u(28), page.u(10))
    ring, rest = head.cut_right(page.u(60))
    title, money = rest.cut_top(page.u(50))
    return flat(
        paper(page),
        page.text(words(f"choose.{view.what}"), title, 36, theme.ink, "bold", align="left"),
        page.amount(view.amount_minor, view.currency, money, 30, theme.muted, align="left"),
        countdown(page, ring, view.seconds_left, view.seconds_total),
        _options(page, body.inset(page.u(28), page.u(6)), view),
        keys,
    )


def _options(page: Page, box: Box, view: Choose) -> list[Element]:
    theme, gap = page.theme, page.u(12)
    options = view.options[:MOST]
    columns = 1 if page.portrait or len(options) <= 3 else 2
    rows = -(-len(options) // columns)
    width = (box.w - gap * (columns - 1)) // columns
    height = min(page.u(82), (box.h - gap * (rows - 1)) // max(rows, 1))
    elements: list[Element] = []
    for place, option in enumerate(options):
        column, row = divmod(place, rows)
        plate = Box(box.x + column * (width + gap), box.y + row * (height + gap), width, height)
        digit, label = plate.inset(page.u(14), page.u(6)).cut_left(page.u(56))
        disc = digit.square()
        foreign = view.what != "way"
        name = option if foreign else page.words(f"way.{option}")
        label = label.cut_left(page.u(14))[1]
        elements += [
            *card(page, plate),
            Plate(disc, theme.brand, disc.w // 2),
            page.text(str(place + 1), disc, 28, theme.on_colour, "bold"),
            page.text(name, label, 29, theme.ink, "medium", align="left", lines=2, foreign=foreign),
        ]
    return elements


def show_code(page: Page, view: ShowCode) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    if page.portrait:
        keys, body = legend(page, ("cancel",))
        picture, side = body.cut_top(round(body.h * 0.62))
    else:
        picture, right = page.box.cut_left(round(page.size[0] * 0.56))
        keys, side = legend(page, ("cancel",), right)
    rows = stack(side.inset(page.u(24), page.u(10)), (96, 76, 100, 64), page, gap=8)
    plate = picture.inset(page.u(20)).square()
    align = page.along
    ring = rows[3].cut_left(rows[3].h)[0] if not page.portrait else rows[3]
    return flat(
        paper(page),
        card(page, plate),
        modules(plate.inset(page.u(8)), view.code),
        page.text(words("code.headline"), rows[0], 36, theme.ink, "bold", align=align, lines=2),
        page.amount(view.amount_minor, view.currency, rows[1], 56, align=align),
        page.text(words("code.detail"), rows[2], 26, theme.muted, align=align, lines=3),
        countdown(page, ring, view.seconds_left, view.seconds_total),
        keys,
    )


def modules(box: Box, code: str) -> list[Element]:
    """A QR code (error correction M) in whole pixels a module, black on white, its quiet zone inside the box."""
    import segno  # not at a start: who pays by face sees no code

    rows = [bytes(row) for row in segno.make(code, error="m", micro=False).matrix]
    side = len(rows) + 2 * QUIET
    pixel = max(1, min(box.w, box.h) // side)
    left, top = box.x + (box.w - pixel * side) // 2, box.y + (box.h - pixel * side) // 2
    elements: list[Element] = [Plate(Box(left, top, pixel * side, pixel * side), WHITE)]
    for y, row in enumerate(rows):
        x = 0
        while x < len(row):
            run = 0
            while x + run < len(row) and row[x + run]:
                run += 1
            if run:
                place = Box(left + (x + QUIET) * pixel, top + (y + QUIET) * pixel, run * pixel, pixel)
                elements.append(Plate(place, BLACK))
            x += run + 1
    return elements


def scan_code(page: Page, view: ScanCode) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel", "menu") if view.others else ("cancel",))
    rows = stack(body.inset(page.u(32), page.u(14)), (page.tall(120, 190), page.tall(14, 36), 56, 60, 76), page)
    phone = rows[0].square()
    line = Box(phone.x - phone.w // 6, phone.y + phone.h // 2, phone.w + phone.w // 3, page.u(4))
    return flat(
        paper(page),
        _phone(page, phone),
        Plate(line, theme.bad, line.h // 2),
        page.text(words("scan.headline"), rows[2], 40, theme.ink, "bold"),
        page.amount(view.amount_minor, view.currency, rows[3], 46),
        page.text(words("scan.detail"), rows[4], 28, theme.muted, lines=2),
        keys,
    )


def _phone(page: Page, box: Box) -> list[Element]:
    """A phone with a code on it."""
    body = box.middle(round(box.w * 0.6), box.h)
    glass = body.inset(round(body.w * 0.08), round(body.h * 0.06))
    return [
        Plate(body, page.theme.ink, body.w // 8),
        Plate(glass, page.theme.card, body.w // 16),
        *modules(glass, "KINGFISHER"),
    ]


def verified(page: Page, _: Verified) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    rows = stack(page.box.inset(page.u(32), page.u(20)), (page.tall(160, 220), page.tall(24, 40), 70, 56), page)
    return flat(
        paper(page),
        hero(page, rows[0], "person", theme.good, theme.good_soft),
        page.text(words("identity.done"), rows[2], 50, theme.ink, "bold"),
        page.text(words("identity.done_detail"), rows[3], 30, theme.muted),
    )

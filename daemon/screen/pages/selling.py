"""The clerk's screens: an amount as it is typed, goods as they are scanned, the question before a cart is emptied."""

from __future__ import annotations

from daemon.screen.elements import Box, Element, Plate
from daemon.screen.money import amount, number, typed_amount
from daemon.screen.parts import Page, card, flat, hero, legend, paper, pill, roughly, stack
from daemon.screen.views import AskEmptyCart, Cart, CartRow, EnterAmount

ROWS = 5  # of a cart, on a wide display


def enter_amount(page: Page, view: EnterAmount) -> tuple[Element, ...]:
    theme = page.theme
    keys, body = legend(page, ("cancel", "back", "ok"))
    rows = stack(body.inset(page.u(28), 0), (52, 132, 48), page, gap=18)
    plate = rows[1].middle(page.u(640), page.u(132))
    colour = theme.ink if view.typed_minor or view.typed else theme.muted
    shown = amount(view.typed_minor, view.currency) if view.typed is None else typed_amount(view.typed, view.currency)
    return flat(
        paper(page),
        page.text(page.words("amount.enter"), rows[0], 38, theme.ink, "bold"),
        card(page, plate),
        page.text(shown, plate.inset(page.u(24), 0), page.tall(84, 72), colour, "bold"),
        _note(page, rows[2], view.note, view.note_about),
        keys,
    )


def cart(page: Page, view: Cart) -> tuple[Element, ...]:
    theme = page.theme
    keys, body = legend(page, ("cancel", "back", "ok"))
    head, body = body.inset(page.u(28), page.u(10)).cut_top(page.u(72))
    note, body = body.cut_bottom(page.u(50))
    count, total = head.cut_left(round(head.w * 0.42))
    pieces = page.words("cart.pieces", count=view.pieces) if view.rows else page.words("cart.headline")
    listed = _rows(page, body, view) if view.rows else [_empty(page, body)]
    tax = page.words("cart.tax", amount=amount(view.tax_minor, view.currency)) if view.tax_minor else ""
    footer = _note(page, note, view.note, view.note_about)
    return flat(
        paper(page),
        page.text(pieces, count, 34, theme.ink, "bold", align="left"),
        page.text(amount(view.total_minor, view.currency), total, 54, theme.ink, "bold", align="right"),
        listed,
        footer or ([page.text(tax, note, 24, theme.muted, align="right")] if tax else []),
        keys,
    )


def ask_empty_cart(page: Page, view: AskEmptyCart) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel", "ok"))
    rows = stack(body.inset(page.u(32), page.u(10)), (page.tall(110, 190), page.tall(14, 36), 64, 48, 60), page)
    return flat(
        paper(page),
        hero(page, rows[0], "cross", theme.bad, theme.bad_soft),
        page.text(words("cart.empty_it"), rows[2], 44, theme.ink, "bold"),
        page.text(amount(view.amount_minor, view.currency), rows[3], 34, theme.muted, "medium"),
        page.text(words("cart.empty_it_detail"), rows[4], 28, theme.muted, lines=2),
        keys,
    )


def _rows(page: Page, body: Box, view: Cart) -> list[Element]:
    """As many rows as have room, around the marked one."""
    height = page.u(58 if page.portrait else 50)
    room = max(1, min(len(view.rows), body.h // height, 2 * ROWS if page.portrait else ROWS))
    first = max(0, min(view.marked - room // 2, len(view.rows) - room))
    elements: list[Element] = []
    for place, row in enumerate(view.rows[first : first + room], start=first):
        strip, body = body.cut_top(height)
        elements += _row(page, strip.inset(0, page.u(3)), view, row, place == view.marked)
    return elements


def _row(page: Page, box: Box, view: Cart, row: CartRow, marked: bool) -> list[Element]:
    theme = page.theme
    ground = theme.brand_soft if marked else theme.card
    sum_text = number(row.amount_minor, view.currency)
    inner = box.inset(page.u(16), 0)
    name, money = inner.cut_right(max(page.u(120), roughly(sum_text, page.em(26)) + page.u(8)))[::-1]
    typing = marked and view.typed_quantity
    how_many = f"× {view.typed_quantity}" if typing else row.quantity
    name, quantity = name.cut_right(min(page.u(120), roughly(how_many, page.em(24)) + page.u(8)))[::-1]
    ink = theme.brand if typing else theme.muted
    return [
        Plate(box, ground, page.u(12)),
        page.text(row.name, name, 26, theme.ink, "medium" if marked else "regular", align="left", foreign=True),
        page.text(how_many, quantity, 24, ink, "bold" if typing else "regular", align="right"),
        page.text(sum_text, money, 26, theme.ink, "medium", align="right"),
    ]


def _empty(page: Page, body: Box) -> Element:
    return page.text(page.words("cart.scan"), body, 32, page.theme.muted, lines=2)


def _note(page: Page, box: Box, reason: str | None, about: str) -> list[Element]:
    """What the clerk should know now; `about` is a barcode, a sum, or nothing."""
    if reason is None:
        return []
    sentence = page.words(f"clerk.{reason}")
    return pill(page, box, f"{sentence} {about}".strip(), page.theme.bad, page.theme.bad_soft, 23)

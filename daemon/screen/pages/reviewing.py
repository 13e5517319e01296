"""What a member pays: the sum, what each coupon takes off or why it does not, and the points that one key spends."""

from __future__ import annotations

from daemon.screen.elements import Box, Element
from daemon.screen.money import amount
from daemon.screen.parts import Page, card, countdown, flat, legend, paper, pill, stack
from daemon.screen.views import CouponRow, Review

ROWS = 3  # on a wide display; those that take something off come first


def review(page: Page, view: Review) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel", "menu", "ok") if view.others else ("cancel", "ok"))
    sums, rest = _sides(page, body)
    ring, sums = sums.cut_top(page.u(52))
    rows = stack(sums.inset(page.u(26), 0), (44, 92, 42), page, gap=4)
    saved = view.amount_minor < view.listed_minor
    instead = words("review.instead", amount=amount(view.listed_minor, view.currency)) if saved else ""
    ring = (ring.cut_right(page.u(64))[0] if page.portrait else ring.cut_left(page.u(76))[0]).inset(
        page.u(8), page.u(4)
    )
    return flat(
        paper(page),
        countdown(page, ring, view.seconds_left, view.seconds_total),
        page.text(words("review.headline"), rows[0], 34, theme.muted, "medium", align=page.along),
        page.amount(
            view.amount_minor, view.currency, rows[1], 68, theme.good if saved else theme.ink, align=page.along
        ),
        page.text(instead, rows[2], 27, theme.muted, align=page.along) if instead else (),
        _lines(page, rest, view),
        keys,
    )


def _sides(page: Page, body: Box) -> tuple[Box, Box]:
    """(room for the sums, room for the lines)."""
    if page.portrait:
        return body.cut_top(round(body.h * 0.42))
    return body.cut_left(round(body.w * 0.42))


def _lines(page: Page, box: Box, view: Review) -> list[Element]:
    gap, height = page.u(10), page.u(76)
    box = box.inset(page.u(20), page.u(12))
    choice = ""
    if view.points_off_minor:
        off = amount(view.points_off_minor, view.currency)
        use = page.words("points.use", points=view.points, amount=off)
        choice = page.words("points.keep") if view.spends_points else use
    count = min(ROWS, len(view.rows))
    below = page.u(56) + gap if choice else 0
    high = min(height, (box.h - below - gap * max(0, count - 1)) // max(1, count))
    y = box.y + max(0, box.h - (high + gap) * count + gap - below) // 2
    elements: list[Element] = []
    for row in sorted(view.rows, key=lambda one: one.off_minor == 0)[:count]:
        elements += _row(page, Box(box.x, y, box.w, high), row, view.currency)
        y += high + gap
    if choice:
        elements += pill(page, Box(box.x, y, box.w, page.u(56)), choice, page.theme.brand, page.theme.brand_soft, 25)
    return elements


def _row(page: Page, plate: Box, row: CouponRow, currency: str) -> list[Element]:
    theme = page.theme
    inner = plate.inset(page.u(18), page.u(6))
    off, title = inner.cut_right(round(inner.w * 0.42))
    name = page.words("coupon.points") if row.reason == "points" else row.title
    ink = theme.ink if row.off_minor else theme.muted
    said = page.text(_why(page, row, currency), off, 22, theme.muted, align="right", lines=2)
    if row.off_minor:
        said = page.text(f"−{amount(row.off_minor, currency)}", off, 30, theme.good, "bold", align="right")
    gap = page.u(10)
    return [
        *card(page, plate),
        page.text(name, title.cut_right(gap)[1], 25, ink, "medium", align="left", lines=2, foreign=True),
        said,
    ]


def _why(page: Page, row: CouponRow, currency: str) -> str:
    if row.reason == "below_minimum" and row.short_minor is not None:
        return page.words("coupon.below_minimum", amount=amount(row.short_minor, currency))
    return page.words("coupon.other" if row.reason == "below_minimum" else f"coupon.{row.reason}")

"""The screens of a payment, from the look at the camera to its outcome. Only an approval fills it with green."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.screen.elements import Arc, Backdrop, Box, Element, Plate, Preview, Ring
from daemon.screen.money import amount
from daemon.screen.parts import (
    KeyName,
    Page,
    busy,
    card,
    cells,
    countdown,
    flat,
    hero,
    legend,
    paper,
    pill,
    pin_cells,
    progress,
    stack,
)
from daemon.screen.theme import Colour
from daemon.screen.views import (
    Approved,
    Cancelled,
    Checking,
    Declined,
    EnterCard,
    EnterPhone,
    EnterPin,
    Hint,
    Look,
    Processing,
    Reversed,
)

HALO = 0.2  # how far the halo of "paid" goes on beyond the disc's own ring, of that ring's width
_DECLINED_ICONS = {"locked": "lock", "expired": "clock", "timeout": "clock", "network": "offline"}


def mirror(page: Page, box: Box, colour: Colour, part: float) -> list[Element]:
    """The live picture in a circle, with a ring of which `part` (0..1) is coloured."""
    ring = box.square()
    width = page.u(10)
    glass = ring.inset(width + page.u(8))
    return [
        Plate(ring, page.theme.card, ring.w // 2),
        Ring(ring, page.theme.line, width),
        Preview(glass, glass.w // 2, page.theme.brand_soft),
        Arc(ring, colour, width, 0.0, part),
    ]


def beside(page: Page, names: Sequence[KeyName] = ("cancel",)) -> tuple[list[Element], Box, Box]:
    """(the keys, room for the mirror, room for the words): side by side, or stacked on a tall display."""
    if page.portrait:
        keys, body = legend(page, names)
        glass, side = body.cut_top(round(body.h * 0.62))
        return keys, glass.inset(page.u(26), page.u(22)), side.inset(page.u(28), 0)
    left, right = page.box.cut_left(round(page.size[0] * 0.525))
    keys, side = legend(page, names, right)
    return keys, left.inset(page.u(20)), side.inset(page.u(28), page.u(10))


def look(page: Page, view: Look) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, glass, side = beside(page, ("cancel", "menu") if view.others else ("cancel",))
    between = (page.tall(12, 4), 36, page.tall(16, 8)) if view.steps else (page.tall(18, 14),)
    rows = stack(side, (38, 88, *between, 112), page)
    colours = (theme.good, theme.on_colour, theme.brand, theme.muted)
    ink = theme.good if view.hint == Hint.HOLD_STILL else theme.brand
    colour = theme.warm if view.seconds_left <= 5 else ink
    sentence = words(f"hint.{view.hint}") if view.hint else words("look.headline")
    paid = "topup.label" if view.topup else "amount.label"
    label = words(paid if view.amount_minor is not None else "identity.purpose")
    title = page.text(view.title or label, rows[0], 27, theme.muted, align=page.along, foreign=True)
    return flat(
        paper(page),
        keys,
        title,
        page.amount(view.amount_minor, view.currency, rows[1], 72, align=page.along),
        progress(page, rows[-3], view.done, view.steps, colours=colours, align=page.along),
        page.text(
            sentence,
            rows[-1],
            39,
            theme.good if view.hint == Hint.HOLD_STILL else theme.brand,
            "bold",
            align=page.along,
            lines=2,
            valign="top",
        ),
        mirror(page, glass, colour, view.seconds_left / max(view.seconds_total, 0.001)),
    )


def entry(page: Page, view: EnterPin | EnterPhone | EnterCard) -> tuple[list[Element], Box]:
    """(amount, countdown and legend, as on every screen where something is typed; the room between them)."""
    keys, body = legend(page, ("cancel", "back", "menu", "ok") if view.others else ("cancel", "back", "ok"))
    head, body = body.cut_top(page.u(96))
    head = head.inset(page.u(28), page.u(14))
    ring, rest = head.cut_right(page.u(64))
    rest = rest.cut_left(ring.w)[1]
    money = page.amount(view.amount_minor, view.currency, rest, 50)
    return [*keys, money, *countdown(page, ring, view.seconds_left, view.seconds_total)], body.inset(page.u(28), 0)


def enter_pin(page: Page, view: EnterPin) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    frame, body = entry(page, view)
    rows = stack(body, (page.tall(52, 96), 96, 48), page, gap=14)
    note: list[Element] = []
    if view.wrong_tries_left is not None:
        last = view.wrong_tries_left <= 1
        sentence = words("pin.wrong_last") if last else words("pin.wrong", tries=view.wrong_tries_left)
        note = pill(page, rows[2], sentence, theme.bad, theme.bad_soft)
    return flat(
        paper(page),
        page.text(words("pin.headline"), rows[0], 38, theme.ink, "bold", valign="bottom"),
        pin_cells(page, rows[1], view.typed, view.length),
        note,
        frame,
    )


def enter_phone(page: Page, view: EnterPhone) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    frame, body = entry(page, view)
    rows = stack(body, (page.tall(52, 96), 96, 48), page, gap=14)
    if view.mode == "last4":
        field, boxes = cells(page, rows[1], 4, len(view.typed))
        for digit, box in zip(view.typed, boxes, strict=False):
            field.append(page.text(digit, box, 46, theme.ink, "bold"))
    else:
        plate = rows[1].middle(page.u(430), page.u(82))
        typed = view.typed[:15]
        grouped = " ".join(part for part in (typed[:3], typed[3:7], typed[7:]) if part)
        field = card(page, plate)
        ink = theme.ink if typed else theme.line
        field.append(page.text(grouped or "···", plate.inset(page.u(20), 0), 46, ink, "bold"))
    note = pill(page, rows[2], words("phone.wrong"), theme.bad, theme.bad_soft) if view.wrong else []
    return flat(
        paper(page),
        page.text(words(f"phone.{view.mode}"), rows[0], 38, theme.ink, "bold", valign="bottom", lines=2),
        field,
        note,
        frame,
    )


def processing(page: Page, view: Processing) -> tuple[Element, ...]:
    return _waiting(page, view, page.theme.brand, "lock", "processing")


def checking(page: Page, view: Checking) -> tuple[Element, ...]:
    return _waiting(page, view, page.theme.wait, "clock", "checking")


def _waiting(page: Page, view: Processing | Checking, colour: Colour, icon: str, family: str) -> tuple[Element, ...]:
    rows = stack(page.box.inset(page.u(32), page.u(20)), (page.tall(140, 190), page.tall(22, 40), 68, 56, 84), page)
    return flat(
        paper(page),
        page.text(page.words(f"{family}.headline"), rows[2], 44, page.theme.ink, "bold"),
        page.amount(view.amount_minor, view.currency, rows[3], 42),
        page.text(page.words(f"{family}.detail"), rows[4], 28, page.theme.muted, lines=2),
        busy(page, rows[0], icon, colour),
    )


def approved(page: Page, view: Approved) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    room = page.box.inset(page.u(32), page.u(24))
    tall = page.u(112 if page.portrait and view.join and view.smile else 58)
    if view.join or view.smile:
        room = room.cut_bottom(tall)[1]
    rows = stack(room, (page.tall(164, 230), page.tall(30, 64), 60, 96, 44), page)
    # The halo goes on beyond its row: where the row lies near the edge of the display, all of the drawing is smaller.
    widest = round((rows[0].centre[1] - page.u(10)) / (0.5 + HALO))
    outer = rows[0].square().middle(widest, widest)
    margin = round(outer.w * HALO)
    glow = Box(outer.x - margin, outer.y - margin, outer.w + 2 * margin, outer.h + 2 * margin)
    headline = words("topup.done" if view.topup else "approved.offline" if view.offline else "approved.headline")
    if view.offline:
        detail = words("approved.offline_detail")
    elif view.points_total is not None:
        detail = words("points.earned", earned=view.points, total=view.points_total)
    elif view.reference_tail:
        detail = words("approved.reference", tail=view.reference_tail)
    else:
        detail = words("approved.thanks")
    foot = Box(0, page.size[1] - tall - page.u(12), page.size[0], tall)
    return flat(
        Backdrop(theme.good, theme.good_deep),
        joining(page, foot, view),
        Plate(glow, theme.veil, glow.w // 2),
        hero(page, outer, "check", theme.good_deep, theme.veil),
        page.text(headline, rows[2], 46, theme.on_colour, "bold"),
        page.amount(view.amount_minor, view.currency, rows[3], 80, theme.on_colour),
        page.text(detail, rows[4], 26, theme.on_colour_muted),
    )


def joining(page: Page, box: Box, view: Approved) -> list[Element]:
    """Membership, and a coupon for a smile, each with one key; nothing where nobody is asked."""
    said = [page.words(f"join.{view.join}")] if view.join else []
    if view.smile and view.join != "waiting" and view.offer is None:
        said.append(page.words("smile.thanks" if view.smile == "seen" else "smile.offered"))
    elements: list[Element] = []
    for place, sentence in enumerate(said):
        across, down = (1, len(said)) if page.portrait else (len(said), 1)
        width, height = box.w // across, box.h // down
        room = Box(box.x + place % across * width, box.y + place // across * height, width, height)
        elements += pill(page, room, sentence, page.theme.good_deep, page.theme.on_colour, 25)
    return elements


def _ending(
    page: Page, icon: str, colours: tuple[Colour, Colour], headline: str, money: str | None, detail: str
) -> tuple[Element, ...]:
    theme = page.theme
    rows = stack(
        page.box.inset(page.u(32), page.u(20)),
        (page.tall(150, 210), page.tall(18, 36), 70, 48 if money else 0.1, 88),
        page,
    )
    return flat(
        paper(page),
        hero(page, rows[0], icon, *colours),
        page.text(headline, rows[2], 48, theme.ink, "bold"),
        page.text(money, rows[3], 34, theme.muted, "medium") if money else (),
        page.text(detail, rows[4], 30, theme.ink if money else theme.muted, lines=2),
    )


def declined(page: Page, view: Declined) -> tuple[Element, ...]:
    icon = _DECLINED_ICONS.get(view.reason, "cross")
    colours = (page.theme.bad, page.theme.bad_soft)
    money = None if view.amount_minor is None else amount(view.amount_minor, view.currency)
    if money is None:
        words = page.words("identity.declined"), page.words("identity.declined_detail")
        return _ending(page, icon, colours, words[0], None, words[1])
    return _ending(
        page, icon, colours, page.words("declined.headline"), money, page.words(f"declined.{view.reason}")
    )  # fmt: skip


def cancelled(page: Page, _: Cancelled) -> tuple[Element, ...]:
    colours = (page.theme.muted, page.theme.line)
    return _ending(page, "cross", colours, page.words("cancelled.headline"), None, page.words("cancelled.detail"))


def reversed_(page: Page, view: Reversed) -> tuple[Element, ...]:
    colours = (page.theme.brand, page.theme.brand_soft)
    money = amount(view.amount_minor, view.currency)
    family = "reversed" if view.certain else "reversing"
    return _ending(page, "undo", colours, page.words(f"{family}.headline"), money, page.words(f"{family}.detail"))

"""The clerk's screens for taking a sale back: the receipt's number, the question, and what became of it."""

from __future__ import annotations

from daemon.screen.elements import Element
from daemon.screen.parts import Page, card, flat, hero, legend, paper, pill, stack
from daemon.screen.views import AskTakeBack, EnterReceipt, TakenBack

DONE = frozenset({"refunding", "cancelled"})


def enter_receipt(page: Page, view: EnterReceipt) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel", "back", "ok"))
    rows = stack(body.inset(page.u(28), 0), (52, 44, 110, 48), page, gap=14)
    plate = rows[2].middle(page.u(560), page.u(96))
    note = pill(page, rows[3], words(f"takenback.{view.note}"), theme.bad, theme.bad_soft, 23) if view.note else []
    return flat(
        paper(page),
        page.text(words("takeback.number"), rows[0], 38, theme.ink, "bold"),
        page.text(words("takeback.number_detail"), rows[1], 26, theme.muted),
        card(page, plate),
        page.text(view.typed or "···", plate.inset(page.u(12), 0), 52, theme.ink if view.typed else theme.line, "bold"),
        note,
        keys,
    )


def ask_take_back(page: Page, view: AskTakeBack) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    keys, body = legend(page, ("cancel", "ok"))
    rows = stack(body.inset(page.u(32), page.u(10)), (64, 96, 48), page, gap=page.tall(14, 36))
    return flat(
        paper(page),
        page.text(words("takeback.refund" if view.refund else "takeback.cancel"), rows[0], 44, theme.ink, "bold"),
        page.amount(view.amount_minor, view.currency, rows[1], 72),
        page.text(words("takeback.sale", number=view.number), rows[2], 28, theme.muted),
        keys,
    )


def taken_back(page: Page, view: TakenBack) -> tuple[Element, ...]:
    theme, words = page.theme, page.words
    done = view.word in DONE
    keys, body = legend(page, ("ok",))
    rows = stack(
        body.inset(page.u(32), page.u(10)), (page.tall(110, 190), page.tall(64, 120), 56), page, gap=page.tall(16, 36)
    )
    ink, soft = (theme.good, theme.good_soft) if done else (theme.bad, theme.bad_soft)
    return flat(
        paper(page),
        hero(page, rows[0], "check" if done else "cross", ink, soft),
        page.text(words(f"takenback.{view.word}"), rows[1], 42, theme.ink, "bold", lines=2),
        [] if view.amount_minor is None else page.amount(view.amount_minor, view.currency, rows[2], 36, theme.muted),
        keys,
    )

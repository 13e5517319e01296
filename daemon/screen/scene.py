"""scene(view, locale, theme, size): a view laid out for one display. Pure: the same arguments give an equal Scene."""

from __future__ import annotations

from typing import assert_never

from daemon.screen.elements import Element, Scene
from daemon.screen.pages import choosing, enrolling, gating, paying, returning, reviewing, selling, standing, thanking
from daemon.screen.parts import Page
from daemon.screen.text import wording
from daemon.screen.theme import DAY, Theme
from daemon.screen.views import (
    Approved,
    AskEmptyCart,
    AskGuardian,
    AskTakeBack,
    Authorise,
    Booting,
    Cancelled,
    Cart,
    Checking,
    Choose,
    Consent,
    Declined,
    EnrolDone,
    EnrolFailed,
    EnrolLook,
    EnrolSaving,
    EnterAmount,
    EnterCard,
    EnterPhone,
    EnterPin,
    EnterReceipt,
    GateOpen,
    GateReady,
    GateShut,
    Idle,
    Look,
    NewPin,
    Processing,
    Reversed,
    Review,
    ScanCode,
    ShowCode,
    Smile,
    TakenBack,
    Trouble,
    Verified,
    View,
)


def scene(
    view: View, locale: str = "zh-CN", theme: Theme = DAY, size: tuple[int, int] = (800, 480), at_s: float = 0.0
) -> Scene:
    """The view as it stands on a display of `size` (width, height) pixels.

    `at_s`: seconds since any fixed moment; only the turning ring of an `animated` scene needs it. Raises LocaleMissing.
    """
    page = Page(size, wording(locale), theme, at_s)
    animated = isinstance(view, Processing | Checking | EnrolSaving) or (
        isinstance(view, Booting) and view.progress is None
    )
    return Scene(size, _elements(page, view), animated)


def _elements(page: Page, view: View) -> tuple[Element, ...]:
    match view:
        case Booting():
            return standing.booting(page, view)
        case Idle():
            return standing.idle(page, view)
        case GateReady():
            return gating.ready(page, view)
        case GateOpen():
            return gating.opened(page, view)
        case GateShut():
            return gating.shut(page, view)
        case EnterAmount():
            return selling.enter_amount(page, view)
        case Cart():
            return selling.cart(page, view)
        case AskEmptyCart():
            return selling.ask_empty_cart(page, view)
        case EnterReceipt():
            return returning.enter_receipt(page, view)
        case AskTakeBack():
            return returning.ask_take_back(page, view)
        case TakenBack():
            return returning.taken_back(page, view)
        case Look():
            return paying.look(page, view)
        case EnterPin():
            return paying.enter_pin(page, view)
        case EnterPhone():
            return paying.enter_phone(page, view)
        case EnterCard():
            return choosing.enter_card(page, view)
        case Choose():
            return choosing.choose(page, view)
        case Review():
            return reviewing.review(page, view)
        case ShowCode():
            return choosing.show_code(page, view)
        case ScanCode():
            return choosing.scan_code(page, view)
        case Verified():
            return choosing.verified(page, view)
        case Processing():
            return paying.processing(page, view)
        case Checking():
            return paying.checking(page, view)
        case Approved(offer=gift) if gift is not None:
            return thanking.with_gift(page, view, gift)
        case Approved():
            return paying.approved(page, view)
        case Smile():
            return thanking.smile(page, view)
        case Declined():
            return paying.declined(page, view)
        case Cancelled():
            return paying.cancelled(page, view)
        case Reversed():
            return paying.reversed_(page, view)
        case Trouble():
            return standing.trouble(page, view)
        case Authorise():
            return enrolling.authorise(page, view)
        case AskGuardian():
            return enrolling.ask_guardian(page)
        case Consent():
            return enrolling.consent(page, view)
        case EnrolSaving():
            return enrolling.enrol_saving(page, view)
        case EnrolLook():
            return enrolling.enrol_look(page, view)
        case NewPin():
            return enrolling.new_pin(page, view)
        case EnrolDone():
            return enrolling.enrol_done(page, view)
        case EnrolFailed():
            return enrolling.enrol_failed(page, view)
        case _:
            assert_never(view)

"""What the box says aloud. A line for each view, or none; a change of view decides whether it is spoken, once.

No digit that was typed and no name is ever spoken.
"""

from __future__ import annotations

from daemon.screen.money import spoken
from daemon.screen.text import wording
from daemon.screen.views import (
    Approved,
    AskGuardian,
    Authorise,
    Cancelled,
    Checking,
    Choose,
    Consent,
    Declined,
    EnrolDone,
    EnrolFailed,
    EnrolLook,
    EnterCard,
    EnterPhone,
    EnterPin,
    GateOpen,
    GateReady,
    GateShut,
    Hint,
    Look,
    NewPin,
    Reversed,
    Review,
    ScanCode,
    ShowCode,
    Smile,
    Trouble,
    Verified,
    View,
)

ACTS = frozenset({Hint.TURN_LEFT, Hint.TURN_RIGHT, Hint.BLINK})  # whoever does it has their eyes elsewhere


def line(view: View, locale: str) -> str | None:
    """The sentence that belongs to a view, None for the quiet ones."""
    words = wording(locale)
    match view:
        case Look(hint=hint) | EnrolLook(hint=hint):
            return words(f"hint.{hint}") if hint in ACTS else words("voice.look")
        case GateReady(hint=hint) if hint in ACTS:
            return words(f"hint.{hint}")
        case GateOpen():
            return words("voice.gate_open")
        case GateShut(reason=reason):
            return words("voice.gate_shut", why=words(f"gateshut.{reason}"))
        case EnterPin(wrong_tries_left=left):
            return words("voice.pin") if left is None else words("voice.pin_wrong")
        case EnterPhone(mode=mode, wrong=wrong):
            return words("phone.wrong") if wrong else words(f"voice.phone_{mode}")
        case EnterCard(wrong=wrong):
            return words("card.wrong") if wrong else words("voice.card")
        case Choose(what=what):
            return words(f"voice.choose_{what}")
        case Smile():
            return words("voice.smile")
        case Review(amount_minor=minor, currency=currency):
            return words("voice.review", amount=spoken(minor, currency, words.locale))
        case ShowCode():
            return words("voice.code")
        case ScanCode():
            return words("voice.scan")
        case Verified():
            return words("voice.verified")
        case Checking():
            return words("voice.checking")
        case Approved(amount_minor=minor, currency=currency):
            return words("voice.approved", amount=spoken(minor, currency, words.locale))
        case Declined(reason=reason):
            return words("voice.declined", why=words(f"declined.{reason}"))
        case Cancelled():
            return words("voice.cancelled")
        case Reversed(certain=certain):
            return words("voice.reversed" if certain else "voice.reversing")
        case Authorise(wrong_tries_left=left, checking=False):
            return words("voice.authorise") if left is None else words("voice.pin_wrong")
        case AskGuardian():
            return words("voice.guardian")
        case Consent(child=child):
            return words("voice.consent_child" if child else "voice.consent")
        case NewPin(step=step, mismatch=mismatch):
            if mismatch:
                return words("voice.newpin_mismatch")
            return words("voice.newpin_repeat" if step == "repeat" else "voice.newpin")
        case EnrolDone():
            return words("voice.enroldone")
        case EnrolFailed():
            return words("voice.enrolfailed")
        case Trouble():
            return words("voice.trouble")
        case _:
            return None


def on_change(before: View | None, after: View, locale: str) -> str | None:
    """What to say when the screen changes from one view to the next; None while it is still the same matter."""
    said = None if before is None else line(before, locale)
    now = line(after, locale)
    if type(before) is type(after) and now == said and not _wrong_again(before, after):
        return None
    return now


def _wrong_again(before: View | None, after: View) -> bool:
    """A second wrong PIN is said again, though the sentence is the same."""
    if not (isinstance(before, EnterPin) and isinstance(after, EnterPin)):
        return False
    return before.wrong_tries_left != after.wrong_tries_left

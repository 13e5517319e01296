"""Every screen of the box as data: what is shown, never how it is worded or where it stands.

A view is frozen and comparable, so "did the screen change?" is `old != new`. Amounts are integers in the minor unit of
an ISO 4217 currency. Reasons, hints and conditions are keys: the enumerations in `words` name those that have a
sentence of their own in `text`; any other string is shown with a general, still kind one and never breaks the screen.

A PIN never comes here: `EnterPin` and `NewPin` know only how many digits were typed.
"""

from __future__ import annotations

from daemon.screen.views.choosing import Choose, CouponRow, Review, ScanCode, ShowCode
from daemon.screen.views.enrolling import AskGuardian, Consent, EnrolDone, EnrolFailed, EnrolLook, EnrolSaving, NewPin
from daemon.screen.views.gating import GateOpen, GateReady, GateShut
from daemon.screen.views.paying import (
    Approved,
    Cancelled,
    Checking,
    Declined,
    EnterCard,
    EnterPhone,
    EnterPin,
    Gift,
    Look,
    Processing,
    Reversed,
    Smile,
    Verified,
)
from daemon.screen.views.returning import AskTakeBack, Authorise, EnterReceipt, TakenBack
from daemon.screen.views.selling import AskEmptyCart, Cart, CartRow, EnterAmount
from daemon.screen.views.standing import Booting, Idle, Trouble
from daemon.screen.views.words import BootStep, ClerkNote, Condition, DeclineReason, Hint, Purpose, ShutReason

__all__ = [
    "Approved",
    "AskEmptyCart",
    "AskGuardian",
    "AskTakeBack",
    "Authorise",
    "BootStep",
    "Booting",
    "Cancelled",
    "Cart",
    "CartRow",
    "Checking",
    "Choose",
    "ClerkNote",
    "Condition",
    "Consent",
    "CouponRow",
    "DeclineReason",
    "Declined",
    "EnrolDone",
    "EnrolFailed",
    "EnrolLook",
    "EnrolSaving",
    "EnterAmount",
    "EnterCard",
    "EnterPhone",
    "EnterPin",
    "EnterReceipt",
    "GateOpen",
    "GateReady",
    "GateShut",
    "Gift",
    "Hint",
    "Idle",
    "Look",
    "NewPin",
    "Processing",
    "Purpose",
    "Reversed",
    "Review",
    "ScanCode",
    "ShowCode",
    "ShutReason",
    "Smile",
    "TakenBack",
    "Trouble",
    "Verified",
    "View",
]

View = (
    Booting
    | Idle
    | GateReady
    | GateOpen
    | GateShut
    | EnterAmount
    | Cart
    | AskEmptyCart
    | Look
    | EnterPin
    | EnterPhone
    | EnterCard
    | Choose
    | Review
    | ShowCode
    | ScanCode
    | Verified
    | Processing
    | Checking
    | Approved
    | Smile
    | Declined
    | Cancelled
    | Reversed
    | Trouble
    | Authorise
    | EnterReceipt
    | AskTakeBack
    | TakenBack
    | AskGuardian
    | Consent
    | EnrolLook
    | NewPin
    | EnrolSaving
    | EnrolDone
    | EnrolFailed
)

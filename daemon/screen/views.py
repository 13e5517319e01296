"""Every screen of the box as data: what is shown, never how it is worded or where it stands.

A view is frozen and comparable, so "did the screen change?" is `old != new`. Amounts are integers in the minor unit of
an ISO 4217 currency. Reasons, hints and conditions are keys: the enumerations below name the ones that have a sentence
of their own in `text`; any other string is shown with a general, still kind sentence and never breaks the screen.

A PIN never comes here: `EnterPin` and `NewPin` know only how many digits were typed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Hint(StrEnum):
    """What would help the camera; the same keys as the face pipeline's hints."""

    NO_FACE = "no_face"
    COME_CLOSER = "come_closer"
    MOVE_BACK = "move_back"
    CENTRE = "centre"
    LOOK_AT_CAMERA = "look_at_camera"
    HOLD_STILL = "hold_still"
    ONE_PERSON = "one_person"
    TOO_DARK = "too_dark"
    TOO_BRIGHT = "too_bright"
    BLURRED = "blurred"
    UNCOVER_FACE = "uncover_face"
    OPEN_EYES = "open_eyes"
    SMILE = "smile"
    TURN_LEFT = "turn_left"
    TURN_RIGHT = "turn_right"
    BLINK = "blink"


class DeclineReason(StrEnum):
    """Why a payment did not go through, as far as the payer may know."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    NOT_RECOGNISED = "not_recognised"
    AMBIGUOUS = "ambiguous"
    SPOOF = "spoof"
    PIN_WRONG = "pin_wrong"
    PHONE_WRONG = "phone_wrong"
    LOCKED = "locked"
    EXPIRED = "expired"
    TIMEOUT = "timeout"
    NETWORK = "network"
    LOW_QUALITY = "low_quality"
    CARD_WRONG = "card_wrong"
    COUPON_GONE = "coupon_gone"
    NOT_SET_UP = "not_set_up"
    OFFLINE = "offline"
    POLICY = "policy"
    OTHER = "other"


class Condition(StrEnum):
    """A named condition of the box: a small note on the idle screen, or the whole screen when nothing else works."""

    OFFLINE = "offline"
    NO_CAMERA = "no_camera"
    NO_GALLERY = "no_gallery"
    NO_MODELS = "no_models"
    NO_PAYERS = "no_payers"
    FACES_REFUSED = "faces_refused"
    NO_KEYPAD = "no_keypad"
    NO_CLOCK = "no_clock"
    STORE_LOCKED = "store_locked"
    KEY_REFUSED = "key_refused"
    DISK_FULL = "disk_full"
    NO_DATA = "no_data"
    TOO_HOT = "too_hot"
    KEY_BESIDE_DATA = "key_beside_data"
    UPDATING = "updating"
    CONFIG_REFUSED = "config_refused"
    NOT_PROVISIONED = "not_provisioned"
    UNSETTLED = "unsettled"
    FAULT = "fault"


class BootStep(StrEnum):
    """What the box is busy with while it starts."""

    STARTING = "starting"
    CONFIG = "config"
    STORE = "store"
    MODELS = "models"
    CAMERA = "camera"
    NETWORK = "network"


class ClerkNote(StrEnum):
    """What a clerk is told below what was typed or scanned."""

    ZERO = "zero"
    ABOVE_LIMIT = "above_limit"
    NO_DECIMALS = "no_decimals"
    ALL_DECIMALS = "all_decimals"
    NO_CLOCK = "no_clock"
    BUSY = "busy"
    NO_CATALOGUE = "no_catalogue"
    UNREADABLE = "unreadable"
    CHECK_DIGIT = "check_digit"
    UNKNOWN = "unknown"
    NEEDS_WEIGHT = "needs_weight"
    NO_WEIGHT = "no_weight"
    WEIGHED = "weighed"
    TOO_MANY = "too_many"
    TOO_MANY_LINES = "too_many_lines"
    EMPTY = "empty"


class ShutReason(StrEnum):
    """Why a gate stays shut."""

    NOT_RECOGNISED = "not_recognised"
    AMBIGUOUS = "ambiguous"
    SPOOF = "spoof"
    NOT_AGREED = "not_agreed"
    AGREEMENT_OVER = "agreement_over"
    ABOVE_AGREEMENT = "above_agreement"
    WRONG_CURRENCY = "wrong_currency"
    JUST_PASSED = "just_passed"
    UNPAID = "unpaid"
    POLICY = "policy"
    OFFLINE = "offline"
    NO_CLOCK = "no_clock"
    NO_GATE = "no_gate"
    STORE = "store"
    STORAGE = "storage"


class Purpose(StrEnum):
    """What a payer consents to."""

    PAY = "pay"
    ENTER = "enter"
    IDENTIFY = "identify"
    MEMBERS = "members"
    GATE = "gate"


@dataclass(frozen=True, slots=True)
class Booting:
    step: str = BootStep.STARTING
    progress: float | None = None  # 0..1; None: not known


@dataclass(frozen=True, slots=True)
class Idle:
    """Ready, no order. `clock` is wall time as it is to be shown ("19:30"), None while the box has no trusted time."""

    shop: str
    clock: str | None = None
    box: str = ""
    conditions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateReady:
    """A gate waits for whoever comes. `passage_minor` is the fare."""

    passage_minor: int
    currency: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class GateOpen:
    """Somebody may walk through. `charged_minor` is 0 once the day's cap is reached."""

    charged_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class GateShut:
    reason: str  # a ShutReason


@dataclass(frozen=True, slots=True)
class EnterAmount:
    """The clerk types an amount at the box itself. `typed_minor` is what the keys amount to so far, `typed` the keys as
    they are ("18."), None where only the sum is known. `note` is a ClerkNote, `note_about` what stands after it."""

    typed_minor: int
    currency: str
    typed: str | None = None
    note: str | None = None
    note_about: str = ""


@dataclass(frozen=True, slots=True)
class CartRow:
    """Not a view: one line of a cart. `quantity` as it is shown: "× 2", "0.452 kg", or nothing."""

    name: str
    quantity: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Cart:
    """Goods that were scanned. Keys act on the row `marked`; `typed_quantity` is being typed for it."""

    rows: tuple[CartRow, ...]
    currency: str
    total_minor: int
    tax_minor: int = 0
    pieces: int = 0
    marked: int = 0
    typed_quantity: str = ""
    note: str | None = None
    note_about: str = ""


@dataclass(frozen=True, slots=True)
class AskEmptyCart:
    """Whether a cart with goods in it is really to be emptied."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Look:
    """The payer looks at the camera; needs the live preview. `seconds_left` of `seconds_total` drive the ring."""

    amount_minor: int | None  # None: nobody pays, it is asked who stands here
    currency: str
    title: str | None = None
    hint: str | None = None
    seconds_left: float = 0.0
    seconds_total: float = 30.0
    others: bool = False  # the menu key offers other ways to pay
    topup: bool = False  # the sum is added to the balance, a clerk has taken it


@dataclass(frozen=True, slots=True)
class EnterPin:
    amount_minor: int | None  # None: nobody pays, it is asked who stands here
    currency: str
    typed: int = 0  # how many digits, never which
    length: int = 6
    wrong_tries_left: int | None = None  # None: no wrong try so far
    seconds_left: float | None = None  # None: no limit shown
    seconds_total: float = 30.0
    others: bool = False  # the menu key offers other ways to pay


@dataclass(frozen=True, slots=True)
class EnterPhone:
    amount_minor: int | None  # None: nobody pays, it is asked who stands here
    currency: str
    typed: str = ""
    mode: Literal["last4", "whole"] = "last4"
    wrong: bool = False  # the last entry was not right
    seconds_left: float | None = None
    seconds_total: float = 30.0
    others: bool = False  # the menu key offers other ways to pay


@dataclass(frozen=True, slots=True)
class EnterCard:
    """The number of an ID card, typed or read. `typed` counts its characters, `tail` are the last of them."""

    amount_minor: int | None
    currency: str
    typed: int = 0
    tail: str = ""
    wrong: bool = False
    seconds_left: float | None = None
    seconds_total: float = 30.0
    others: bool = False  # the menu key offers other ways to pay


@dataclass(frozen=True, slots=True)
class Choose:
    """One of a few, by its digit from 1 on: ways to pay (keys of the wording), or banks (as they are called)."""

    amount_minor: int | None
    currency: str
    what: Literal["way", "bank"]
    options: tuple[str, ...]
    seconds_left: float | None = None
    seconds_total: float = 30.0


@dataclass(frozen=True, slots=True)
class CouponRow:
    """Not a view: a coupon, or the points. `off_minor` 0: it takes nothing off, for `reason`; `short_minor`: the order
    would have to be so much larger."""

    title: str
    off_minor: int
    reason: str = "applied"
    short_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Review:
    """What a member pays, and why; OK agrees. `points_off_minor` is what `points` would take off, or do."""

    amount_minor: int
    currency: str
    listed_minor: int
    rows: tuple[CouponRow, ...] = ()
    points: int = 0
    points_off_minor: int = 0
    spends_points: bool = False
    seconds_left: float | None = None
    seconds_total: float = 30.0
    others: bool = False  # the menu key offers other ways to pay


@dataclass(frozen=True, slots=True)
class ShowCode:
    """A QR code that the payer's own app reads; `code` is what stands in it."""

    amount_minor: int
    currency: str
    code: str
    seconds_left: float | None = None
    seconds_total: float = 90.0


@dataclass(frozen=True, slots=True)
class ScanCode:
    """The payer holds the code of an app of their own before the scanner."""

    amount_minor: int
    currency: str
    seconds_left: float | None = None
    seconds_total: float = 30.0
    others: bool = False  # the menu key offers other ways to pay


@dataclass(frozen=True, slots=True)
class Verified:
    """Who stands here was proven; nothing was paid, and no name is shown."""


@dataclass(frozen=True, slots=True)
class Processing:
    amount_minor: int | None  # None: nobody pays, it is asked who stands here
    currency: str


@dataclass(frozen=True, slots=True)
class Checking:
    """The outcome is not known yet: the payer must not pay again."""

    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Gift:
    """Not a view: a coupon or a red packet. The QR holds `code` and nothing else; `until` is a day as it is shown."""

    code: str
    title: str
    until: str
    red_packet: bool = False


@dataclass(frozen=True, slots=True)
class Approved:
    amount_minor: int
    currency: str
    reference_tail: str | None = None
    offline: bool = False  # accepted by this box within the offline policy
    points: int = 0  # what a member got for it
    points_total: int | None = None  # None: no member's
    topup: bool = False  # the sum was added to the balance
    offer: Gift | None = None
    join: Literal["offered", "waiting"] | None = None  # membership, with one key
    smile: Literal["offered", "seen"] | None = None  # a coupon for a smile, with one key


@dataclass(frozen=True, slots=True)
class Smile:
    """Who has paid smiles at the camera, for a coupon; needs the live preview."""

    seconds_left: float = 0.0
    seconds_total: float = 8.0


@dataclass(frozen=True, slots=True)
class Declined:
    amount_minor: int | None  # None: nobody pays, it is asked who stands here
    currency: str
    reason: str = DeclineReason.OTHER


@dataclass(frozen=True, slots=True)
class Cancelled:
    pass


@dataclass(frozen=True, slots=True)
class Reversed:
    """The money went back (or was never taken); `certain` is False while the gateway has not said so yet."""

    amount_minor: int
    currency: str
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Trouble:
    """The box can't work at the moment. `suggestion` is a key; None takes the condition's own suggestion."""

    condition: str = Condition.FAULT
    suggestion: str | None = None
    box: str = ""


@dataclass(frozen=True, slots=True)
class Authorise:
    """A clerk or technician types a PIN: only then may somebody be enrolled, or a sale be taken back (`to`). How many
    digits, never which."""

    typed: int = 0
    length: int = 8
    wrong_tries_left: int | None = None  # None: no wrong try so far
    checking: bool = False
    to: str = "enrol"  # or "takeback"


@dataclass(frozen=True, slots=True)
class EnterReceipt:
    """The clerk types the number of a receipt, or scans its code. `note` is a word of [takenback]."""

    typed: str = ""
    note: str | None = None


@dataclass(frozen=True, slots=True)
class AskTakeBack:
    """Whether this sale's money is really to go back, or, while it waits for its payer, the sale be cancelled."""

    number: str
    amount_minor: int
    currency: str
    refund: bool = True


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What became of it: a word of [takenback]. The amount is None where no sale was found."""

    word: str
    amount_minor: int | None = None
    currency: str = ""


@dataclass(frozen=True, slots=True)
class AskGuardian:
    """A child under 14 is to be enrolled: who consents? 1 is a parent, 2 another guardian."""


@dataclass(frozen=True, slots=True)
class Consent:
    purposes: tuple[str, ...] = (Purpose.PAY,)
    notice_version: str = ""
    child: bool = False  # a guardian reads it
    adult: bool = False  # nobody vouches for whoever reads it: it is for 14 and older
    fare: tuple[int, int, str] | None = None  # of a gate: for a passage, for a day, both in minor units; the currency
    elsewhere: bool = False  # what is agreed to is kept by the operator, and not on this box


@dataclass(frozen=True, slots=True)
class EnrolLook:
    """Like Look, without money: a new payer's face is being taken."""

    hint: str | None = None
    progress: float = 0.0  # 0..1 of the pictures that are needed


@dataclass(frozen=True, slots=True)
class NewPin:
    step: Literal["first", "repeat"] = "first"
    typed: int = 0
    length: int = 6
    mismatch: bool = False  # the two entries differed; step is "first" again


@dataclass(frozen=True, slots=True)
class EnrolSaving:
    """The record is being sealed and written. `late`: it takes longer than anybody should wait for."""

    late: bool = False


@dataclass(frozen=True, slots=True)
class EnrolDone:
    pass


@dataclass(frozen=True, slots=True)
class EnrolFailed:
    reason: str = DeclineReason.OTHER


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

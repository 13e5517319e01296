"""The words that a screen has a sentence of its own for; any other string gets a general, still kind one."""

from __future__ import annotations

from enum import StrEnum


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
    FACES_LOADING = "faces_loading"
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

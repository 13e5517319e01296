"""The payer's way through a payment, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from daemon.screen.views.words import DeclineReason


@dataclass(frozen=True, slots=True)
class Look:
    """The payer looks at the camera; needs the live preview. `seconds_left` of `seconds_total` drive the ring.
    `done` of `steps` acts have been seen of whoever is asked to turn and blink; 0 of 0: nobody is."""

    amount_minor: int | None  # None: nobody pays, it is asked who stands here
    currency: str
    title: str | None = None
    hint: str | None = None
    seconds_left: float = 0.0
    seconds_total: float = 30.0
    others: bool = False  # the menu key offers other ways to pay
    topup: bool = False  # the sum is added to the balance, a clerk has taken it
    done: int = 0
    steps: int = 0


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

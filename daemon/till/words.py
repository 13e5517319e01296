"""What a till and the box say to each other, whatever the wire's protocol is. Data only.

`n` is the number that the speaker gave its line, None where the protocol has none or it could not be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Standing(StrEnum):
    """Where an order of the till's stands. The last three are final; UNKNOWN: a person has to look."""

    WAITING = "waiting"
    PAYING = "paying"
    UNKNOWN = "unknown"
    APPROVED = "approved"
    DECLINED = "declined"
    CANCELLED = "cancelled"


FINAL = frozenset({Standing.APPROVED, Standing.DECLINED, Standing.CANCELLED})


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order by the till's own reference. Once approved, `receipt` is the payment's reference at the gateway, and
    `paid_minor` what was paid, where a member's coupons or points made it less than the amount."""

    reference: str
    standing: Standing
    amount_minor: int
    currency: str
    reason: str = ""
    receipt: str | None = None
    paid_minor: int | None = None


# ---- the till says --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderWanted:
    """`reference` is the till's name for the sale: the same one again is the same order, however often it comes."""

    n: int | None
    reference: str
    amount_minor: int
    currency: str
    title: str | None = None
    life_s: int | None = None


@dataclass(frozen=True, slots=True)
class StateWanted:
    n: int | None
    reference: str


@dataclass(frozen=True, slots=True)
class CancelWanted:
    n: int | None
    reference: str


@dataclass(frozen=True, slots=True)
class RefundWanted:
    """The money of a paid sale is to go back: the box asks for a clerk's PIN on its own keypad."""

    n: int | None
    reference: str


@dataclass(frozen=True, slots=True)
class Hello:
    """Is anybody there?"""

    n: int | None


@dataclass(frozen=True, slots=True)
class Heard:
    """The till has taken our line `n`."""

    n: int


@dataclass(frozen=True, slots=True)
class SayAgain:
    """The till could not read our line `n`."""

    n: int


@dataclass(frozen=True, slots=True)
class Misheard:
    """A line that could not be understood. `reason` is a machine's word."""

    n: int | None
    reason: str


Request = OrderWanted | StateWanted | CancelWanted | RefundWanted | Hello | Heard | SayAgain | Misheard


# ---- the box says ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Yes:
    """The till's line `n` was taken; what it asked about stands as `state` says."""

    n: int | None
    state: OrderState | None = None


@dataclass(frozen=True, slots=True)
class No:
    """The till's line `n` was not taken, and has no effect. `days`: with `unknown_ref`, for how long a sale that ended
    is remembered; an older one is as unknown as one that never was."""

    n: int | None
    reason: str
    days: int | None = None


@dataclass(frozen=True, slots=True)
class News:
    """An order stands elsewhere now. Said again until the till has `Heard` it, some times."""

    n: int
    state: OrderState


Reply = Yes | No | News

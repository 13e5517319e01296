"""What the payer chooses between: ways to pay, coupons, codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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

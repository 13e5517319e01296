"""Which coupons an order gets: the best for the payer, the same every time, explained line by line. Pure; integers.

The rules: a percentage is taken of the whole order and rounded down to the minor unit; coupons that combine add up; one
that does not combine stands alone, and wins only where it takes off more than all the others together; at least one
minor unit is left to pay; what would take off nothing more is kept for another time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from daemon.payment.money import Amount, plain

LEAST_LEFT_MINOR = 1  # a payment of nothing is none


@dataclass(frozen=True, slots=True)
class Coupon:
    """One coupon that a payer has: `off_minor`, or `permyriad` ten-thousandths. Times in unix seconds."""

    code: str
    title: str
    currency: str
    expires_at: int
    off_minor: int = 0
    permyriad: int = 0
    min_spend_minor: int = 0
    max_off_minor: int | None = None
    combines: bool = True

    def off(self, amount: Amount) -> int:
        """Minor units that it takes off this amount by itself; never all of it."""
        off = self.off_minor + amount.minor * self.permyriad // 10_000
        if self.max_off_minor is not None:
            off = min(off, self.max_off_minor)
        return max(0, min(off, amount.minor - LEAST_LEFT_MINOR))


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one coupon: how much it takes off (0: not applied), and why."""

    code: str
    title: str
    off_minor: int
    reason: str
    why: str
    short_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """`lines`: every coupon of the payer, the applied ones first."""

    amount: Amount
    lines: tuple[Line, ...]

    @property
    def off_minor(self) -> int:
        return sum(line.off_minor for line in self.lines)

    @property
    def payable_minor(self) -> int:
        return self.amount.minor - self.off_minor

    @property
    def applied(self) -> tuple[str, ...]:
        return tuple(line.code for line in self.lines if line.off_minor)


def quote(amount: Amount, coupons: Iterable[Coupon], now: int) -> Quote:
    """The best for the payer. The order in which the coupons come does not matter."""
    ordered = sorted(coupons, key=lambda c: (-c.off(amount), c.expires_at, c.code))
    refused = {c.code: why for c in ordered if (why := _why_not(c, amount, now)) is not None}
    fit = [c for c in ordered if c.code not in refused]
    together = _together([c for c in fit if c.combines], amount)
    alone = next((c for c in fit if not c.combines), None)
    if alone is not None and alone.off(amount) > sum(together.values()):
        chosen, lost_to = {alone.code: alone.off(amount)}, "one_that_stands_alone_is_better"
    else:
        chosen, lost_to = together, "the_others_together_are_better"
    lines = [_line(c, amount, chosen, refused, lost_to, alone is not None and alone.code in chosen) for c in ordered]
    return Quote(amount, tuple(sorted(lines, key=lambda line: line.off_minor == 0)))


def _together(coupons: list[Coupon], amount: Amount) -> dict[str, int]:
    """Code and minor units off, the largest first, until nothing more can be taken off."""
    chosen: dict[str, int] = {}
    left = amount.minor - LEAST_LEFT_MINOR
    for coupon in coupons:
        if (off := min(coupon.off(amount), left)) > 0:
            chosen[coupon.code] = off
            left -= off
    return chosen


def _why_not(coupon: Coupon, amount: Amount, now: int) -> tuple[str, str, int | None] | None:
    currency = amount.currency
    if coupon.currency != currency:
        return "other_currency", f"it is for {coupon.currency}", None
    if coupon.expires_at <= now:
        return "expired", "its time is over", None
    if amount.minor < coupon.min_spend_minor:
        short = coupon.min_spend_minor - amount.minor
        return "below_minimum", f"{currency} {plain(short, currency)} more would be needed", short
    return None


def _line(
    coupon: Coupon,
    amount: Amount,
    chosen: dict[str, int],
    refused: dict[str, tuple[str, str, int | None]],
    lost_to: str,
    alone_won: bool,
) -> Line:
    if coupon.code in refused:
        return Line(coupon.code, coupon.title, 0, *refused[coupon.code])
    if coupon.code in chosen:
        off = chosen[coupon.code]
        return Line(coupon.code, coupon.title, off, "applied", f"{amount.currency} {plain(off, amount.currency)} off")
    if coupon.combines is not alone_won:
        return Line(coupon.code, coupon.title, 0, "kept", "it would take off nothing more; kept for another time")
    return Line(coupon.code, coupon.title, 0, lost_to, lost_to.replace("_", " "))

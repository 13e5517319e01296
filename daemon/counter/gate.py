"""Walk-through gates: what one passage costs whoever agreed to it before, and whether the gate opens. Pure.

The charge of a passage is the fare, cut to what is left below the day's cap; at the cap the gate opens for nothing. A
payer who has just passed is let through again only after having been away for `passback_s`, and then as a new passage,
so that nobody is charged twice for one step back or for standing there, and nobody lets a second person in on one face.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    NOT_AGREED = "not_agreed"
    AGREEMENT_OVER = "agreement_over"
    ABOVE_AGREEMENT = "above_agreement"
    WRONG_CURRENCY = "wrong_currency"
    JUST_PASSED = "just_passed"
    UNPAID = "unpaid"


@dataclass(frozen=True, slots=True)
class Fare:
    """`day_cap_minor`: the most that a payer is charged in one day, however often they pass; sums in minor units."""

    currency: str
    passage_minor: int
    day_cap_minor: int
    passback_s: int = 20


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a payer has consented to: at most this for a passage and this for a day, until then (unix seconds)."""

    currency: str
    passage_minor: int
    day_minor: int
    until: int


@dataclass(frozen=True, slots=True)
class Passage:
    """One that counted: when (unix seconds), and what was charged for it; `unpaid`: in vain."""

    at: int
    charged_minor: int
    unpaid: bool = False


@dataclass(frozen=True, slots=True)
class Opens:
    """The gate opens. `charge_minor` is 0 at the cap: then there is nothing to pay, and only the passage is noted."""

    charge_minor: int


@dataclass(frozen=True, slots=True)
class StaysShut:
    reason: Refusal


def decide(
    fare: Fare, agreement: Agreement | None, today: tuple[Passage, ...], now: int, *, left_at: int = 0
) -> Opens | StaysShut:
    """`today` are this payer's passages of the gate's day, in any order; `now` in unix seconds.

    `left_at`: until when the gate had a payer before it whom it had let through; 0: not since it started.
    """
    if agreement is None:
        return StaysShut(Refusal.NOT_AGREED)
    if now >= agreement.until:
        return StaysShut(Refusal.AGREEMENT_OVER)
    if agreement.currency != fare.currency:
        return StaysShut(Refusal.WRONG_CURRENCY)
    if any(passage.unpaid for passage in today):
        return StaysShut(Refusal.UNPAID)
    if any(abs(now - at) < fare.passback_s for at in (left_at, *(passage.at for passage in today))):
        return StaysShut(Refusal.JUST_PASSED)
    charged = sum(passage.charged_minor for passage in today)
    charge = max(0, min(fare.passage_minor, fare.day_cap_minor - charged))
    if charge > agreement.passage_minor or charged + charge > agreement.day_minor:
        return StaysShut(Refusal.ABOVE_AGREEMENT)
    return Opens(charge)

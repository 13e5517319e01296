"""Which factor a case calls for. A face alone is never enough unless the policy says that the risk is low."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from daemon.payment.money import Amount
from daemon.payment.order import Identified


class Factor(StrEnum):
    NONE = "none"
    PIN = "pin"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules' figures. The default is the strict end: a PIN for every amount.

    Amounts are in minor units of the order's currency. `pin_free_up_to_minor` takes effect only for a match at least
    `strong_score` (cosine) with a margin to the runner-up of at least `strong_margin`.
    """

    pin_free_up_to_minor: int = 0
    refuse_above_minor: int = 500_000
    strong_score: float = 0.60
    strong_margin: float = 0.20


@dataclass(frozen=True, slots=True)
class Ruling:
    factor: Factor
    rule: str


def rule(policy: Policy, amount: Amount, who: Identified, ambiguous: bool) -> Ruling:
    """The first rule that fits, by name: the name goes to the journal."""
    if amount.minor > policy.refuse_above_minor:
        return Ruling(Factor.REFUSE, "amount_above_limit")
    if ambiguous:
        return Ruling(Factor.PIN, "look_alike")
    if amount.minor > policy.pin_free_up_to_minor:
        return Ruling(Factor.PIN, "amount_needs_pin")
    if who.score < policy.strong_score or who.margin < policy.strong_margin:
        return Ruling(Factor.PIN, "match_not_strong")
    return Ruling(Factor.NONE, "small_amount_strong_match")

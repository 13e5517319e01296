"""Whether a face alone lets somebody through: what was agreed, what the policy says, what is possible offline. Pure.

A face alone is never enough unless a rule of the policy says so for this sum; the default says so for none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.counter.gate import Agreement, Fare, Opens, Passage, Refusal, StaysShut, decide
from daemon.payment.money import Amount
from daemon.payment.order import Circumstances, Identified
from daemon.payment.passage import GATE
from daemon.payment.policy import Case, Factor, Policy, rule


@dataclass(frozen=True, slots=True)
class Standing:
    """One face before the gate. `today`: this payer's passages of the day; `now` and `left_at` in unix seconds."""

    who: Identified
    agreement: Agreement | None
    today: tuple[Passage, ...]
    around: Circumstances
    now: int
    left_at: int = 0


@dataclass(frozen=True, slots=True)
class Ruled:
    """`rule` is the policy's, and `raised_by` the floor that made it stricter, for the journal; empty where there is
    none."""

    decision: Opens | StaysShut
    reason: str
    rule: str = ""
    raised_by: str = ""


def ruled(fare: Fare, policy: Policy, case: Standing, *, offline_allowed: bool) -> Ruled:
    """The agreement first: who has none is asked for nothing. `reason` is a word of the journal and of the display."""
    decision = decide(fare, case.agreement, case.today, case.now, left_at=case.left_at)
    if isinstance(decision, StaysShut):
        return Ruled(decision, decision.reason.value)
    amount = Amount(max(1, decision.charge_minor), fare.currency)
    around = case.around
    now = rule(policy, Case(amount, GATE, case.who, False, around))
    online = rule(policy, Case(amount, GATE, case.who, False, replace(around, online=True)))
    if online.factor is not Factor.NONE or now.factor is Factor.REFUSE or around.duress:
        return Ruled(StaysShut(Refusal.NOT_AGREED), "policy", now.rule, online.raised_by or "")
    if not around.online and not (offline_allowed and _within(policy, amount, around)):
        return Ruled(StaysShut(Refusal.NOT_AGREED), "offline", now.rule)
    return Ruled(decision, "ok", now.rule)


def _within(policy: Policy, amount: Amount, around: Circumstances) -> bool:
    """The caps of what may be accepted without asking; the agreement stands for the PIN that they want otherwise."""
    caps = policy.offline
    return (
        amount.currency == caps.currency
        and amount.minor <= caps.per_payment
        and around.payer_sum_day + amount.minor <= caps.per_payer_day
        and around.box_sum_day + amount.minor <= caps.per_box_day
        and around.payer_count_day + 1 <= caps.payments_per_payer_day
    )

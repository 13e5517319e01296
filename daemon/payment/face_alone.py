"""Who is asked to turn and blink before anything is matched: everybody, where a face alone could pay. Pure.

A printed face that was cut out passes for a live one so often (docs/biometrics.md) that whatever a face alone can pay
would be its worth. Who will be asked for a PIN anyway is not kept waiting.
"""

from __future__ import annotations

from collections.abc import Mapping

from daemon.payment.flows import FLOWS, Step
from daemon.payment.money import Amount
from daemon.payment.passage import GATE
from daemon.payment.policy import Fact, Policy, Range, spares_the_pin, takes_unchallenged


def must_be_challenged(
    policy: Policy, amount: Amount | None, flow: str, *, online: bool = True, hour: int | None = None
) -> bool:  # fmt: skip
    """Whether having turned and blinked is what could spare this order's payer the PIN. `hour` (0..23) is None where
    the look may outlast it. Whatever has changed when the face is decided on, the policy's floor holds."""
    if amount is None or not online or not _leaves_it_to_the_policy(flow):
        return False
    known: dict[str, Fact] = {
        "amount": amount.minor, "currency": amount.currency, "flow": flow, "online": True, "ambiguous": False,
    }  # fmt: skip
    if hour is not None:
        known["hour"] = hour
    if not _could_spare_the_pin(policy, known | {"challenged": True}):
        return False
    return not (takes_unchallenged(policy, amount) and _could_spare_the_pin(policy, known | {"challenged": False}))


def passage_must_be_challenged(policy: Policy, fare: Amount) -> bool:
    """At a gate, where nothing is ever typed. What is charged may be less than the fare, as a day has its cap: a rule
    that fits any such sum counts."""
    spans = (rule.when.get("amount") for rule in policy.rules)
    ends = [end for span in spans if isinstance(span, Range) for end in (span.at_least, span.at_most)]
    turns = [0, policy.unchallenged_up_to_minor, *(int(end) for end in ends if end is not None)]
    sums = {min(max(turn + off, 1), fare.minor) for turn in turns for off in (-1, 0, 1)} | {fare.minor}
    return any(must_be_challenged(policy, Amount(minor, fare.currency), GATE) for minor in sums)


def largest_unchallenged_minor(policy: Policy) -> int:
    """The largest sum, in minor units, that a face alone may pay without having turned and blinked; 0: it pays nothing.
    So much is a printed portrait worth at this box."""
    spans = (rule.when.get("amount") for rule in policy.rules if spares_the_pin(rule.then))
    spared = max((int(span.at_most) for span in spans if isinstance(span, Range) and span.at_most), default=0)
    return min(spared, policy.unchallenged_up_to_minor)


def _could_spare_the_pin(policy: Policy, known: Mapping[str, Fact]) -> bool:
    """Whether some payer could come to a rule that asks for less than a PIN: what is not known yet may come to hold."""
    for rule in policy.rules:
        if not all(test.holds(known[name]) for name, test in rule.when.items() if name in known):
            continue
        if spares_the_pin(rule.then):
            return True
        if rule.when.keys() <= known.keys():
            return False  # it fits whoever comes
    return spares_the_pin(policy.otherwise)


def _leaves_it_to_the_policy(flow: str) -> bool:
    """Whether this way looks at a face, and may then end without a PIN."""
    if flow == GATE:
        return True
    way = FLOWS[flow]
    return Step.FACE in way.steps and Step.PIN not in way.steps and spares_the_pin(way.at_least)

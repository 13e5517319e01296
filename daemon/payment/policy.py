"""Which factor a case calls for: ordered rules, the first that fits decides, and floors that no rule can undercut.

Pure: everything a rule may look at is in the `Case`. A face alone is never enough unless a rule says so for a bounded
sum. Whatever the rules say, a look-alike asks for a PIN, and so does a box that is offline, and a face that has not
turned and blinked as it was asked to: a printed one looks alive, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from daemon.payment.money import Amount
from daemon.payment.order import Circumstances, Identified


class Factor(StrEnum):
    """What a payer is asked for beside the face, the weakest first."""

    NONE = "none"
    PHONE4 = "phone4"
    PHONE11 = "phone11"
    PIN = "pin"
    ID_CARD = "id_card"
    REFUSE = "refuse"


STRENGTH = {factor: place for place, factor in enumerate(Factor)}


@dataclass(frozen=True, slots=True)
class Case:
    """One payer before one order. `amount` is None for an identity check; `ambiguous` means that a look-alike is in
    the gallery, and `who` the better of the two."""

    amount: Amount | None
    flow: str
    who: Identified
    ambiguous: bool = False
    around: Circumstances = field(default_factory=Circumstances)


Fact = int | float | bool | str | None


def facts(case: Case) -> dict[str, Fact]:
    """Everything a rule's condition may name. Sums and amounts are in minor units of `currency`."""
    around = case.around
    return {
        "amount": case.amount.minor if case.amount else None,
        "currency": case.amount.currency if case.amount else None,
        "flow": case.flow, "score": case.who.score, "margin": case.who.margin, "liveness": case.who.liveness,
        "challenged": case.who.challenged, "ambiguous": case.ambiguous, "online": around.online, "hour": around.hour,
        "visits": around.visits, "payer_count_day": around.payer_count_day, "payer_sum_day": around.payer_sum_day,
        "box_count_day": around.box_count_day, "box_sum_day": around.box_sum_day, "duress": around.duress,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends belong to it; None is open. `at_most < at_least` wraps around: hours 22 to 6."""

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, value: Fact) -> bool:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        low = self.at_least is None or value >= self.at_least
        high = self.at_most is None or value <= self.at_most
        if self.at_least is not None and self.at_most is not None and self.at_most < self.at_least:
            return low or high
        return low and high

    def __str__(self) -> str:
        low = "" if self.at_least is None else f"at least {self.at_least:g}"
        high = "" if self.at_most is None else f"at most {self.at_most:g}"
        return " and ".join(part for part in (low, high) if part)


@dataclass(frozen=True, slots=True)
class OneOf:
    values: tuple[str | bool, ...]

    def holds(self, value: Fact) -> bool:
        return value is not None and any(type(v) is type(value) and v == value for v in self.values)

    def __str__(self) -> str:
        return " or ".join(str(value).lower() if isinstance(value, bool) else value for value in self.values)


@dataclass(frozen=True, slots=True)
class Rule:
    """`then` is asked for when every condition in `when` (fact -> what it must be) holds. `name` goes to the journal,
    `sentence` is a key of the display's wording, for a refusal."""

    name: str
    then: Factor
    when: Mapping[str, Range | OneOf] = field(default_factory=dict)
    sentence: str = "policy"


@dataclass(frozen=True, slots=True)
class OfflineCaps:
    """What may be accepted without asking the gateway, in minor units of `currency`; 0 is nothing. The default refuses
    everything, and an open-loop box has no other."""

    currency: str = "CNY"
    per_payment: int = 0
    per_payer_day: int = 0
    per_box_day: int = 0
    payments_per_payer_day: int = 0


def rules_from_figures(
    pin_free_up_to_minor: int, refuse_above_minor: int, strong_score: float, strong_margin: float
) -> tuple[Rule, ...]:
    """The short form of a policy, as rules. The default figures are the strict end: a PIN for every amount."""
    refuse = Rule("amount_above_limit", Factor.REFUSE, {"amount": Range(at_least=refuse_above_minor + 1)})
    needs = Rule("amount_needs_pin", Factor.PIN, {"amount": Range(at_least=pin_free_up_to_minor + 1)})
    spare = Rule(
        "small_amount_strong_match", Factor.NONE,
        {
            "amount": Range(at_most=pin_free_up_to_minor), "score": Range(at_least=strong_score),
            "margin": Range(at_least=strong_margin), "ambiguous": OneOf((False,)), "online": OneOf((True,)),
        },
    )  # fmt: skip
    weak = Rule("match_not_strong", Factor.PIN, {"amount": Range(at_most=pin_free_up_to_minor)})
    return (refuse, needs, spare, weak)


STRICT = rules_from_figures(0, 500_000, 0.60, 0.20)


@dataclass(frozen=True, slots=True)
class Policy:
    """`otherwise` is asked for where no rule fits. Up to `unchallenged_up_to_minor`, of whatever currency, a rule may
    spare the PIN of a face that was not asked to turn and blink; 0: never. `fingerprint` is the document's SHA-256,
    empty for the built-in."""

    rules: tuple[Rule, ...] = STRICT
    otherwise: Factor = Factor.PIN
    offline: OfflineCaps = field(default_factory=OfflineCaps)
    fingerprint: str = ""
    unchallenged_up_to_minor: int = 0


@dataclass(frozen=True, slots=True)
class Ruling:
    """`rule` is the rule that fired, or `otherwise`; `raised_by` names the floor that made it stricter, if any."""

    factor: Factor
    rule: str
    sentence: str = "policy"
    raised_by: str | None = None


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule held against a case. `failed` lists the conditions that did not hold, each as a sentence."""

    rule: str
    then: Factor
    fired: bool
    failed: tuple[str, ...]


def rule(policy: Policy, case: Case, at_least: Factor = Factor.NONE) -> Ruling:
    """The first rule that fits, raised to the floors. `at_least` is the flow's own."""
    known = facts(case)
    for one in policy.rules:
        if all(test.holds(known[name]) for name, test in one.when.items()):
            return _raised(Ruling(one.then, one.name, one.sentence), policy, case, at_least)
    return _raised(Ruling(policy.otherwise, "otherwise"), policy, case, at_least)


def explain(policy: Policy, case: Case) -> tuple[Tried, ...]:
    """Every rule up to the one that fires, with what of each did not hold."""
    known = facts(case)
    tried: list[Tried] = []
    for one in policy.rules:
        failed = tuple(
            f"{name} is {_said(known[name])}, must be {test}"
            for name, test in one.when.items() if not test.holds(known[name])
        )  # fmt: skip
        tried.append(Tried(one.name, one.then, not failed, failed))
        if not failed:
            return tuple(tried)
    return (*tried, Tried("otherwise", policy.otherwise, True, ()))


def stricter(one: Factor, other: Factor) -> Factor:
    return max(one, other, key=STRENGTH.__getitem__)


def spares_the_pin(factor: Factor) -> bool:
    """The digits of a phone are no secret: with them, too, it is the face alone that pays."""
    return STRENGTH[factor] < STRENGTH[Factor.PIN]


def takes_unchallenged(policy: Policy, amount: Amount | None) -> bool:
    """Whether the operator takes the risk of a mask for this sum."""
    return amount is not None and amount.minor <= policy.unchallenged_up_to_minor


def _raised(ruling: Ruling, policy: Policy, case: Case, at_least: Factor) -> Ruling:
    alive = case.who.challenged or case.who.relief or takes_unchallenged(policy, case.amount)
    floors = (
        ("look_alike", Factor.PIN if case.ambiguous else Factor.NONE),
        ("offline", Factor.NONE if case.around.online else Factor.PIN),
        ("unchallenged", Factor.NONE if alive else Factor.PIN),
        ("flow", at_least),
    )
    for name, floor in floors:
        if STRENGTH[ruling.factor] < STRENGTH[floor]:
            ruling = Ruling(floor, ruling.rule, ruling.sentence, name)
    return ruling


def _said(value: Fact) -> str:
    return "not known" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

"""A policy as its author writes it: the `[policy]` section of the signed config. Validated whole; unknown words are
refused, and so is a rule that spares the PIN without saying up to which sum of which currency.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from daemon.payment import policy
from daemon.payment.flows import FLOWS
from daemon.payment.money import DECIMALS, MAX_MINOR
from daemon.payment.passage import GATE
from daemon.payment.policy import STRENGTH, Factor, OneOf

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_]{0,39}$")]
Number = Annotated[float, Field(allow_inf_nan=False)]
Minor = Annotated[int, Field(ge=0, le=MAX_MINOR)]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Range(Part):
    """`at_least` and `at_most` both belong to the range; at least one of them is given."""

    goes_around: ClassVar[bool] = False

    at_least: Number | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Range:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if self.goes_around or self.at_least is None or self.at_most is None:
            return self
        if self.at_most < self.at_least:
            raise ValueError("at_most must not be below at_least: nothing would lie between")
        return self


class Sum(Range):
    """Minor units of the rule's currency."""

    at_least: Annotated[int, Field(ge=0)] | None = None
    at_most: Annotated[int, Field(ge=0)] | None = None


class Hours(Range):
    """Full hours of the box's day, 0 to 23; 22 to 6 goes over midnight."""

    goes_around: ClassVar[bool] = True

    at_least: Annotated[int, Field(ge=0, le=23)] | None = None
    at_most: Annotated[int, Field(ge=0, le=23)] | None = None


class When(Part):
    """What must hold, all of it. The `_day` facts count the last 24 hours; `visits` the payments of 90 days.
    `challenged`: this face has turned and blinked as it was asked to."""

    amount: Sum | None = None
    currency: tuple[str, ...] | None = None
    flow: tuple[str, ...] | None = None
    score: Range | None = None
    margin: Range | None = None
    liveness: Range | None = None
    challenged: bool | None = None
    ambiguous: bool | None = None
    online: bool | None = None
    hour: Hours | None = None
    visits: Range | None = None
    payer_count_day: Range | None = None
    payer_sum_day: Sum | None = None
    box_count_day: Range | None = None
    box_sum_day: Sum | None = None
    duress: bool | None = None

    @model_validator(mode="after")
    def _known_words(self) -> When:
        for code in self.currency or ():
            if code not in DECIMALS:
                raise ValueError(f"currency {code!r} is not known; write its ISO 4217 code, like CNY")
        for flow in self.flow or ():
            if flow not in (*FLOWS, GATE):
                raise ValueError(f"flow {flow!r} is not known; there are {', '.join((*FLOWS, GATE))}")
        return self

    def tests(self) -> dict[str, policy.Range | OneOf]:
        found: dict[str, policy.Range | OneOf] = {}
        for name in type(self).model_fields:
            match getattr(self, name):
                case None:
                    continue
                case Range() as span:
                    found[name] = policy.Range(span.at_least, span.at_most)
                case bool() as flag:
                    found[name] = OneOf((flag,))
                case values:
                    found[name] = OneOf(tuple(values))
        return found


class RuleDocument(Part):
    """`then` is what is asked for where `when` holds; `sentence` a key of the display's `declined` wording."""

    name: Name
    then: Factor
    when: When = When()
    sentence: Name = "policy"

    @model_validator(mode="after")
    def _what_spares_the_pin_is_bounded(self) -> RuleDocument:
        if STRENGTH[self.then] >= STRENGTH[Factor.PIN]:
            return self
        if self.when.amount is None or self.when.amount.at_most is None or not self.when.currency:
            raise ValueError(f"a rule that asks for {self.then} only needs when.amount.at_most and when.currency")
        return self


class OfflineDocument(Part):
    """What may be accepted while the gateway can't be asked; 0 is nothing. Sums in minor units of `currency`."""

    currency: str = "CNY"
    per_payment: Minor = 0
    per_payer_day: Minor = 0
    per_box_day: Minor = 0
    payments_per_payer_day: Annotated[int, Field(ge=0, le=1000)] = 0

    @model_validator(mode="after")
    def _known_currency(self) -> OfflineDocument:
        if self.currency not in DECIMALS:
            raise ValueError(f"currency {self.currency!r} is not known; write its ISO 4217 code, like CNY")
        return self


class PolicyDocument(Part):
    """Either a few figures or `rules`, in order; the default is the strict end: a PIN for every amount.

    Figures are minor units of the order's currency; `pin_free_up_to_minor` takes effect only for a match of at least
    `strong_score` (cosine) with a margin to the runner-up of at least `strong_margin`.

    `unchallenged_up_to_minor`, with figures and with rules: up to this sum a face that may pay without a PIN is not
    asked to turn and blink first, which is what tells it from a printed one. 0 asks everybody.
    """

    pin_free_up_to_minor: int = Field(default=0, ge=0)
    refuse_above_minor: int = Field(default=500_000, gt=0)
    strong_score: float = Field(default=0.60, ge=0, le=1)
    strong_margin: float = Field(default=0.20, ge=0, le=2)
    unchallenged_up_to_minor: Minor = 0
    rules: tuple[RuleDocument, ...] = Field(default=(), max_length=100)
    otherwise: Factor = Factor.PIN
    offline: OfflineDocument = OfflineDocument()

    @model_validator(mode="after")
    def _rules_are_told_apart(self) -> PolicyDocument:
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rules are called {twice!r}")
        fields = type(self).model_fields
        figures = ("pin_free_up_to_minor", "refuse_above_minor", "strong_score", "strong_margin")
        given = [name for name in figures if getattr(self, name) != fields[name].default]
        if self.rules and given:
            raise ValueError(f"{given[0]} has no effect beside rules; leave it out")
        if STRENGTH[self.otherwise] < STRENGTH[Factor.PIN]:
            raise ValueError("otherwise must be pin, id_card or refuse: what no rule speaks of is never relaxed")
        return self

    def policy(self) -> policy.Policy:
        """The same for the core."""
        rules = tuple(policy.Rule(r.name, r.then, r.when.tests(), r.sentence) for r in self.rules)
        rules = rules or policy.rules_from_figures(
            self.pin_free_up_to_minor, self.refuse_above_minor, self.strong_score, self.strong_margin
        )
        caps = policy.OfflineCaps(**self.offline.model_dump())
        return policy.Policy(rules, self.otherwise, caps, self.fingerprint(), self.unchallenged_up_to_minor)

    def fingerprint(self) -> str:
        """SHA-256 of the document as canonical JSON."""
        document: dict[str, Any] = self.model_dump(mode="json")
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

"""A small shop's catalogue, and a clerk's hands at the pure machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from daemon.counter import catalogue as catalogues
from daemon.counter import machine
from daemon.counter.catalogue import Catalogue

WATER, TEA, APPLES, SALAD = "6901234567892", "036000291452", "12345", "12399"


def document(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1, "version": 3, "currency": "CNY", "tax_included": True,
        "scales": [{"prefix": "21", "carries": "weight"}, {"prefix": "22", "carries": "price"}],
        "items": [
            {"code": WATER, "name": "矿泉水 Water", "price_minor": 200, "tax_bp": 1300},
            {"code": TEA, "name": "绿茶 Green tea", "price_minor": 1850, "tax_bp": 900},
            {"code": APPLES, "name": "苹果 Apples", "price_minor": 1280, "per": "kg", "tax_bp": 900},
            {"code": SALAD, "name": "沙拉 Salad", "price_minor": 990, "tax_bp": 600},
        ],
    } | changes  # fmt: skip


@pytest.fixture
def a_document() -> Callable[..., dict[str, Any]]:
    return document


@pytest.fixture
def catalogue() -> Catalogue:
    return catalogues.parse(json.dumps(document()).encode(), "the test's catalogue")


@dataclass
class Clerk:
    """Presses keys and scans; `effects` is all that came of it, `now` is the clock in her hand."""

    rules: machine.Rules
    now: float = 100.0
    state: machine.State = field(default_factory=machine.Closed)
    effects: list[machine.Effect] = field(default_factory=list)

    def does(self, *events: machine.Event) -> machine.State:
        for event in events:
            self.state, effects = machine.step(self.state, event, self.rules, self.now)
            self.effects += effects
        return self.state

    def press(self, *keys: str) -> machine.State:
        return self.does(*(machine.Key(key) for key in keys))

    def scan(self, *codes: str) -> machine.State:
        return self.does(*(machine.Scanned(code) for code in codes))

    @property
    def orders(self) -> list[machine.MakeOrder]:
        return [effect for effect in self.effects if isinstance(effect, machine.MakeOrder)]


@pytest.fixture
def clerk(catalogue: Catalogue) -> Callable[..., Clerk]:
    def make(currency: str = "CNY", limit_minor: int = 500_000, **changes: Any) -> Clerk:
        given = {"clerk_amounts": True, "catalogue": catalogue} | changes
        return Clerk(machine.Rules(currency, limit_minor, **given))

    return make

"""What is done at the counter that is played by hand, and what is read off it."""

from __future__ import annotations

from daemon.payment import emvco
from daemon.payment.effects import AttemptMoved, CheckFactor, Persist
from daemon.payment.events import FactorChecked, FactorOutcome, KeyPressed, OrderArrived, PayerFound
from daemon.payment.money import Amount
from daemon.payment.order import Identified, Order
from daemon.payment.policy import Factor, OneOf, Policy, Range, Rule
from daemon.payment.state import AskFactor, Rules, Showing, State

GRACE = Identified("grace", 0.8, 0.6, 0.99, challenged=True)
TWIN = Identified("hope", 0.79, -0.01, 0.99, challenged=True)
PHONE = "13800138000"
SMALL_BY_PHONE = Policy(
    (
        Rule("small", Factor.PHONE4, {"amount": Range(at_most=2000), "currency": OneOf(("CNY",))}),
        Rule("middle", Factor.PHONE11, {"amount": Range(at_most=10_000), "currency": OneOf(("CNY",))}),
    )
)
NOTHING_ASKED = Policy((Rule("free", Factor.NONE, {"amount": Range(at_most=10_000), "currency": OneOf(("CNY",))}),))
SHOP = emvco.Merchant("com.example.pay", "M-0001", "Kingfisher", "Shanghai")


def start(counter, flow, *, policy=None, minor=1850, phone="", **rules):
    counter.state = State(rules=Rules(policy=policy or Policy(), merchant=SHOP, **rules))
    order = Order("o1", Amount(minor, "CNY"), None, counter.now + 120, flow, phone)
    return counter.send(OrderArrived(order))


def keys(counter, *names):
    effects = []
    for name in names:
        effects += counter.send(KeyPressed(name))
    return effects


def prove(counter, factor, typed, payer=None, counted=()):
    """Types the factor and lets the store say that it is right."""
    stage = counter.state.stage
    assert isinstance(stage, AskFactor)
    assert stage.factor is factor
    [check] = [e for e in keys(counter, *typed, "ok") if isinstance(e, CheckFactor)]
    assert check.typed == typed
    assert typed not in repr(check)
    return counter.send(FactorChecked("o1", counter.state.epoch, FactorOutcome.OK, 2, payer, counted))


def find(counter, payer):
    return counter.send(PayerFound("o1", counter.state.epoch, payer))


def request_of(effects):
    [request] = [
        c.request for e in effects if isinstance(e, Persist) for c in e.changes
        if isinstance(c, AttemptMoved) and c.request is not None
    ]  # fmt: skip
    return request


def changes(effects):
    return [c for e in effects if isinstance(e, Persist) for c in e.changes]


def last_closed(counter):
    assert isinstance(counter.state.stage, Showing)
    return counter.state.stage.status, counter.state.stage.reason

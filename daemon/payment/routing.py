"""Which channel an attempt goes through, and what its end says of that channel: the chooser over the core's state."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from daemon.payment import channels
from daemon.payment.channels import Breaker, ChannelConfig, Choice
from daemon.payment.money import Amount
from daemon.payment.order import PayRequest
from daemon.payment.settling import SettlingTimes
from daemon.payment.state import State


def choose(state: State, amount: Amount, flow: str, now: float, code: str | None = None) -> Choice:
    """Best first; made before an attempt is submitted, and never again for the same attempt."""
    return channels.choose(state.rules.channels, state.breakers, amount, flow, now, code)


def tried(state: State, name: str, now: float) -> State:
    """A payment goes through this channel."""
    return _with(state, name, channels.submitted(_breaker(state, name), now))


def heard(state: State, name: str, status: str, reason: str, now: float) -> State:
    """The gateway's answer to a payment through it."""
    known = _known(state, name)
    return state if known is None else _with(
        state, name, channels.heard(_breaker(state, name), status, reason, now, known.breaker)
    )  # fmt: skip


def silent(state: State, name: str, now: float) -> State:
    """No answer came in time."""
    known = _known(state, name)
    return state if known is None else _with(state, name, channels.failed(_breaker(state, name), now, known.breaker))


def times_of(state: State, request: PayRequest) -> SettlingTimes:
    """The box's waits, or the channel's own."""
    times, known = state.rules.settling, _known(state, request.channel)
    if known is None or (known.answer_s is None and known.query_for_s is None):
        return times
    return replace(
        times, answer_s=times.answer_s if known.answer_s is None else known.answer_s,
        query_for_s=times.query_for_s if known.query_for_s is None else known.query_for_s,
    )  # fmt: skip


def _known(state: State, name: str) -> ChannelConfig | None:
    return next((channel for channel in state.rules.channels if channel.name == name), None)


def _breaker(state: State, name: str) -> Breaker:
    return state.breakers.get(name, Breaker())


def _with(state: State, name: str, breaker: Breaker) -> State:
    if state.breakers.get(name, Breaker()) == breaker:
        return state
    return replace(state, breakers=MappingProxyType({**state.breakers, name: breaker}))

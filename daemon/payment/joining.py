"""Membership, offered on the paid screen to whoever was not recognised: one key asks for it, doing nothing declines.

The handle is the fleet's to give: the box says durably that somebody wants one, and keeps the counter for a moment.
"""

from __future__ import annotations

from dataclasses import replace

from daemon.payment.closing import persist
from daemon.payment.effects import SignUpAsked
from daemon.payment.events import SignUpReady
from daemon.payment.order import PayRequest
from daemon.payment.state import Idle, Result, Showing, State
from daemon.payment.status import Status

JOIN_KEY = "1"
ANONYMOUS = "anonymous"  # who pays with an app of their own is known to its provider alone


def may_join(state: State, request: PayRequest, status: Status) -> bool:
    """Somebody whose face nobody knows has paid, and the fleet can be asked."""
    known = request.payer != ANONYMOUS
    return status is Status.APPROVED and not known and state.rules.notice is not None and state.offline_since is None


def asked(state: State, stage: Showing, now: float) -> Result:
    """The screen stays for as long as the fleet may take to answer."""
    if not stage.joins or stage.joining or stage.smiling or state.rules.notice is None:
        return state, ()
    until_s = now + state.rules.join_s
    stage = replace(stage, joining=True, until_s=until_s, brief_until_s=until_s)
    return persist(replace(state, stage=stage), (SignUpAsked(stage.order.order_id, stage.attempt, state.rules.notice),))


def ready(state: State, event: SignUpReady) -> Result:
    """The consent screen takes the counter: nobody else's order comes between."""
    stage = state.stage
    if isinstance(stage, Showing) and stage.joining and stage.order.order_id == event.order_id:
        return replace(state, stage=Idle(), counter_taken=True), ()
    return state, ()


def waits_for(state: State, order_id: str) -> bool:
    """Whether whoever asked to join after this order still stands there."""
    stage = state.stage
    return isinstance(stage, Showing) and stage.joining and stage.order.order_id == order_id

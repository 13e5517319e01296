"""Smile for a coupon: who has paid may ask for it with one key; a label goes to the fleet, and an offer comes back.

Nothing of a face passes through here: the pipeline says that somebody smiled, and that is all anybody learns.
"""

from __future__ import annotations

from dataclasses import replace

from daemon.payment.closing import persist
from daemon.payment.effects import SmileSeen, StopWatching, WatchSmile
from daemon.payment.events import OfferCame, Smiled
from daemon.payment.state import Result, Showing, State
from daemon.payment.status import Status

SMILE_KEY = "2"


def may_smile(state: State, status: Status) -> bool:
    """Whether it is offered, where the payment itself brought nothing."""
    return status is Status.APPROVED and state.rules.smile and state.offline_since is None


def asked(state: State, stage: Showing, now: float) -> Result:
    """The camera looks for a smile, for so long."""
    if not stage.may_smile or stage.smiling or stage.joining or stage.thanks.offer is not None:
        return state, ()
    until_s, epoch = now + state.rules.smile_s, state.epoch + 1
    stage = replace(stage, smiling=True, until_s=until_s, brief_until_s=until_s)
    return replace(state, stage=stage, epoch=epoch), (WatchSmile(stage.order.order_id, epoch),)


def smiled(state: State, event: Smiled, now: float) -> Result:
    """The label is on disk before the fleet hears of it; the offer is waited for for a moment."""
    stage = state.stage
    if not isinstance(stage, Showing) or not stage.smiling or event.epoch != state.epoch:
        return state, ()
    if stage.order.order_id != event.order_id:
        return state, ()
    until_s = now + state.rules.join_s
    seen = replace(stage, smiling=False, may_smile=False, smiled=True, until_s=until_s, brief_until_s=until_s)
    state, effects = persist(replace(state, stage=seen), (SmileSeen(event.order_id, stage.attempt),))
    return state, (StopWatching(), *effects)


def offered(state: State, event: OfferCame, now: float) -> Result:
    """A coupon for the payment that is on the display; for any other it is too late."""
    stage = state.stage
    fits = isinstance(stage, Showing) and (stage.order.order_id, stage.attempt) == (event.order_id, event.attempt)
    if not fits or not isinstance(stage, Showing) or not stage.smiled or stage.thanks.offer is not None:
        return state, ()
    rules = state.rules
    shown = replace(
        stage, thanks=replace(stage.thanks, offer=event.offer), until_s=now + rules.offer_s,
        brief_until_s=now + min(rules.offer_s, rules.show_s),
    )  # fmt: skip
    return replace(state, stage=shown), ()


def left(stage: Showing) -> tuple[StopWatching, ...]:
    """What must be let go when the screen is left."""
    return (StopWatching(),) if stage.smiling else ()

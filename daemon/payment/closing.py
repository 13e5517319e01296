"""What every part of the core does in the end: write, close an order, and know which order the counter serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from daemon.payment.effects import Change, CheckEnded, Effect, OrderClosed, Persist, StopWatching
from daemon.payment.order import Order, Turn
from daemon.payment.settling import Settling
from daemon.payment.state import COLLECTING, After, ChooseBank, Key, Looking, Result, Showing, State
from daemon.payment.status import Status

ENTRY_KEYS = "0123456789"


def persist(state: State, changes: tuple[Change, ...], after: After | None = None) -> Result:
    """`after` is what waits until these changes are on disk."""
    token = state.next_token
    awaiting = state.awaiting if after is None else MappingProxyType({**state.awaiting, token: after})
    return replace(state, next_token=token + 1, awaiting=awaiting), (Persist(token, changes),)


def gathered(state: State, effects: tuple[Effect, ...]) -> tuple[Effect, ...]:
    """What nobody waits for, put into the transaction of what somebody does, so that both are written or neither."""
    done: list[Effect] = []
    open_at: int | None = None  # the place of a Persist that can still take more in
    for effect in effects:
        if not isinstance(effect, Persist):
            done.append(effect)
            continue
        last = done[open_at] if open_at is not None else None
        if isinstance(last, Persist) and not (last.token in state.awaiting and effect.token in state.awaiting):
            token = last.token if last.token in state.awaiting else effect.token
            assert open_at is not None
            done[open_at] = Persist(token, last.changes + effect.changes)
        else:
            done.append(effect)
            open_at = len(done) - 1
    return tuple(done)


def closed(order: Order, status: Status, reason: str) -> Change:
    """An order's end, or an identity check's."""
    if order.amount is None:
        return CheckEnded(order.order_id, status, reason)
    return OrderClosed(order.order_id, status, reason)


def close(
    state: State, turn: Turn, status: Status, reason: str, now: float, sentence: str | None = None
) -> Result:  # fmt: skip
    """The order ends at the counter without any money having moved."""
    leave = leaving(state)
    state, effects = persist(state, (closed(turn.order, status, reason),))
    showing = Showing(turn.order, status, reason, now + state.rules.show_s, sentence=sentence)
    return replace(state, stage=showing), leave + effects


def leaving(state: State) -> tuple[Effect, ...]:
    """What must be let go when the stage changes."""
    return (StopWatching(),) if isinstance(state.stage, Looking) else ()


def is_current(state: State, order_id: str, epoch: int) -> bool:
    """Whether an answer is for the stage that stands now."""
    stage = state.stage
    return epoch == state.epoch and isinstance(stage, COLLECTING) and stage.turn.order.order_id == order_id


def is_busy(state: State) -> bool:
    """Whether the stage waits for the box itself, and keys have to wait too."""
    stage = state.stage
    return bool(getattr(stage, "checking", False)) or (isinstance(stage, ChooseBank) and stage.banks is None)


def is_offline(state: State, now: float) -> bool:
    """The link has been down for so long that nobody should wait for an answer."""
    return state.offline_since is not None and now - state.offline_since >= state.rules.offline_after_s


def with_attempt(known: Mapping[Key, Settling], attempt: Settling) -> Mapping[Key, Settling]:
    return MappingProxyType({**known, attempt.key: attempt})


def without_attempt(known: Mapping[Key, Settling], key: Key) -> Mapping[Key, Settling]:
    return MappingProxyType({k: v for k, v in known.items() if k != key})

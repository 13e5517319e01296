"""The clock was put right while orders are open: an order ends at a moment of the world's time, not the wrong clock's.

An order of this box's own never gets more time by it: its payer stands here and now, whatever the date seemed to be.
"""

from __future__ import annotations

from dataclasses import replace

from daemon.payment.events import ClockCorrected
from daemon.payment.order import Order, Turn
from daemon.payment.state import COLLECTING, Paying, Showing, Stage, State


def retimed(state: State, event: ClockCorrected) -> State:
    """Every order that has not ended has its end moved; what is overdue now is for the next tick to end."""

    def moved(turn: Turn) -> Turn:
        return replace(turn, order=_moved(turn.order, event))

    def stage_of(stage: Stage) -> Stage:
        match stage:
            case Showing(then=then) if then is not None:
                return replace(stage, then=moved(then))
            case Paying(turn=turn):
                return replace(stage, turn=moved(turn))
            case _ if isinstance(stage, COLLECTING):
                return replace(stage, turn=moved(stage.turn))
            case _:
                return stage

    return replace(state, stage=stage_of(state.stage), waiting=tuple(moved(turn) for turn in state.waiting))


def _moved(order: Order, event: ClockCorrected) -> Order:
    by_s = max(0.0, event.by_s) if order.order_id.startswith(f"{event.box}-") else event.by_s
    return replace(order, expires_s=order.expires_s - by_s)

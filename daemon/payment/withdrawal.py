"""An order that whoever asked for it takes back: only while no money can be on its way."""

from __future__ import annotations

from dataclasses import replace

from daemon.payment.closing import close, closed, persist
from daemon.payment.events import OrderWithdrawn
from daemon.payment.state import COLLECTING, Result, Showing, State
from daemon.payment.status import Status


def withdrawn(state: State, event: OrderWithdrawn, now: float) -> Result:
    """Ends an order that waits or is at the counter, unpaid; any other stays as it is."""
    for turn in state.waiting:
        if turn.order.order_id == event.order_id:
            state = replace(state, waiting=tuple(other for other in state.waiting if other is not turn))
            return persist(state, (closed(turn.order, Status.CANCELLED, event.reason),))
    stage = state.stage
    at_counter = stage.turn if isinstance(stage, COLLECTING) else stage.then if isinstance(stage, Showing) else None
    if at_counter is not None and at_counter.order.order_id == event.order_id:
        return close(state, at_counter, Status.CANCELLED, event.reason, now)
    return state, ()

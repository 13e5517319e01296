"""A passage through a gate: somebody who agreed to it before has walked on, and is charged behind the counter's back.

Like goods that were handed over offline: it is accepted on disk first, and its signed voucher is repeated until the
gateway has answered. Nothing is reversed, as nobody can be asked to walk back.
"""

from __future__ import annotations

import math
from dataclasses import replace

from daemon.payment import routing
from daemon.payment.closing import persist, with_attempt
from daemon.payment.effects import AttemptMoved, Change, OrderStored
from daemon.payment.events import Passed
from daemon.payment.order import PayRequest
from daemon.payment.settling import Settling
from daemon.payment.state import After, Result, State
from daemon.payment.status import Status, move

GATE = "gate"  # the flow, for policy, books and evidence; no order can name it


def passed(state: State, event: Passed, now: float) -> Result:
    """The caller has seen the agreement, the policy and the caps. The counter stays as it is."""
    order = event.order
    assert order.amount is not None
    choice = routing.choose(state, order.amount, GATE, now)
    channel = choice.best.name if choice.best is not None else state.rules.channels[0].name  # a voucher needs none
    request = PayRequest(
        order.order_id, 1, order.amount, event.who.payer, ("face",), channel, GATE, epoch=state.epoch,
        identified=event.who,
    )  # fmt: skip
    changes: tuple[Change, ...] = (
        OrderStored(order),
        AttemptMoved(order.order_id, 1, Status.CONFIRMED, request=request, offline=True),
        AttemptMoved(order.order_id, 1, Status.ACCEPTED_OFFLINE, "passage"),
    )
    attempt = Settling(request, move(Status.CONFIRMED, Status.ACCEPTED_OFFLINE), due_s=math.inf)
    state = replace(state, settling=with_attempt(state.settling, attempt))
    return persist(state, changes, After(voucher=attempt.key))

"""A technician's `refund ORDER`: asked of the main loop, which alone moves money."""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import Any

from daemon.box_events import RefundWanted
from daemon.console.errors import Refused

WAIT_S = 5.0
TECHNICIAN = "technician"


def refund(send: Callable[[RefundWanted], None], order_id: str) -> dict[str, Any]:
    """What is under way now; how it ends comes from the gateway and stands in the journal. Raises Refused."""
    said: queue.SimpleQueue[str] = queue.SimpleQueue()
    send(RefundWanted(order_id, TECHNICIAN, said.put))
    try:
        word = said.get(timeout=WAIT_S)
    except queue.Empty:
        raise Refused("busy", "the main loop does not answer", "try again; see `status`") from None
    if word == "refunding":
        return {"order_id": order_id, "status": word}
    if word == "unknown_order":
        raise Refused(word, f"this box has paid no order {order_id}", "see `journal`")
    state = word.removeprefix("is_").replace("_", " ")
    raise Refused(word, f"order {order_id} is {state}: only an approved payment can be refunded", "see `journal`")

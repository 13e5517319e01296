"""What a box says of itself whenever it connects: its versions, and what it still owes an answer to (`state`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mqtt.schemas import StateBody

NAMED = 200  # as many as the contract lets a state name; the rest is named after these


def of(
    instance: str, versions: Mapping[str, object], unsettled: Collection[tuple[str, int]], open_orders: Sequence[str],
    open_commands: Sequence[str],
) -> StateBody:  # fmt: skip
    """`unsettled`: (order_id, attempt) of money whose end the box does not know."""
    body = {
        "online": True,
        "instance": instance,
        "versions": dict(versions),
        "unsettled": [{"order_id": order_id, "attempt": attempt} for order_id, attempt in unsettled][:NAMED],
        "open_orders": list(open_orders[:NAMED]),
        "open_commands": list(open_commands[-NAMED:]),
    }
    return StateBody.model_validate(body, strict=False)

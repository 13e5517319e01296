"""What a box says of itself: its state, events, heartbeats; and the time it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from mqtt.schemas.body import Attempt, Body, Code, Count, Handle, Id, UnixTime, Whole

MAX_UNSETTLED = 200


class AttemptRef(Body):
    order_id: Id
    attempt: Attempt


class StateBody(Body):
    """What a box has. `online: false` is its last will: signed, and even so a hint only. `session` is made up anew
    for each connection and is the same in its will, so that a late will does not hide a box that is back; `instance`
    is made up at each start, so that two boxes with one key are told apart."""

    online: bool
    session: Id | None = None
    instance: Id | None = None
    versions: dict[Code, Whole | Annotated[str, StringConstraints(max_length=64)]] = Field(default_factory=dict)
    unsettled: Annotated[Sequence[AttemptRef], Field(max_length=MAX_UNSETTLED)] = ()
    open_orders: Annotated[Sequence[Id], Field(max_length=200)] = ()
    open_commands: Annotated[Sequence[Id], Field(max_length=200)] = ()


class EventBody(Body):
    """Something happened on the box. Names in use: order.open, order.approved (data: attempt), order.cancelled,
    order.expired, enrol.open, enrol.done, enrol.cancelled, enrol.failed, erase.done, erase.failed,
    consent.withdrawn, factor.wrong (handle; data: factor, tries). A departure that no command asked for names its
    handle, and as reason on whose word it was."""

    event: Code
    at: UnixTime
    order_id: Id | None = None
    command_id: Id | None = None
    handle: Handle | None = None
    reason: Code | None = None
    data: dict[Code, Whole | bool | Annotated[str, StringConstraints(max_length=256)]] = Field(default_factory=dict)


class HealthBody(Body):
    """A heartbeat: how the box is. Small, sent now or not at all. `beat_s` says when the next one is due."""

    at: UnixTime
    beat_s: Annotated[int, Field(strict=True, ge=1, le=3600)]
    up_s: Count
    stage: Code
    conditions: Annotated[Sequence[Code], Field(max_length=32)] = ()
    figures: Annotated[dict[Code, Annotated[int, Field(strict=True, ge=-(2**53), le=2**53)]], Field(max_length=32)] = (
        Field(default_factory=dict)
    )


class TimeRequestBody(Body):
    nonce: Id


class TimeBody(Body):
    """The fleet's time, for the nonce that the box has just made up. `store`: the highest counter that the box's store
    ever had; a store below it is an older copy that was put back. Left out where the fleet knows of none."""

    nonce: Id
    now: UnixTime
    store: Annotated[int, Field(strict=True, ge=0, le=2**53)] | None = None

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_none=True)

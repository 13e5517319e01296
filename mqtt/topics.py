"""The topic tree: `kf/v1/{box}/down/{kind}` to a box, `kf/v1/{box}/up/{kind}` from it. Fixed depth, no broadcast."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mqtt.errors import TopicInvalid
from mqtt.identity import BOX_ID

ROOT = "kf/v1"


class Direction(StrEnum):
    DOWN = "down"
    UP = "up"


DOWN_KINDS = frozenset({"order", "pay", "config", "roster", "command", "content", "time", "face"})
UP_KINDS = frozenset({"state", "order", "pay", "config", "play", "event", "audit", "health", "face"})

# Which topic a type of envelope may be on: a valid signature does not let an order pass as an answer.
PLACE_OF_TYP: dict[str, tuple[Direction, str]] = {
    "order": (Direction.DOWN, "order"),
    "pay.answer": (Direction.DOWN, "pay"),
    "quote": (Direction.DOWN, "pay"),
    "offer": (Direction.DOWN, "pay"),
    "command": (Direction.DOWN, "command"),
    "tries": (Direction.DOWN, "roster"),
    "time": (Direction.DOWN, "time"),
    "config": (Direction.DOWN, "config"),
    "state": (Direction.UP, "state"),
    "order.made": (Direction.UP, "order"),
    "pay.request": (Direction.UP, "pay"),
    "pay.voucher": (Direction.UP, "pay"),
    "pay.query": (Direction.UP, "pay"),
    "pay.reverse": (Direction.UP, "pay"),
    "pay.refund": (Direction.UP, "pay"),
    "quote.request": (Direction.UP, "pay"),
    "event": (Direction.UP, "event"),
    "config.report": (Direction.UP, "config"),
    "health": (Direction.UP, "health"),
    "result": (Direction.UP, "event"),
    "time.request": (Direction.UP, "event"),
    "evidence": (Direction.UP, "audit"),
    "checkpoint": (Direction.UP, "audit"),
    "checkpoint.ack": (Direction.DOWN, "content"),
    "play": (Direction.UP, "play"),
    "play.ack": (Direction.DOWN, "content"),
    "content": (Direction.DOWN, "content"),
    "content.request": (Direction.UP, "event"),
    "content.chunk": (Direction.DOWN, "content"),
    "face.probe": (Direction.UP, "face"),
    "face.find": (Direction.UP, "face"),
    "face.factor": (Direction.UP, "face"),
    "face.enrol": (Direction.UP, "face"),
    "face.answer": (Direction.DOWN, "face"),
}


@dataclass(frozen=True, slots=True)
class Topic:
    box: str
    direction: Direction
    kind: str

    def __str__(self) -> str:
        return f"{ROOT}/{self.box}/{self.direction}/{self.kind}"


def down(box: str, kind: str) -> str:
    """Topic to a box. Raises TopicInvalid for a malformed box id or an unknown kind."""
    return str(_checked(box, Direction.DOWN, kind))


def up(box: str, kind: str) -> str:
    """Topic from a box. Raises TopicInvalid."""
    return str(_checked(box, Direction.UP, kind))


def parse(topic: str) -> Topic:
    """Raises TopicInvalid for whatever `down` and `up` would not make."""
    parts = topic.split("/")
    if len(parts) != 5 or "/".join(parts[:2]) != ROOT or parts[3] not in (Direction.DOWN, Direction.UP):
        raise TopicInvalid("reading a topic", "not a topic of this contract")
    return _checked(parts[2], Direction(parts[3]), parts[4])


def topic_of(typ: str, box: str) -> str:
    """Where an envelope of this type belongs. Raises TopicInvalid for an unknown type."""
    place = PLACE_OF_TYP.get(typ)
    if place is None:
        raise TopicInvalid("choosing a topic", f"unknown type {typ!r}")
    return str(_checked(box, *place))


def box_filter(box: str) -> str:
    """What a box subscribes to: everything sent to it, nothing else."""
    _checked(box, Direction.DOWN, "order")
    return f"{ROOT}/{box}/down/+"


def gateway_subscriptions(group: str | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a gateway subscribes to: (without retained messages, with them).

    In a group: its share of all traffic, and the states once more, because a shared subscription gets no retained
    messages (MQTT 5, 4.8.2); the second copy is dropped by its `jti`. Alone: everything, once.
    """
    if group is None:
        return (), (f"{ROOT}/+/up/+",)
    return (f"$share/{group}/{ROOT}/+/up/+",), (f"{ROOT}/+/up/state",)


def _checked(box: str, direction: Direction, kind: str) -> Topic:
    if BOX_ID.fullmatch(box) is None:
        raise TopicInvalid("making a topic", "not a box id")
    if kind not in (DOWN_KINDS if direction is Direction.DOWN else UP_KINDS):
        raise TopicInvalid("making a topic", f"no kind {kind[:20]!r} {direction}")
    return Topic(box, direction, kind)

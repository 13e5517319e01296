"""The gateway says which checkpoint of a box's journal it holds, and never of one that contradicts another."""

from __future__ import annotations

from typing import Any

from mqtt.envelope import now_unix
from mqtt.schemas import CheckpointAckBody


def acks(box: Any) -> list[tuple[int, str]]:
    return [(b.seq, b.head) for b in list(box.bodies) if isinstance(b, CheckpointAckBody)]


def test_a_checkpoint_is_acknowledged_each_time_and_a_forked_one_never(scene: Any, wait_for: Any) -> None:
    kept = {"seq": 10, "head": "a" * 64, "at": now_unix()}
    scene.box.send("checkpoint", kept)
    wait_for(lambda: acks(scene.box) == [(10, "a" * 64)], what="the word on it")
    scene.box.send("checkpoint", kept)
    wait_for(lambda: acks(scene.box) == [(10, "a" * 64)] * 2, what="the word again")
    scene.box.send("checkpoint", kept | {"head": "b" * 64})
    scene.box.send("checkpoint", kept | {"seq": 20, "head": "c" * 64})
    wait_for(lambda: (20, "c" * 64) in acks(scene.box), what="the word on the next")
    assert (10, "b" * 64) not in acks(scene.box)

"""An order's way through the fleet, leg by leg: where the time goes, and where it went in the slowest.

    python benchmarks/fleet_legs.py [--boxes 1000] [--orders-per-s 50] [--for-s 60]

The fleet of `fleet_table.py`, whose gateway and boxes note the time (CLOCK_MONOTONIC, the same for both processes) at
each place that an order passes. `slowest`: the mean of what each leg took longer than its median, in the orders between
the 97th and the 99.5th percentile. The notes themselves take some 0.1 ms for an order.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import itertools
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

LEGS = (
    "asked at the gateway's door, until the desk has it",
    "order written, envelope sealed",
    "its commit",
    "given to paho",
    "paho, TLS, mosquitto, to the box",
    "the box: believed, decided, request signed",
    "to the gateway",
    "until the desk has it",
    "request believed, charged, answer sealed",
    "its commit",
    "given to paho",
    "to the box, believed, approved",
)
Mark = tuple[float, str]  # when, and whose: a box's id or an order's
Marks = defaultdict[str, list[Mark]]


def noting(marks: Marks, owner: type, method: str, name: str, key: Callable[..., str], *, after: bool = False) -> None:
    """From here on each call of the method is noted, where it begins or where it ends (then `key` gets its result)."""
    real = getattr(owner, method)

    def noted(*args: Any, **kwargs: Any) -> Any:
        if not after:
            marks[name].append((time.monotonic(), key(*args, **kwargs)))
            return real(*args, **kwargs)
        result = real(*args, **kwargs)
        marks[name].append((time.monotonic(), key(result, *args, **kwargs)))
        return result

    setattr(owner, method, noted)


def _box_of(topic: str, kind: str) -> str:
    """The box whose message of this kind it is, else nobody."""
    parts = topic.split("/")
    return parts[2] if parts[-1] == kind else ""


def _requested(_: None, _box: object, typ: str, body: Any) -> str:
    """The order whose payment a box asks for, else none."""
    return str(body.order_id) if typ == "pay.request" else ""


def gateway(out: Path, words: Sequence[str]) -> int:
    """`kingfisher-fleet WORDS`, with its marks in `out` afterwards."""
    from fleet.cli import main as fleet_main
    from fleet.gateway import Gateway
    from fleet.service import Service

    marks: Marks = defaultdict(list)
    noting(marks, Gateway, "order", "order<", lambda *_, **__: "")
    noting(marks, Gateway, "order", "order>", lambda view, *_, **__: str(view["order_id"]), after=True)
    noting(marks, Service, "_received", "came", lambda _, message: _box_of(message.topic, "pay"))
    noting(marks, Gateway, "receive", "take<", lambda _, _tx, topic, *__: _box_of(topic, "pay"))
    noting(marks, Gateway, "receive", "take>", lambda _, __, _tx, topic, *___: _box_of(topic, "pay"), after=True)
    noting(marks, Service, "_after_commit", "committed", lambda *_: "")
    noting(marks, Service, "_after_commit", "sent", lambda *_: "", after=True)
    try:
        return fleet_main(words)
    finally:
        out.write_text(json.dumps(marks))


def boxes(boxes_count: int, per_s: float, for_s: float) -> list[list[float]]:
    """Milliseconds of each leg, of each order that was approved."""
    from fleet_load import crowd_of
    from fleet_rig import Rig

    from fleet.swarm.box import SwarmBox
    from fleet.swarm.crowd import Load, put_under_load

    here: Marks = defaultdict(list)
    noting(here, SwarmBox, "heard", "heard", lambda _, topic, *__: _box_of(topic, "order"))
    noting(here, SwarmBox, "_say", "asked", _requested, after=True)

    async def load(rig: Rig) -> tuple[Load, dict[str, float], dict[str, str]]:
        async with crowd_of(rig, boxes_count) as crowd:
            await asyncio.sleep(2)
            done = await put_under_load(crowd, rig.facts["http"], rig.api_token, per_s, for_s, lambda *_: None)
            approved, whose = dict[str, float](), dict[str, str]()
            for member in crowd.members:
                approved |= member.box.tally.approved
                whose |= dict.fromkeys(member.box.tally.approved, member.box.id)
            return done, approved, whose

    with Rig() as rig:
        out = rig.folder / "marks.json"
        rig.start_gateway((__file__, "--gateway", str(out)))
        done, approved, whose = asyncio.run(load(rig))
        rig.stop_gateway()
        there = {name: [(at, key) for at, key in found] for name, found in json.loads(out.read_text()).items()}
    return legs(there, here, done.asked_s, approved, whose)


def legs(
    there: Mapping[str, list[Mark]], here: Mapping[str, list[Mark]], asked_s: Mapping[str, float],
    approved_s: Mapping[str, float], whose: Mapping[str, str],
) -> list[list[float]]:  # fmt: skip
    """What was noted in the gateway (`there`) and by the boxes (`here`), put together by order."""
    began = [at for at, _ in there["order<"]]
    committed, sent = ([at for at, _ in there[name]] for name in ("committed", "sent"))
    came, taken, believed = (_by_key(there[name]) for name in ("came", "take<", "take>"))
    heard, asked = _by_key(here["heard"]), _by_key(here["asked"])
    found = []
    for (written, order), at_desk in zip(there["order>"], began, strict=True):
        if order not in approved_s or order not in asked_s:
            continue
        box, way = whose[order], [asked_s[order], at_desk, written]
        on_the_way = (committed, sent, heard[box], asked[order], came[box], taken[box], believed[box], committed, sent)
        for places in on_the_way:
            way.append(_next(places, way[-1]))
        found.append([(after - before) * 1000 for before, after in itertools.pairwise([*way, approved_s[order]])])
    return found


def _by_key(marks: Sequence[Mark]) -> dict[str, list[float]]:
    found = defaultdict(list)
    for at, key in marks:
        found[key].append(at)
    return found


def _next(places: Sequence[float], after_s: float) -> float:
    at = bisect.bisect_left(places, after_s)
    return places[at] if at < len(places) else float("nan")


def table(found: Sequence[Sequence[float]]) -> str:
    ranked = sorted((one for one in found if sum(one) == sum(one)), key=sum)
    slow = ranked[int(len(ranked) * 0.97) : int(len(ranked) * 0.995)] or ranked[-1:]
    lines = [f"{'ms':<52} median     p99   slowest"]
    for number, name in enumerate(LEGS):
        took = sorted(one[number] for one in ranked)
        middle = statistics.median(took)
        more = statistics.fmean(one[number] - middle for one in slow)
        lines.append(f"{name:<52} {middle:6.2f}  {took[int(len(took) * 0.99)]:6.2f}    {more:+6.2f}")
    whole = sorted(map(sum, ranked))
    middle = statistics.median(whole)
    more = statistics.fmean(map(sum, slow)) - middle
    lines.append(f"{'the whole way':<52} {middle:6.2f}  {whole[int(len(whole) * 0.99)]:6.2f}    {more:+6.2f}")
    return "\n".join(lines)


def main() -> int:
    if sys.argv[1:2] == ["--gateway"]:
        return gateway(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, default=1000, metavar="N")
    parser.add_argument("--orders-per-s", type=float, default=50.0, metavar="N")
    parser.add_argument("--for-s", type=float, default=60.0, metavar="S")
    args = parser.parse_args()
    found = boxes(args.boxes, args.orders_per_s, args.for_s)
    if not found:
        raise SystemExit("no order was approved")
    print(table(found))
    print(f"{len(found)} orders")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Sections of the fleet's table that need a crowd: orders under load, a config to everybody, everybody back at once."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fleet_bare import ASK, SAID, Trips
from fleet_rig import Rig

from fleet.actions import reading, writing
from fleet.client import GatewayClient
from fleet.swarm.crowd import GROUP, Crowd, Load, doubled, put_under_load, retire
from fleet.swarm.wire import Wire

CONNECT_S = 300.0
MESSAGE_BYTES, REPLY_BYTES = 700, 600  # about what a signed request and its answer have
CONFIGS = 5
BESIDE_PER_S, BESIDE_S = 50.0, 20.0
Say = Callable[[str], None]


def bare_command(rig: Rig, what: str, *numbers: int) -> list[str]:
    """`fleet_bare.py WHAT`, with a certificate of its own."""
    return _command(rig, "fleet_bare.py", (what,), numbers)


def least_command(rig: Rig, size: int, public: Ed25519PublicKey) -> list[str]:
    """`fleet_least.py`, for requests that this key signed."""
    return _command(rig, "fleet_least.py", (), (size, public.public_bytes_raw().hex()))


def _command(rig: Rig, script: str, before: Sequence[object], after: Sequence[object]) -> list[str]:
    tls = rig.certified("-".join(["bare", *map(str, before)]) if before else "least")[1]
    path, broker = Path(__file__).with_name(script), f"127.0.0.1:{rig.port}"
    return [str(word) for word in (sys.executable, path, *before, broker, tls.ca, tls.certificate, tls.key, *after)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


@contextmanager
def echoing(rig: Rig) -> Iterator[None]:
    """A bare client in a process of its own, like the gateway's: it replies to each request."""
    process = subprocess.Popen(bare_command(rig, "echo", REPLY_BYTES), stdout=subprocess.PIPE, env=environment())
    try:
        if process.stdout is None or process.stdout.readline() != b"ready\n":
            raise SystemExit("the bare client that replies did not start")
        yield
    finally:
        process.terminate()
        process.wait(20)


class Asker:
    """The other bare client: on the event loop of the boxes, by the same kind of connection, and nothing but that."""

    def __init__(self, rig: Rig) -> None:
        self._sent_s: dict[str, float] = {}
        self._took_s: list[float] = []
        self._wire = Wire(
            "bare-asker", ("127.0.0.1", rig.port), f"{SAID}/#", self._heard,
            tls=rig.certified("bare-asker")[1].context(),
            will=lambda: (f"{ASK}-gone", b""), connected=lambda: None, pause=lambda _: 0.5,
        )  # fmt: skip

    async def __aenter__(self) -> Asker:
        self._task = asyncio.create_task(self._wire.run())
        await asyncio.wait_for(self._wire.ready.wait(), CONNECT_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def trips(self, per_s: float, for_s: float, over: asyncio.Event | None = None) -> Trips:
        """Round trips at a steady rate, open loop, for so long or until it is `over`. Raises TimeoutError."""
        began_s, self._took_s = time.monotonic(), []
        for number in range(int(per_s * for_s)):
            await asyncio.sleep(max(0.0, began_s + number / per_s - time.monotonic()))
            if over is not None and over.is_set():
                break
            self._sent_s[str(number)] = time.monotonic()
            self._wire.publish(f"{ASK}/{number}", b"x" * MESSAGE_BYTES).add_done_callback(lambda done: done.exception())
        await _until(lambda: not self._sent_s, 60)
        return Trips(sorted(self._took_s))

    def _heard(self, topic: str, _payload: bytes, _retained: bool) -> None:
        self._took_s.append(time.monotonic() - self._sent_s.pop(topic.rpartition("/")[2]))


@asynccontextmanager
async def crowd_of(rig: Rig, count: int, *, jitter: bool = True) -> AsyncIterator[Crowd]:
    """Connected, and heard."""
    crowd = rig.crowd(count, jitter=jitter)
    try:
        async with crowd:
            await crowd.all_ready(CONNECT_S)
            await _until(lambda: known_online(rig) >= count, CONNECT_S)
            gc.collect()
            gc.disable()  # to go through a thousand boxes takes 0.2 s, which would be taken for the gateway's
            yield crowd
    finally:
        gc.enable()
        with writing(rig.state.folder) as tx:
            retire(tx, crowd.keys, int(time.time()))


# ---- orders ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Served:
    """Orders at a rate to so many boxes. `bare`: the round trips of two bare clients at the same rate just before and
    just after; `beside`: some of them during the orders. CPU: cores used meanwhile, by process."""

    boxes: int
    per_s: float
    load: Load
    bare: Trips
    beside: Trips
    doubled: int
    ledger_right: bool
    cores: dict[str, float]
    machine_load: float

    @property
    def p99_ms(self) -> float:
        return self.load.percentile(0.99) * 1000

    @property
    def ratio(self) -> float:
        return self.p99_ms / self.bare.p99_ms

    @property
    def exact(self) -> bool:
        return (
            not self.load.lost
            and not self.load.otherwise
            and not self.load.refused
            and not self.doubled
            and self.ledger_right
        )

    def holds(self, bar: float) -> bool:
        return self.exact and self.ratio <= bar


def serve(rig: Rig, boxes: int, per_s: float, for_s: float, say: Say) -> Served:
    """Raises TimeoutError when they do not all connect."""
    return asyncio.run(_serve(rig, boxes, per_s, for_s, say))


async def _serve(rig: Rig, boxes: int, per_s: float, for_s: float, say: Say) -> Served:
    bare_s = max(5.0, min(30.0, for_s / 4))
    with echoing(rig):
        async with crowd_of(rig, boxes) as crowd, Asker(rig) as asker:
            say(f"{boxes} boxes connected; bare round trips at {per_s:g}/s for {bare_s:.0f} s")
            await asyncio.sleep(2)
            before = await asker.trips(per_s, bare_s)
            over, began_s, used = asyncio.Event(), time.monotonic(), rig.cpu_s()
            beside = asyncio.create_task(asker.trips(max(5.0, per_s / 10), for_s * 4 + 120, over))
            load = await put_under_load(
                crowd, rig.facts["http"], rig.api_token, per_s, for_s,
                lambda done, total: say(f"{done} of {total} orders, {boxes} boxes"),
            )  # fmt: skip
            took_s, machine_load = time.monotonic() - began_s, os.getloadavg()[0]
            cores = {name: (total_s - used[name]) / took_s for name, total_s in rig.cpu_s().items()}
            over.set()
            during = await beside
            after = await asker.trips(per_s, bare_s)
    with reading(rig.state.folder) as tx:
        twice = len(list(doubled(tx)))
    right = bool(json.loads(rig.cli("--json", "ledger", "verify", ok=(0, 1)).splitlines()[-1])["ok"])
    return Served(boxes, per_s, load, before.and_(after), during, twice, right, cores, machine_load)


# ---- a config to everybody -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FannedOut:
    """Seconds until every box had acknowledged: configs of the gateway's, and as many bare messages before and after
    them. `orders`: some that were paid while one config followed the other."""

    boxes: int
    configs_s: Sequence[float]
    bares_s: Sequence[float]
    applied: int
    orders: Load

    @property
    def config_s(self) -> float:
        return statistics.median(self.configs_s)

    @property
    def bare_s(self) -> float:
        return statistics.median(self.bares_s)

    @property
    def ratio(self) -> float:
        return self.config_s / self.bare_s


def fan_out(rig: Rig, boxes: int, say: Say) -> FannedOut:
    return asyncio.run(_fan_out(rig, boxes, say))


async def _fan_out(rig: Rig, boxes: int, say: Say) -> FannedOut:
    async with crowd_of(rig, boxes) as crowd, _listeners(rig, boxes):
        say(f"bare fan-out to {boxes} clients, and a config to {boxes} boxes, in turns")
        bares_s, configs_s = await _bare_fan_out(rig, boxes), []
        for turn in range(CONFIGS):
            rollout, took_s = await asyncio.to_thread(_push, rig, boxes, turn)
            configs_s.append(took_s)
        bares_s += await _bare_fan_out(rig, boxes)
        counted = applied(rig, rollout)
        say(f"orders at {BESIDE_PER_S}/s while configs go to all")
        orders = asyncio.create_task(
            put_under_load(crowd, rig.facts["http"], rig.api_token, BESIDE_PER_S, BESIDE_S, lambda *_: None)
        )
        for turn in range(CONFIGS):
            await asyncio.to_thread(_push, rig, boxes, CONFIGS + turn)
            await asyncio.sleep(BESIDE_S / CONFIGS / 2)
        return FannedOut(boxes, configs_s, bares_s, counted, await orders)


def _push(rig: Rig, boxes: int, turn: int) -> tuple[int, float]:
    """The rollout, and the seconds until all had applied it."""
    settings = {"box": {"shop": f"Shop {turn}"}, "payment": {"look_s": 20 + turn}}
    push = {
        "scope": "group", "name": GROUP, "settings": settings, "waves": [100], "halt_percent": 0,
        "answer_within_s": 900,
    }  # fmt: skip
    began_s = time.monotonic()
    rollout = GatewayClient.of(rig.state).post("/v1/rollouts", push)["id"]
    _wait_applied(rig, rollout, boxes)
    return rollout, time.monotonic() - began_s


async def _bare_fan_out(rig: Rig, count: int) -> list[float]:
    """As many messages of a config's size to bare clients with connections of their own; each says that it has it. Some
    rounds, in seconds."""
    done = await asyncio.to_thread(
        subprocess.run, bare_command(rig, "fan", MESSAGE_BYTES, count), stdout=subprocess.PIPE, env=environment()
    )
    if done.returncode:
        raise SystemExit("the bare fan-out did not end well")
    return [float(took_s) for took_s in json.loads(done.stdout)]


@asynccontextmanager
async def _listeners(rig: Rig, count: int) -> AsyncIterator[None]:
    """The bare clients."""
    wires = [_listener(rig, number) for number in range(count)]
    tasks = [asyncio.create_task(wire.run()) for wire in wires]
    try:
        await asyncio.wait_for(asyncio.gather(*(wire.ready.wait() for wire in wires)), CONNECT_S)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listener(rig: Rig, number: int) -> Wire:
    """Says that it has what it gets. A certificate of its own: mosquitto lets nobody connect twice with one."""
    wires: list[Wire] = []

    def said(topic: str, _payload: bytes, _retained: bool) -> None:
        done = wires[0].publish(topic.replace(ASK, SAID, 1), b"y" * REPLY_BYTES)
        done.add_done_callback(lambda future: future.exception())

    wire = Wire(
        f"bench-{number}", ("127.0.0.1", rig.port), f"{ASK}/{number}", said,
        tls=rig.certified(f"bare-{number}")[1].context(), will=lambda: (f"{SAID}/gone", b""), connected=lambda: None,
        pause=lambda _: 0.5,
    )  # fmt: skip
    wires.append(wire)
    return wire


# ---- everybody back at once ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CameBack:
    """How many boxes stood connected, by seconds since the broker was there again; and when the gateway had heard of
    all of them."""

    jitter: bool
    boxes: int
    curve: list[tuple[float, int]]
    connected_s: float
    heard_s: float

    @property
    def half_s(self) -> float:
        return next(at_s for at_s, there in self.curve if there >= self.boxes / 2)

    @property
    def most_in_a_second(self) -> int:
        return max(
            there - next((before for at, before in reversed(self.curve) if at <= at_s - 1), 0)
            for at_s, there in self.curve
        )


def come_back(rig: Rig, boxes: int, jitter: bool, say: Say) -> CameBack:
    return asyncio.run(_come_back(rig, boxes, jitter, say))


async def _come_back(rig: Rig, boxes: int, jitter: bool, say: Say) -> CameBack:
    async with crowd_of(rig, boxes, jitter=jitter) as crowd:
        say(f"the broker goes; {boxes} boxes, {'full jitter' if jitter else 'no jitter'}")
        rig.stop_broker()
        await _until(lambda: not any(member.wire.ready.is_set() for member in crowd.members), CONNECT_S)
        await asyncio.sleep(5)
        marked = int(time.time())
        with writing(rig.state.folder) as tx:
            tx.execute("UPDATE boxes SET online = 0")
        rig.start_broker()
        began_s, curve = time.monotonic(), list[tuple[float, int]]()
        while not curve or curve[-1][1] < boxes:
            curve.append((time.monotonic() - began_s, sum(member.wire.ready.is_set() for member in crowd.members)))
            if curve[-1][0] > CONNECT_S:
                raise SystemExit(f"only {curve[-1][1]} of {boxes} boxes came back")
            await asyncio.sleep(0.05)
        connected_s = curve[-1][0]
        await _until(lambda: known_online(rig, marked) >= boxes, CONNECT_S)
        heard_s = time.monotonic() - began_s
    return CameBack(jitter, boxes, curve, connected_s, heard_s)


# ---- what the gateway's books say ------------------------------------------------------------------------------------


def known_online(rig: Rig, since: int = 0) -> int:
    with reading(rig.state.folder) as tx:
        row = tx.execute(
            "SELECT count(*) FROM boxes WHERE online = 1 AND revoked_at IS NULL AND seen_at >= ?", (since,)
        ).fetchone()
    return int(row[0])


def _wait_applied(rig: Rig, rollout: int, boxes: int) -> None:
    """Raises TimeoutError. The books stay open: the boxes are at work on this process's other thread."""
    give_up_s = time.monotonic() + CONNECT_S
    with reading(rig.state.folder) as tx:
        while _applied(tx, rollout) < boxes:
            if time.monotonic() > give_up_s:
                raise TimeoutError(f"{_applied(tx, rollout)} of {boxes} boxes have applied the config")
            time.sleep(0.01)


def applied(rig: Rig, rollout: int) -> int:
    with reading(rig.state.folder) as tx:
        return _applied(tx, rollout)


def _applied(tx: sqlite3.Connection, rollout: int) -> int:
    row = tx.execute(
        "SELECT count(*) FROM rollout_boxes WHERE rollout = ? AND outcome = 'applied'", (rollout,)
    ).fetchone()
    return int(row[0])


async def _until(true: Callable[[], bool], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            if await asyncio.to_thread(true):
                return
            await asyncio.sleep(0.02)

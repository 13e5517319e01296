"""A crowd of boxes in one process: registered with the fleet, connected, and given orders at a steady rate."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import sqlite3
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fleet.boxes import register as boxes
from fleet.boxes.authority import Authority
from fleet.money import accounts
from fleet.swarm.box import Habits, SwarmBox
from fleet.swarm.wire import Wire
from mqtt import topics
from mqtt.envelope import TrustedKey
from mqtt.identity import box_id_from_key

GROUP = "swarm"
PAYERS = 50
PURSE_MINOR = 10**9
BACKOFF_BASE_S, BACKOFF_CAP_S = 0.5, 20.0
PAUSE_S = 0.002  # between two looks at the same box


@dataclass(frozen=True)
class CrowdOptions:
    """`jitter` False is for showing what it is good for: every box comes back at the same moments."""

    count: int
    broker: tuple[str, int]
    fleet: str
    fleet_key: TrustedKey
    habits: Habits = field(default_factory=Habits)
    breaks: int = 0  # the first so many boxes do not survive the setting `habits.breaks_on`
    authority: Authority | None = None  # TLS: who signs the boxes' certificates, and the broker's
    jitter: bool = True
    seed: int = 1


@dataclass
class Member:
    """A box with its connection. `wakes_s`: monotonic time of its next `tick`."""

    box: SwarmBox
    wire: Wire
    dark: bool = False
    wakes_s: float = math.inf


def found(tx: sqlite3.Connection, count: int, now: int) -> list[Ed25519PrivateKey]:
    """Keys for so many boxes, known to the fleet as swarm-1, swarm-2, …, and payers with money enough."""
    keys = [Ed25519PrivateKey.generate() for _ in range(count)]
    for number, key in enumerate(keys, start=1):
        box = boxes.add(tx, key.public_key(), f"swarm-{number}", "main", now)
        tx.execute("UPDATE boxes SET box_group = ? WHERE id = ?", (GROUP, box))
    for number in range(PAYERS):
        accounts.open_payer(tx, f"swarm-{number}", PURSE_MINOR, "CNY", now)
    return keys


def retire(tx: sqlite3.Connection, keys: list[Ed25519PrivateKey], now: int) -> None:
    """The boxes of a swarm that has ended are believed no more."""
    for key in keys:
        boxes.revoke(tx, box_id_from_key(key.public_key()), now)


class Crowd:
    """`async with` connects and disconnects all of them."""

    def __init__(self, options: CrowdOptions, keys: list[Ed25519PrivateKey]) -> None:
        self.keys, self._options = keys, options
        self._random = random.Random(options.seed)
        self._tasks: list[asyncio.Task[None]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="swarm-")
        self.members = [self._member(number, key) for number, key in enumerate(keys)]

    async def __aenter__(self) -> Crowd:
        self._tasks = [asyncio.create_task(member.wire.run()) for member in self.members]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._folder.cleanup()

    async def all_ready(self, timeout_s: float) -> float:
        """Seconds until every box that is not dark stood connected. Raises TimeoutError."""
        began_s = time.monotonic()
        async with asyncio.timeout(timeout_s):
            for member in self.members:
                if not member.dark:
                    await member.wire.ready.wait()
        return time.monotonic() - began_s

    def cut_all(self) -> None:
        """As when a broker or a line fails: all at once."""
        for member in self.members:
            member.wire.cut()

    def go_dark(self, number: int) -> str:
        """This box dies without a word; its id."""
        member = self.members[number]
        member.dark = True
        self._tasks[number].cancel()
        member.wire.cut()
        return member.box.id

    # ---- inside --------------------------------------------------------------------------------------------------

    def _member(self, number: int, key: Ed25519PrivateKey) -> Member:
        options = self._options
        habits = Habits(
            options.habits.look_s, options.habits.pin_s,
            options.habits.breaks_on if number < options.breaks else None, f"swarm-{number % PAYERS}",
        )  # fmt: skip
        members: list[Member] = []

        def send(topic: str, payload: bytes, retain: bool) -> None:
            done = members[0].wire.publish(topic, payload, retain=retain)
            done.add_done_callback(lambda future: future.exception())  # lost: asked again by schedule

        def heard(topic: str, payload: bytes, retained: bool) -> None:
            box.heard(topic, payload, retained)
            _wake_in_time(members[0])

        def connected() -> None:
            box.connected()
            _wake_in_time(members[0])

        box = SwarmBox(key, options.fleet, options.fleet_key, send, habits)
        wire = Wire(
            box.id, options.broker, topics.box_filter(box.id), heard, tls=self._tls(key, box.id), will=box.will,
            connected=connected, pause=self._pause,
        )  # fmt: skip
        members.append(Member(box, wire))
        return members[0]

    def _pause(self, failures: int) -> float:
        """Full jitter: anywhere between now and a bound that doubles."""
        bound_s = min(BACKOFF_BASE_S * 2**failures, BACKOFF_CAP_S)
        return self._random.uniform(0, bound_s) if self._options.jitter else bound_s

    def _tls(self, key: Ed25519PrivateKey, box: str) -> ssl.SSLContext | None:
        authority = self._options.authority
        if authority is None:
            return None
        folder = Path(self._folder.name)
        certificate, private, ca = folder / f"{box}.pem", folder / f"{box}.key", folder / "ca.pem"
        certificate.write_text(authority.certify_box(key.public_key()))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        ca.write_text(authority.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cafile=str(ca))
        context.load_cert_chain(str(certificate), str(private))
        return context


def _wake_in_time(member: Member) -> None:
    """Its people act, its deadlines pass and its heart beats when they are due: to look at all boxes every few
    milliseconds would take more than they do."""
    due_s = member.box.due_s
    if due_s < member.wakes_s:
        member.wakes_s = due_s
        loop = asyncio.get_running_loop()
        loop.call_at(max(due_s, loop.time() + PAUSE_S), _wake, member, due_s)


def _wake(member: Member, due_s: float) -> None:
    if due_s != member.wakes_s:  # it was woken earlier, and sleeps anew
        return
    member.wakes_s = math.inf
    if not member.dark and member.wire.ready.is_set():  # else whoever connects it looks again
        member.box.tick()
        _wake_in_time(member)


@dataclass
class Load:
    """What a stretch of orders came to. Seconds, by order, from the request at the gateway's door (`asked_s`: when,
    monotonic) to the box's taking the approval. `otherwise`: how the others ended (a box that waits in vain asks, and
    reverses); `lost`: those that had no end."""

    asked: int = 0
    refused: int = 0
    asked_s: dict[str, float] = field(default_factory=dict)
    latency_s: list[float] = field(default_factory=list)
    otherwise: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        ranked = sorted(self.latency_s)
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else float("nan")


async def put_under_load(
    crowd: Crowd, address: str, token: str, per_s: float, for_s: float, progress: Callable[[int, int], None],
    settle_s: float = 60.0,
) -> Load:  # fmt: skip
    """Orders at a steady rate, open loop: a slow answer holds none of the next ones up."""
    load, began_s = Load(), time.monotonic()
    chosen = random.Random(7)
    awake = [member for member in crowd.members if not member.dark]
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {token}"}) as session:

        async def one(box: str) -> None:
            at = time.monotonic()
            amount = f"{chosen.randint(100, 5000) / 100:.2f}"
            wanted = {"box": box, "amount": amount, "currency": "CNY", "expires_in_s": 300}
            try:
                async with session.post(f"{address}/v1/orders", json=wanted) as answer:
                    if answer.status != 201:
                        load.refused += 1
                        return
                    load.asked_s[(await answer.json())["order_id"]] = at
            except aiohttp.ClientError:
                load.refused += 1

        tasks: list[asyncio.Task[None]] = []
        total = int(per_s * for_s)
        for number in range(total):
            due_s = began_s + number / per_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            tasks.append(asyncio.create_task(one(chosen.choice(awake).box.id)))
            if number % 50 == 0:
                progress(number, total)
        await asyncio.gather(*tasks)
    load.asked = total
    approved, ended = dict[str, float](), dict[str, str]()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settle_s):
            while load.asked_s.keys() - approved.keys() - ended.keys():
                await asyncio.sleep(0.1)
                for member in awake:
                    approved |= member.box.tally.approved
                    ended |= member.box.tally.ended
    load.latency_s = [approved[order] - at for order, at in load.asked_s.items() if order in approved]
    load.otherwise = {order: ended[order] for order in load.asked_s.keys() - approved.keys() if order in ended}
    load.lost = sorted(load.asked_s.keys() - approved.keys() - ended.keys())
    return load


def doubled(tx: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    """Orders that took money more than once: there must be none."""
    rows = tx.execute(
        "SELECT order_id, count(*) AS captures FROM entries WHERE kind = 'capture'"
        " GROUP BY order_id HAVING count(*) > 1"
    )
    for row in rows:
        yield dict(row)

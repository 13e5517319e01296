"""A provider is asked for money only once the intent is on disk: a disk that is full must never charge anybody."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.channels.adapter import Answer, Charge, Credential, Reason, Times, Verdict
from fleet.database import open_database
from fleet.desk import Desk
from fleet.money import orders
from fleet.money.errands import Errands
from fleet.money.payments import Payments
from mqtt.schemas import PayRequestBody

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()


class Provider:
    """Takes whatever it is asked for, and remembers it."""

    name, currencies, has_accounts, times = "far", None, False, Times()

    def __init__(self) -> None:
        self.took: list[str] = []
        self.asked = asyncio.Event()

    async def pay(self, charge: Charge) -> Answer:
        assert charge.credential == Credential("face_token", "ft-00000001")
        self.took.append(charge.order_id)
        self.asked.set()
        return Answer(Verdict.APPROVED, Reason.OK, "T" + charge.order_id)

    async def query(self, charge: Charge) -> Answer:
        return Answer(Verdict.UNKNOWN, Reason.NOT_FOUND)

    async def close(self) -> None:
        return None


def full_at_commit(tx: sqlite3.Connection) -> None:
    """What a full disk does to a batch: each of its jobs went well, and the commit does not."""
    tx.execute("PRAGMA defer_foreign_keys=ON")
    tx.execute("INSERT INTO box_order_limits (box, currency, up_to_minor) VALUES ('nobody', 'CNY', 1)")


def played(folder: Path, play: Callable[[Desk, Payments, Provider, str], Any]) -> Provider:
    async def run() -> Provider:
        provider = Provider()
        channels: dict[str, Any] = {"far": provider}
        connection = open_database(folder / "ledger.db")
        box = boxes.add(connection, KEY, "counter", "main", NOW)
        desk = Desk(connection, lambda _: None)
        errands = Errands(desk, channels, lambda: NOW, lambda *_: None)
        payments = Payments(channels, errands, lambda: NOW, lambda *_: None)
        desk.start()
        errands.start(payments)
        try:
            await play(desk, payments, provider, box)
        finally:
            await errands.stop()
            desk.stop()
        return provider

    return asyncio.run(run())


def order(tx: sqlite3.Connection, box: str) -> str:
    return orders.create(
        tx, box=box, merchant="main", amount_minor=1850, currency="CNY", title=None, expires_at=NOW + 300, now=NOW
    ).order_id


def wanted(order_id: str) -> PayRequestBody:
    return PayRequestBody(
        order_id=order_id, attempt=1, amount_minor=1850, currency="CNY", payer="anonymous", factors=["face"],
        channel="far", decided_at=NOW, flow="face_first", face_token="ft-00000001",
    )  # fmt: skip


def test_a_payment_whose_transaction_did_not_reach_the_disk_is_never_put_to_the_provider(tmp_path: Path) -> None:
    async def play(desk: Desk, payments: Payments, provider: Provider, box: str) -> None:
        lost, kept = [await asyncio.wrap_future(desk.run(lambda tx: order(tx, box))) for _ in range(2)]

        def together(tx: sqlite3.Connection) -> None:
            payments.take(tx, box, wanted(lost))
            full_at_commit(tx)

        broken = asyncio.wrap_future(desk.run(together))
        assert isinstance((await asyncio.gather(broken, return_exceptions=True))[0], sqlite3.Error)
        await asyncio.wrap_future(desk.run(lambda tx: payments.take(tx, box, wanted(kept))))
        await asyncio.wait_for(provider.asked.wait(), 60)
        assert provider.took == [kept]

    played(tmp_path, play)


def test_a_job_that_fails_takes_with_it_what_it_wanted_asked(tmp_path: Path) -> None:
    async def play(desk: Desk, payments: Payments, provider: Provider, box: str) -> None:
        lost, kept = [await asyncio.wrap_future(desk.run(lambda tx: order(tx, box))) for _ in range(2)]

        def broken(tx: sqlite3.Connection) -> None:
            payments.take(tx, box, wanted(lost))
            raise KeyError("after the intent")

        failed = asyncio.wrap_future(desk.run(broken))
        assert isinstance((await asyncio.gather(failed, return_exceptions=True))[0], KeyError)
        await asyncio.wrap_future(desk.run(lambda tx: payments.take(tx, box, wanted(kept))))
        await asyncio.wait_for(provider.asked.wait(), 60)
        assert provider.took == [kept]

    played(tmp_path, play)


def test_a_payment_asked_again_after_the_disk_is_back_is_put_to_the_provider_once(tmp_path: Path) -> None:
    async def play(desk: Desk, payments: Payments, provider: Provider, box: str) -> None:
        mine = await asyncio.wrap_future(desk.run(lambda tx: order(tx, box)))

        def together(tx: sqlite3.Connection) -> None:
            payments.take(tx, box, wanted(mine))
            full_at_commit(tx)

        await asyncio.gather(asyncio.wrap_future(desk.run(together)), return_exceptions=True)
        await asyncio.wrap_future(desk.run(lambda tx: payments.take(tx, box, wanted(mine))))
        await asyncio.wait_for(provider.asked.wait(), 60)
        assert provider.took == [mine]

    assert played(tmp_path, play).took

"""The goods of a voucher have gone: a gateway that dies before it could charge it does so once it is back."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.channels.adapter import Charge, Times
from fleet.channels.simulated import Simulated
from fleet.database import open_database
from fleet.desk import Desk
from fleet.money import accounts, ledger_check, orders
from fleet.money.errands import Errands
from fleet.money.fail_mode import FailMode
from fleet.money.payments import Payments
from fleet.money.settlement import Settlement
from mqtt.schemas import PayAnswerBody, PayRequestBody

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()


def written_down(path: Path, balance_minor: int) -> None:
    """What a gateway leaves that is killed after the commit of the intent."""
    tx = open_database(path)
    box = boxes.add(tx, KEY, "counter", "main", NOW)
    accounts.open_payer(tx, "grace", balance_minor, "CNY", NOW)
    order_id = orders.create(
        tx, box=box, merchant="main", amount_minor=1850, currency="CNY", title=None, expires_at=NOW + 300, now=NOW
    ).order_id
    wanted = PayRequestBody(
        order_id=order_id, attempt=1, amount_minor=1850, currency="CNY", payer="grace", factors=["face", "pin"],
        channel="simulated", decided_at=NOW, flow="face_first",
    )  # fmt: skip
    simulated = Simulated(lambda _: None, lambda: NOW)  # type: ignore[arg-type,return-value]
    assert isinstance(Settlement({"simulated": simulated}).request(tx, box, wanted, NOW, NOW), Charge)
    tx.close()


def started(path: Path, away_s: int, fail_mode: FailMode = FailMode.NONE, fail_first: int | None = None) -> str:
    """The status of the answer that the box gets from a gateway that was away for so long."""

    async def run() -> str:
        now = NOW + away_s
        answers: queue.Queue[PayAnswerBody] = queue.Queue()

        def put(_: sqlite3.Connection, __: str, answer: PayAnswerBody) -> None:
            if answer.status != "pending":
                answers.put(answer)

        desk = Desk(open_database(path), lambda _: None)
        simulated = Simulated(
            lambda job: asyncio.wrap_future(desk.run(job)), lambda: now, fail_mode=fail_mode, fail_first=fail_first
        )
        simulated.times = Times(retry_s=0.05)
        channels = {"simulated": simulated}
        errands = Errands(desk, channels, lambda: now, lambda *_: None)
        payments = Payments(channels, errands, lambda: now, put)  # type: ignore[arg-type]
        desk.start()
        errands.start(payments)
        desk.run(payments.resume)
        try:
            return (await asyncio.to_thread(answers.get, timeout=60)).status
        finally:
            await errands.stop()
            desk.stop()

    return asyncio.run(run())


@pytest.mark.parametrize("away_s", [1, 3600])
def test_it_is_charged_after_the_start_however_long_the_gateway_was_away(tmp_path: Path, away_s: int) -> None:
    path = tmp_path / "ledger.db"
    written_down(path, 10_000)
    assert started(path, away_s) == "approved"
    with sqlite3.connect(path) as books:
        books.row_factory = sqlite3.Row
        assert accounts.balance(books, "payer:grace", "CNY") == 10_000 - 1850
        books.isolation_level = None
        assert ledger_check.verify(books, NOW)["ok"]


def test_an_answer_that_got_lost_is_asked_for_again_and_nobody_is_charged_twice(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    written_down(path, 10_000)
    assert started(path, 1, FailMode.LOSE_ANSWER, fail_first=1) == "approved"
    with sqlite3.connect(path) as books:
        assert accounts.balance(books, "payer:grace", "CNY") == 10_000 - 1850


def test_whoever_has_not_the_money_has_not_got_it_after_the_start_either(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    written_down(path, 100)
    assert started(path, 1) == "declined"

"""What the broker has acknowledged is noted in the end, whatever became of the commit that was to do so."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fleet_doubles.brokers import new_broker
from fleet_doubles.gateway_process import new_fleet
from fleet_doubles.waiting import eventually

from fleet.boxes import register as boxes
from fleet.service import Service, ServiceOptions
from fleet.state import StateFolder

KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()
NOT_NOTED = "SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM orders WHERE sent_at IS NULL)"


def held_by_somebody_else(ledger: Path) -> Callable[[], object]:
    """No transaction can begin, until what is returned is called."""
    blocker = sqlite3.connect(ledger, isolation_level=None, check_same_thread=False)
    blocker.execute("BEGIN IMMEDIATE")
    return blocker.close


def as_on_a_full_disk(ledger: Path) -> Callable[[], object]:
    """What takes a message from the outbox goes well, and its commit does not, until what is returned is called."""
    with closing(sqlite3.connect(ledger)) as other:
        other.executescript(
            "CREATE TABLE rooms (id INTEGER PRIMARY KEY);"
            "CREATE TABLE guests (room INTEGER REFERENCES rooms (id) DEFERRABLE INITIALLY DEFERRED);"
            "CREATE TRIGGER full AFTER DELETE ON outbox BEGIN INSERT INTO guests VALUES (1); END;"
        )

    def room_again() -> None:
        with closing(sqlite3.connect(ledger, timeout=30)) as other:
            other.execute("DROP TRIGGER full")

    return room_again


def not_noted(ledger: Path) -> int:
    with closing(sqlite3.connect(ledger)) as other:
        return int(other.execute(NOT_NOTED).fetchone()[0])


async def until(look: Callable[[], Any], what: str) -> None:
    await asyncio.to_thread(eventually, look, 60.0, what)


@pytest.mark.parametrize("kind", ["rumqttd", "mosquitto"])
@pytest.mark.parametrize("spoil", [held_by_somebody_else, as_on_a_full_disk])
def test_an_order_that_the_broker_has_is_noted_as_sent_once_the_ledger_can_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, spoil: Callable[[Path], Callable[[], object]]
) -> None:
    broker = new_broker(kind, tmp_path)
    state = StateFolder(new_fleet(tmp_path, broker).state)
    mends = list[Callable[[], object]]()

    async def play() -> None:
        async with Service(ServiceOptions(state, ("127.0.0.1", broker.port), ("127.0.0.1", 0))) as service:

            def order(tx: sqlite3.Connection) -> None:
                service.gateway.order(tx, box=None, amount_minor=1850, currency="CNY", title=None, life_s=300)

            def order_and_trouble(tx: sqlite3.Connection) -> None:
                tx.execute("PRAGMA busy_timeout=50")
                order(tx)
                service.desk.afterwards(lambda: mends.append(spoil(state.database_file)))

            async def do(job: Callable[[sqlite3.Connection], Any]) -> Any:
                return await asyncio.wrap_future(service.desk.run(job))

            await do(lambda tx: boxes.add(tx, KEY, "counter", "main", service.gateway.now()))
            await until(lambda: service.link.connected, "the broker")
            await do(order_and_trouble)
            await until(lambda: "event=commit_failed" in caplog.text, "a commit that fails")
            mends[0]()
            await do(order)
            await until(lambda: not_noted(state.database_file) == 0, "both orders noted")

    try:
        asyncio.run(play())
    finally:
        broker.stop()

"""The ledger's file is its owner's alone, and keeps nothing of what was deleted from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.database import OUTBOX, open_database
from mqtt.outbox import Priority


@pytest.mark.parametrize("size", [200, 20_000])
def test_what_has_gone_out_stands_nowhere_in_the_ledgers_file(tmp_path: Path, size: int) -> None:
    mark = b"13987654321"
    connection = open_database(tmp_path / "ledger.db")
    for number in range(20):
        OUTBOX.put(
            connection, topic="t", payload=mark + bytes([number]) * size, kind="order", priority=Priority.MONEY,
            expires_at=2**40,
        )  # fmt: skip
    connection.execute("DELETE FROM outbox")
    connection.close()
    assert [file.name for file in tmp_path.iterdir() if mark in file.read_bytes()] == []


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    connection = open_database(tmp_path / "ledger.db")
    try:
        modes = {file.name: file.stat().st_mode & 0o077 for file in tmp_path.iterdir()}
    finally:
        connection.close()
    assert set(modes.values()) == {0}, modes

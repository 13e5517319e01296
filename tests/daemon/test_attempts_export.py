"""A box's day, written so that the fleet can hold it against its ledger."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from daemon.cli.main import main
from daemon.payment.effects import AttemptMoved, OrderStored
from daemon.payment.money import Amount
from daemon.payment.order import Order, PayRequest
from daemon.payment.reconcile import read
from daemon.payment.status import Status
from mqtt.identity import box_id_from_key, load_or_create_private_key

TODAY = (datetime.now(UTC) + timedelta(hours=8)).strftime("%Y-%m-%d")


def live(box, order_id: str, *states: Status) -> None:
    amount = Amount(1850, "CNY")
    box.write(OrderStored(Order(order_id, amount, "Latte", 1e9)))
    request = PayRequest(order_id, 1, amount, "grace", ("face", "pin"), "simulated", "face_first")
    box.write(AttemptMoved(order_id, 1, Status.CONFIRMED, request=request))
    for state in states:
        box.write(AttemptMoved(order_id, 1, state, "ok", "R0000000002" if state is Status.APPROVED else None))


@pytest.fixture
def day(rig, tmp_path):
    """Writes the list of `day` by the command line and gives what a reader finds in it."""
    box = rig()
    live(box, "o-paid", Status.SUBMITTED, Status.APPROVED)
    live(box, "o-open", Status.SUBMITTED)
    live(box, "o-back", Status.SUBMITTED, Status.APPROVED, Status.REFUNDING, Status.REFUNDED)
    key = load_or_create_private_key(tmp_path / "the.key")

    def export(day: str):
        out = tmp_path / "day.jsonl"
        words = ["journal", "attempts", "--db", str(tmp_path / "box.db"), "--key", str(tmp_path / "the.key")]
        assert main([*words, "--day", day, "--out", str(out)]) == 0
        public = key.public_key()
        head, lines = read(out.read_bytes(), lambda _: lambda text, signature: public.verify(signature, text) is None)
        assert head.by == head.box == box_id_from_key(public)
        return lines

    return export


def test_each_attempt_of_the_day_is_there_as_it_stands(day):
    lines = day(TODAY)
    assert {key: (line.status, line.refunded_minor, line.reference) for key, line in lines.items()} == {
        ("o-paid", 1): ("approved", 0, "R0000000002"),
        ("o-open", 1): ("submitted", 0, None),
        ("o-back", 1): ("refunded", 1850, "R0000000002"),
    }
    assert all(abs(line.decided_at - time.time()) < 120 for line in lines.values())
    assert "grace" not in repr(lines)


def test_another_day_is_empty(day):
    assert day("2020-01-01") == {}


def test_a_day_that_is_none_is_refused(rig, tmp_path, capsys):
    rig()
    load_or_create_private_key(tmp_path / "the.key")
    words = ["journal", "attempts", "--db", str(tmp_path / "box.db"), "--key", str(tmp_path / "the.key")]
    assert main([*words, "--day", "yesterday", "--out", str(tmp_path / "x")]) == 2
    assert "2026-11-21" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()

"""A member who spent points whose payment was given back since owes them: that is no fault of the ledger's."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.channels.adapter import Answer, Charge, Reason, Verdict
from fleet.channels.simulated import Simulated, capture
from fleet.database import open_database
from fleet.members import book, points
from fleet.money import accounts, ledger_check, orders, refunds
from fleet.money.outcomes import Ask, Task, heard
from fleet.money.settlement import Settlement
from mqtt.schemas import PayRequestBody

NOW = 1_800_000_000


def test_points_that_were_spent_before_their_payment_was_refunded_leave_the_books_whole(tmp_path: Path) -> None:
    tx = open_database(tmp_path / "ledger.db")
    key = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()
    box = boxes.add(tx, key, "counter", "main", NOW)
    accounts.open_payer(tx, "grace", 10_000, "CNY", NOW)
    book.add(tx, "grace", "0042", NOW)
    channels = {"simulated": Simulated(lambda _: None, lambda: NOW)}  # type: ignore[arg-type,return-value]
    order_id = orders.create(
        tx, box=box, merchant="main", amount_minor=1850, currency="CNY", title=None, expires_at=NOW + 300, now=NOW
    ).order_id
    wanted = PayRequestBody(
        order_id=order_id, attempt=1, amount_minor=1850, currency="CNY", payer="grace", factors=["face", "pin"],
        channel="simulated", decided_at=NOW, flow="face_first",
    )  # fmt: skip
    charge = Settlement(channels).request(tx, box, wanted, NOW)
    assert isinstance(charge, Charge)
    heard(tx, channels, Task(Ask.PAY, "simulated", charge), capture(tx, charge, NOW), NOW)
    Settlement(channels).confirm(tx, box, order_id, 1, NOW)
    book.note_payment(tx, order_id, 1, "approved", NOW)
    points.spend(tx, "grace", 18, "another", 1, NOW)
    refunds.ask(tx, refund_id="r1", order_id=order_id, amount_minor=None, asked_by="ada", why="x", now=NOW)
    refunds.heard(tx, "r1", Answer(Verdict.APPROVED, Reason.OK), NOW)
    book.note_refund(tx, order_id, 1, "r1", NOW)
    assert points.has(tx, "grace") == -18
    assert ledger_check.verify(tx, NOW)["faults"] == []
    accounts.transfer(tx, "topup", "payer:grace", "merchant:main", 20_000, "CNY", NOW, key="a fault")
    assert [fault["where"] for fault in ledger_check.verify(tx, NOW)["faults"]] == ["payer:grace CNY"]
    tx.close()

"""The settlement rules under any mix of messages: one capture per order, money conserved, answers that do not turn."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleet import accounts, boxes, ledger_check, orders
from fleet.acquirer import FailMode, SimulatedAcquirer
from fleet.database import open_database
from fleet.settlement import CAPTURE_WINDOW_S, Confirmed, Settlement, waiting
from mqtt.schemas import PayAnswerBody, PayRequestBody

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()


def books(path: Path, payers: dict[str, int]) -> tuple[sqlite3.Connection, str]:
    tx = open_database(path)
    tx.execute("PRAGMA synchronous=OFF")  # thousands of steps; the power cuts are in test_power_cuts
    box = boxes.add(tx, KEY, "counter", "main", NOW)
    for payer, balance in payers.items():
        accounts.open_payer(tx, payer, balance, "CNY", NOW)
    return tx, box


def wanted(order_id: str, attempt: int, payer: str, amount_minor: int = 1000) -> PayRequestBody:
    return PayRequestBody(
        order_id=order_id, attempt=attempt, amount_minor=amount_minor, currency="CNY", payer=payer, factors=["face"],
        channel="simulated", decided_at=NOW, flow="face_first",
    )  # fmt: skip


class Payments(RuleBasedStateMachine):
    """Boxes that repeat, reorder, overtake and forget; an acquirer that is slow, loses things, hangs."""

    order_ids = st.integers(0, 2)
    attempts = st.integers(1, 3)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.tx, self.box = books(Path(self.folder.name) / "ledger.db", {"grace": 2500, "poor": 10})
        self.now = NOW
        self.mode = FailMode.NONE
        self.acquirer = SimulatedAcquirer()
        self.settlement = Settlement(self.acquirer)
        self.orders = [
            orders.create(
                self.tx, box=self.box, merchant="main", amount_minor=1000, currency="CNY", title=None,
                expires_at=NOW + 300, now=NOW,
            ).order_id
            for _ in range(3)
        ]  # fmt: skip
        self.final: dict[tuple[str, int], PayAnswerBody] = {}
        self.buried: set[tuple[str, int]] = set()
        self.confirmed: set[tuple[str, int]] = set()

    def teardown(self) -> None:
        self.tx.close()
        self.folder.cleanup()

    @rule(which=order_ids, attempt=attempts, payer=st.sampled_from(["grace", "grace", "poor", "nobody"]))
    def request(self, which: int, attempt: int, payer: str) -> None:
        self.told(self.settlement.request(self.tx, self.box, wanted(self.orders[which], attempt, payer), self.now))

    @rule(which=order_ids, attempt=attempts, amount=st.sampled_from([999, 1001]))
    def request_another_amount(self, which: int, attempt: int, amount: int) -> None:
        body = wanted(self.orders[which], attempt, "grace", amount)
        self.told(self.settlement.request(self.tx, self.box, body, self.now))

    @rule(which=order_ids, attempt=attempts)
    def settle(self, which: int, attempt: int) -> None:
        self.told(self.settlement.settle(self.tx, self.orders[which], attempt, self.now))

    @rule()
    def settle_all_after_a_restart(self) -> None:
        for order_id, attempt in waiting(self.tx, self.now + 1):
            self.told(self.settlement.settle(self.tx, order_id, attempt, self.now))

    @rule(which=order_ids, attempt=attempts)
    def query(self, which: int, attempt: int) -> None:
        answer = self.settlement.query(self.tx, self.box, self.orders[which], attempt, self.now)
        if answer.reason == "never_received":
            self.buried.add((answer.order_id, attempt))
        self.told(answer)

    @rule(which=order_ids, attempt=attempts)
    def reverse(self, which: int, attempt: int) -> None:
        answer = self.settlement.reverse(self.tx, self.box, self.orders[which], attempt, self.now)
        if (answer.order_id, attempt) in self.confirmed:
            assert (answer.status, answer.reason) == ("approved", "too_late")
            return
        assert answer.status == "reversed"
        self.buried.add((answer.order_id, attempt))
        self.told(answer)

    @rule(which=order_ids, attempt=attempts)
    def confirm(self, which: int, attempt: int) -> None:
        key = (self.orders[which], attempt)
        outcome = self.settlement.confirm(self.tx, self.box, *key, self.now)
        if outcome is Confirmed.NOW:
            assert key not in self.confirmed | self.buried
            self.confirmed.add(key)
        assert (outcome is not Confirmed.CONTRADICTED) == (key in self.confirmed)

    @rule(unsettled=st.sets(st.tuples(order_ids, attempts)), later=st.booleans())
    def the_box_says_what_it_has_not_settled(self, unsettled: set[tuple[int, int]], later: bool) -> None:
        listed = {(self.orders[which], attempt) for which, attempt in unsettled}
        found = self.settlement.infer(self.tx, self.box, listed, NOW + later, self.now)
        assert later or not found
        assert not set(found) & (listed | self.confirmed | self.buried)
        self.confirmed.update(found)

    @rule(mode=st.sampled_from(list(FailMode)))
    def the_acquirer_changes(self, mode: FailMode) -> None:
        self.acquirer._fail_mode = mode

    @rule(seconds=st.sampled_from([1, 50, CAPTURE_WINDOW_S + 1]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    def told(self, answer: PayAnswerBody | None) -> None:
        """An answer that was final only ever changes to `reversed`."""
        if answer is None or answer.status == "pending":
            return
        key = (answer.order_id, answer.attempt)
        before = self.final.get(key)
        assert before is None or before == answer or answer.status == "reversed", (before, answer)
        assert before is None or before.status != "reversed" or answer == before
        assert answer.status != "approved" or key not in self.buried
        self.final[key] = answer

    @invariant()
    def the_books_are_right(self) -> None:
        assert ledger_check.verify(self.tx, self.now)["faults"] == []

    @invariant()
    def what_the_box_took_as_approved_stays_with_the_merchant(self) -> None:
        for order_id, attempt in self.confirmed:
            answer = self.settlement.query(self.tx, self.box, order_id, attempt, self.now)
            assert (answer.status, answer.reason) == ("approved", "ok")

    @invariant()
    def nobody_pays_more_than_what_was_approved(self) -> None:
        approved = sum(1 for a in self.final.values() if a.status == "approved")
        open_captures = self.tx.execute(
            "SELECT count(*) FROM entries e JOIN attempts a USING (order_id, attempt)"
            " WHERE e.kind = 'capture' AND a.status = 'submitted'"
        ).fetchone()[0]
        assert accounts.balance(self.tx, "merchant:main", "CNY") == 1000 * (approved + open_captures)
        assert accounts.balance(self.tx, "payer:grace", "CNY") == 2500 - 1000 * (approved + open_captures)


TestPayments = Payments.TestCase
TestPayments.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE postings SET amount_minor = amount_minor + 1 WHERE amount_minor > 0 AND entry = 2", "sum to zero"),
        ("DELETE FROM postings WHERE entry = 2 AND amount_minor < 0", "sum to zero"),
        ("DELETE FROM postings WHERE entry = 2", "sum to zero"),
        ("UPDATE attempts SET status = 'declined' WHERE attempt = 1", "capture belongs to an attempt"),
        ("DELETE FROM attempts", "capture belongs to an attempt"),
        ("UPDATE orders SET status = 'open'", "disagree"),
        (
            "PRAGMA ignore_check_constraints=1; UPDATE attempts SET confirmed_at = 1, status = 'reversed'",
            "took as approved",
        ),
        ("UPDATE attempts SET payer = 'other'", "no capture of its amount"),
        ("UPDATE orders SET amount_minor = 999", "no capture of its amount"),
        ("UPDATE attempts SET status = 'reversed'", "not posted back"),
        ("UPDATE postings SET amount_minor = amount_minor * 9 WHERE entry = 2", "below zero"),
    ],
)
def test_every_kind_of_damage_to_the_books_is_found(tmp_path: Path, damage: str, fault: str) -> None:
    tx, box = books(tmp_path / "ledger.db", {"grace": 2500})
    order = orders.create(
        tx, box=box, merchant="main", amount_minor=1000, currency="CNY", title=None, expires_at=NOW + 9, now=NOW
    )
    settlement = Settlement(SimulatedAcquirer())
    settlement.request(tx, box, wanted(order.order_id, 1, "grace"), NOW)
    settlement.settle(tx, order.order_id, 1, NOW)
    assert ledger_check.verify(tx, NOW)["ok"]
    for (trigger,) in tx.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        tx.execute(f"DROP TRIGGER {trigger}")
    tx.execute("PRAGMA foreign_keys=OFF")
    tx.executescript(damage)
    report = ledger_check.verify(tx, NOW)
    assert not report["ok"]
    assert any(fault in found["what"] for found in report["faults"]), report


@pytest.mark.parametrize(
    "forbidden",
    [
        "UPDATE attempts SET confirmed_at = NULL",
        "UPDATE attempts SET status = 'reversed'",
        "UPDATE attempts SET confirmed_at = 5",
        "UPDATE postings SET amount_minor = 1",
        "DELETE FROM postings",
        "UPDATE entries SET kind = 'opening'",
        "DELETE FROM entries",
        "INSERT INTO entries (kind, order_id, attempt, at) SELECT 'capture', order_id, 2, 0 FROM orders",
        "INSERT INTO attempts (order_id, attempt, received_at, status, reason)"
        " SELECT order_id, 2, 0, 'submitted', 'x' FROM orders",
    ],
)  # fmt: skip
def test_the_schema_itself_forbids_what_must_never_be(tmp_path: Path, forbidden: str) -> None:
    tx, box = books(tmp_path / "ledger.db", {"grace": 2500})
    order: Any = orders.create(
        tx, box=box, merchant="main", amount_minor=1000, currency="CNY", title=None, expires_at=NOW + 9, now=NOW
    )
    settlement = Settlement(SimulatedAcquirer())
    settlement.request(tx, box, wanted(order.order_id, 1, "grace"), NOW)
    settlement.settle(tx, order.order_id, 1, NOW)
    assert settlement.confirm(tx, box, order.order_id, 1, NOW) is Confirmed.NOW
    with pytest.raises(sqlite3.IntegrityError):
        tx.execute(forbidden)


def test_a_request_the_acquirer_got_too_late_is_declined_but_a_capture_it_made_is_told(tmp_path: Path) -> None:
    tx, box = books(tmp_path / "ledger.db", {"grace": 2500})
    late = NOW + CAPTURE_WINDOW_S + 1
    for mode, status in ((FailMode.HANG, "declined"), (FailMode.LOSE_ANSWER, "approved")):
        settlement = Settlement(SimulatedAcquirer(fail_mode=mode))
        order = orders.create(
            tx, box=box, merchant="main", amount_minor=1000, currency="CNY", title=None, expires_at=NOW + 9, now=NOW
        )
        settlement.request(tx, box, wanted(order.order_id, 1, "grace"), NOW)
        assert settlement.settle(tx, order.order_id, 1, NOW) is None
        answer = settlement.settle(tx, order.order_id, 1, late)
        assert answer is not None
        assert answer.status == status
    assert ledger_check.verify(tx, NOW)["ok"]

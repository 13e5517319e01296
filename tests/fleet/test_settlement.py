"""The settlement rules under any mix of messages: one capture per order, money conserved, answers that do not turn.

A provider of the worst kind is played: it acts late, answers are lost, and what the ledger believes is compared with
what the provider really took.
"""

from __future__ import annotations

import sqlite3
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fleet.boxes import register as boxes
from fleet.channels import simulated
from fleet.channels.adapter import Answer, Charge, Reason, RefundOrder, Times, Verdict
from fleet.database import open_database
from fleet.errors import RefundRefused
from fleet.money import accounts, attempts, ledger_check, orders, outcomes, refunds
from fleet.money.outcomes import Ask, Task
from fleet.money.settlement import Confirmed, Settlement
from mqtt.schemas import PayAnswerBody, PayRequestBody

NOW = 1_800_000_000
KEY = Ed25519PrivateKey.from_private_bytes(b"b" * 32).public_key()
LOST = Answer(Verdict.UNKNOWN, Reason.TIMEOUT)


@dataclass(frozen=True)
class Facts:
    """What the rules must know of a channel; nobody calls it here."""

    name: str
    has_accounts: bool
    times: Times = field(default_factory=lambda: Times(give_up_s=60, lost_after_s=10, reverse_after_s=0))
    currencies: Any = None


CHANNELS: dict[str, Any] = {"simulated": Facts("simulated", True), "far": Facts("far", False)}


def books(path: Path, payers: dict[str, int]) -> tuple[sqlite3.Connection, str]:
    tx = open_database(path)
    tx.execute("PRAGMA synchronous=OFF")  # thousands of steps; the power cuts are in test_power_cuts
    box = boxes.add(tx, KEY, "counter", "main", NOW)
    for payer, balance in payers.items():
        accounts.open_payer(tx, payer, balance, "CNY", NOW)
    return tx, box


def new_order(tx: sqlite3.Connection, box: str) -> str:
    return orders.create(
        tx, box=box, merchant="main", amount_minor=1000, currency="CNY", title=None, expires_at=NOW + 300, now=NOW
    ).order_id


def wanted(
    order_id: str, attempt: int, payer: str = "grace", amount_minor: int = 1000, channel: str = "far"
) -> PayRequestBody:
    return PayRequestBody(
        order_id=order_id, attempt=attempt, amount_minor=amount_minor, currency="CNY", payer=payer, factors=["face"],
        channel=channel, decided_at=NOW, flow="face_first",
    )  # fmt: skip


class Provider:
    """What it really took and gave back, by key. `took` is None for a trade that was closed before it was paid."""

    def __init__(self) -> None:
        self.took: dict[str, int | None] = {}
        self.gave: dict[str, dict[str, int]] = {}
        self.reversible = True

    def pay(self, charge: Charge) -> Answer:
        if self.took.setdefault(charge.key, charge.amount_minor) is None:
            return Answer(Verdict.DECLINED, Reason.CLOSED)
        return self.query(charge)

    def query(self, charge: Charge) -> Answer:
        if charge.key not in self.took:
            return Answer(Verdict.UNKNOWN, Reason.NOT_FOUND)
        if self.took[charge.key] is None or "reversal" in self.gave.get(charge.key, {}):
            return Answer(Verdict.DECLINED, Reason.CLOSED)
        return Answer(Verdict.APPROVED, Reason.OK, "T" + charge.key[:8])

    def reverse(self, charge: Charge) -> Answer:
        if not self.reversible:
            return Answer(Verdict.DECLINED, Reason.NOT_REVERSIBLE)
        if charge.key not in self.took:
            return Answer(Verdict.UNKNOWN, Reason.NOT_FOUND)
        if self.took[charge.key] is not None:
            self.gave.setdefault(charge.key, {})["reversal"] = charge.amount_minor
        return Answer(Verdict.APPROVED, Reason.OK)

    def refund(self, refund: RefundOrder) -> Answer:
        given = self.gave.setdefault(refund.charge.key, {})
        if refund.key not in given and sum(given.values()) + refund.amount_minor > (self.took[refund.charge.key] or 0):
            return Answer(Verdict.DECLINED, Reason.MORE_THAN_CAPTURED)
        given[refund.key] = refund.amount_minor
        return Answer(Verdict.APPROVED, Reason.OK, refund.key)

    def has(self) -> int:
        """Minor units it owes the merchants."""
        return sum(v or 0 for v in self.took.values()) - sum(sum(g.values()) for g in self.gave.values())


class Payments(RuleBasedStateMachine):
    """Boxes that repeat, reorder, overtake and forget; a provider that is slow, and whose answers get lost."""

    order_ids = st.integers(0, 2)
    attempts = st.integers(1, 3)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.tx, self.box = books(Path(self.folder.name) / "ledger.db", {})
        self.now = NOW
        self.provider = Provider()
        self.settlement = Settlement(CHANNELS)
        self.orders = [new_order(self.tx, self.box) for _ in range(3)]
        self.on_the_wire: list[Charge] = []  # payments that the provider has not got yet
        self.final: dict[tuple[str, int], PayAnswerBody] = {}
        self.buried: set[tuple[str, int]] = set()
        self.confirmed: set[tuple[str, int]] = set()
        self.refund_ids = 0

    def teardown(self) -> None:
        """Left alone, with honest answers, everything comes to its end, and then provider and ledger agree."""
        try:
            for number in range(40):
                if number == 1:  # some payments are slower than their own reversal
                    for charge in self.on_the_wire:
                        self.provider.pay(charge)
                self.now += 200
                for key, _ in attempts.under_way(self.tx, self.now):
                    while (task := outcomes.task(self.tx, CHANNELS, key, self.now)) is not None:
                        self.told(outcomes.heard(self.tx, CHANNELS, task, self.call(task), self.now))
                        if task.ask is Ask.LOOK:
                            break
                self.refunds_go_on(True)
            assert attempts.under_way(self.tx, self.now) == []
            assert refunds.under_way(self.tx) == []
            report = ledger_check.verify(self.tx, self.now)
            assert (report["faults"], report["unsettled"], report["manual"]) == ([], 0, 0)
            assert accounts.balance(self.tx, "suspense:late", "CNY") == 0
            assert accounts.balance(self.tx, "merchant:main", "CNY") == self.provider.has()
        finally:
            self.tx.close()
            self.folder.cleanup()

    def call(self, task: Task) -> Answer:
        match task.ask:
            case Ask.PAY:
                return self.provider.pay(task.charge)
            case Ask.QUERY | Ask.LOOK:
                return self.provider.query(task.charge)
            case Ask.REVERSE:
                return self.provider.reverse(task.charge)
            case Ask.GIVE_BACK:
                assert task.refund is not None
                return self.provider.refund(task.refund)

    @rule(
        which=order_ids, attempt=attempts, amount=st.sampled_from([1000, 1000, 1000, 999]),
        fate=st.sampled_from(["answered", "answer lost", "slow", "lost"]),
    )  # fmt: skip
    def request(self, which: int, attempt: int, amount: int, fate: str) -> None:
        said = self.settlement.request(
            self.tx, self.box, wanted(self.orders[which], attempt, amount_minor=amount), self.now
        )
        if not isinstance(said, Charge):
            self.told(said)
            return
        task, answer = Task(Ask.PAY, "far", said), LOST
        if fate == "slow":
            self.on_the_wire.append(said)
        elif fate != "lost":
            answer = self.provider.pay(said)
        if fate == "answered":
            self.told(outcomes.heard(self.tx, CHANNELS, task, answer, self.now))
        else:
            self.told(outcomes.heard(self.tx, CHANNELS, task, LOST, self.now))

    @rule()
    def a_slow_payment_arrives(self) -> None:
        if self.on_the_wire:
            self.provider.pay(self.on_the_wire.pop(0))

    @rule(which=order_ids, attempt=attempts, heard=st.booleans())
    def what_comes_next(self, which: int, attempt: int, heard: bool) -> None:
        task = outcomes.task(self.tx, CHANNELS, (self.orders[which], attempt), self.now)
        if task is not None:
            answer = self.call(task)
            self.told(outcomes.heard(self.tx, CHANNELS, task, answer if heard else LOST, self.now))

    @rule(heard=st.booleans())
    def refunds_go_on(self, heard: bool) -> None:
        for refund_id in refunds.under_way(self.tx):
            found = refunds.task(self.tx, CHANNELS, refund_id)
            assert found is not None
            answer = self.provider.refund(found[1])
            refunds.heard(self.tx, refund_id, answer if heard else LOST, self.now)

    @rule(which=order_ids, attempt=attempts)
    def query(self, which: int, attempt: int) -> None:
        answer = self.settlement.query(self.tx, self.box, self.orders[which], attempt, self.now)
        if answer is not None and answer.reason == "never_received" and answer.status == "declined":
            self.buried.add((answer.order_id, attempt))
        self.told(answer)

    @rule(which=order_ids, attempt=attempts)
    def reverse(self, which: int, attempt: int) -> None:
        key = (self.orders[which], attempt)
        answer = self.settlement.reverse(self.tx, self.box, *key, self.now)
        if key in self.confirmed:
            assert answer is not None
            assert (answer.status, answer.reason) == ("approved", "too_late")
            return
        assert answer is None or answer.status == "reversed"
        self.buried.add(key)
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

    @rule(which=order_ids, amount=st.sampled_from([None, 1, 400, 1000, 1001, 0, -5]), again=st.booleans())
    def refund(self, which: int, amount: int | None, again: bool) -> None:
        self.refund_ids += not again or self.refund_ids == 0
        before = refunds.of_order(self.tx, self.orders[which])
        try:
            refunds.ask(
                self.tx, refund_id=f"r{self.refund_ids}", order_id=self.orders[which], amount_minor=amount,
                asked_by="test", why="test", now=self.now,
            )  # fmt: skip
        except RefundRefused:
            assert refunds.of_order(self.tx, self.orders[which]) == before

    @rule(able=st.booleans())
    def the_provider_takes_reversals(self, able: bool) -> None:
        self.provider.reversible = able

    @rule(seconds=st.sampled_from([1, 15, 50, 130]))
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
    def what_the_box_took_as_approved_stays_so(self) -> None:
        for order_id, attempt in self.confirmed:
            answer = self.settlement.query(self.tx, self.box, order_id, attempt, self.now)
            assert answer is not None
            assert (answer.status, answer.reason) == ("approved", "ok")

    @invariant()
    def no_order_keeps_more_than_its_price(self) -> None:
        for order_id in self.orders:
            kept = self.tx.execute(
                "SELECT coalesce(sum(p.amount_minor), 0) FROM entries e JOIN postings p ON p.entry = e.id"
                " WHERE e.order_id = ? AND p.account = 'merchant:main'",
                (order_id,),
            ).fetchone()[0]
            assert 0 <= kept <= 1000


TestPayments = Payments.TestCase
TestPayments.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def sold(tx: sqlite3.Connection, box: str, confirm: bool = True) -> str:
    """An order paid from an account of the fleet's own."""
    order_id = new_order(tx, box)
    settlement = Settlement(CHANNELS)
    charge = settlement.request(tx, box, wanted(order_id, 1, channel="simulated"), NOW)
    assert isinstance(charge, Charge)
    task = Task(Ask.PAY, "simulated", charge)
    answer = outcomes.heard(tx, CHANNELS, task, simulated.capture(tx, charge, NOW), NOW)
    assert answer is not None
    assert answer.status == "approved"
    if confirm:
        assert settlement.confirm(tx, box, order_id, 1, NOW) is Confirmed.NOW
    return order_id


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("UPDATE postings SET amount_minor = amount_minor + 1 WHERE amount_minor > 0 AND entry = 2", "sum to zero"),
        ("DELETE FROM postings WHERE entry = 2 AND amount_minor < 0", "sum to zero"),
        ("DELETE FROM postings WHERE entry = 2", "sum to zero"),
        ("UPDATE attempts SET confirmed_at = NULL, status = 'declined' WHERE attempt = 1", "capture belongs to an"),
        ("DELETE FROM attempts", "capture belongs to an attempt"),
        ("UPDATE orders SET status = 'open'", "disagree"),
        (
            "PRAGMA ignore_check_constraints=1; UPDATE attempts SET confirmed_at = 1, status = 'reversed'",
            "took as approved",
        ),
        ("UPDATE attempts SET payer = 'other'", "no capture of its amount"),
        ("UPDATE orders SET amount_minor = 999", "no capture of its amount"),
        ("UPDATE attempts SET confirmed_at = NULL, status = 'reversed'", "not posted back"),
        ("UPDATE postings SET amount_minor = amount_minor * 9 WHERE entry = 2", "below zero"),
        ("UPDATE refunds SET status = 'refunded'", "was not posted"),
        (
            "INSERT INTO entries (kind, order_id, attempt, at, key) SELECT 'refund', order_id, 1, 0, 'x' FROM orders",
            "nobody asked for",
        ),
        (
            "INSERT INTO entries (kind, order_id, attempt, at) SELECT 'late_capture', order_id, 1, 0 FROM orders",
            "no refund is on its way",
        ),
    ],
)
def test_every_kind_of_damage_to_the_books_is_found(tmp_path: Path, damage: str, fault: str) -> None:
    tx, box = books(tmp_path / "ledger.db", {"grace": 2500})
    order_id = sold(tx, box)
    refunds.ask(tx, refund_id="r1", order_id=order_id, amount_minor=100, asked_by="test", why="test", now=NOW)
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
        "DELETE FROM refunds",
        "INSERT INTO entries (kind, order_id, attempt, at) SELECT 'capture', order_id, 2, 0 FROM orders",
        "INSERT INTO attempts (order_id, attempt, received_at, status, reason)"
        " SELECT order_id, 2, 0, 'submitted', 'x' FROM orders",
        "INSERT INTO refunds (refund_id, order_id, attempt, amount_minor, late, status, reason, asked_by, why,"
        " created_at) SELECT 'r2', order_id, 1, 901, 0, 'refunding', 'x', 'x', 'x', 0 FROM orders",
    ],
)
def test_the_schema_itself_forbids_what_must_never_be(tmp_path: Path, forbidden: str) -> None:
    tx, box = books(tmp_path / "ledger.db", {"grace": 2500})
    order_id = sold(tx, box)
    refunds.ask(tx, refund_id="r1", order_id=order_id, amount_minor=100, asked_by="test", why="test", now=NOW)
    with pytest.raises(sqlite3.IntegrityError):
        tx.execute(forbidden)

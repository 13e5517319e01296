"""What boxes sign for the record is kept as it came, and convicts a box whose later word contradicts it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import audit
from fleet.boxes import register as boxes
from fleet.boxes.audit import Fault
from fleet.cli import main
from fleet.database import open_database
from fleet.money import orders
from mqtt.envelope import Signer, TrustedKey
from mqtt.identity import box_id_from_key
from mqtt.schemas import CheckpointBody, EvidenceBody

FLEET = "fleet-" + "a" * 16
NOW = 1_790_000_000
DECIDED = {
    "order_id": "o1", "attempt": 1, "epoch": 1, "order_hash": "0" * 64, "amount_minor": 1850, "currency": "CNY",
    "payer": "grace", "factors": ["face", "pin"], "flow": "face_first", "channel": "simulated",
    "policy_hash": "1" * 64, "model_hash": "2" * 64, "thresholds": "t", "software": "0", "decided_at": NOW,
}  # fmt: skip


class Books:
    """A fleet's database with one box in it, whose key is at hand."""

    def __init__(self, folder):
        self.folder = folder
        self.key = Ed25519PrivateKey.generate()
        self.box = box_id_from_key(self.key.public_key())
        self.signer = Signer(self.key, self.box, self.box, lambda: NOW)
        self.trusted = TrustedKey(self.box, self.key.public_key())
        self.tx = open_database(folder / "ledger.db")
        boxes.add(self.tx, self.key.public_key(), "counter-1", "main", NOW)

    def checkpoint(self, seq, head, at):
        return audit.note_checkpoint(self.tx, self.box, CheckpointBody(seq=seq, head=head * 64, at=at), "t", NOW)

    def order(self, status=None):
        order = orders.create(
            self.tx, box=self.box, merchant="main", amount_minor=1850, currency="CNY", title=None,
            expires_at=NOW + 60, now=NOW,
        )  # fmt: skip
        if status is not None:
            self.tx.execute(
                "INSERT INTO attempts (order_id, attempt, received_at, status, reason) VALUES (?,1,?,?,'ok')",
                (order.order_id, NOW, status),
            )
        return order.order_id

    def evidence(self, order_id, status="approved", signer=None, **decided):
        decision = (signer or self.signer).seal("decision", FLEET, DECIDED | {"order_id": order_id} | decided, 60)
        body = EvidenceBody(
            decision=decision.token.decode(), order_id=order_id, attempt=1, status=status, reason="ok", at=NOW
        )
        return audit.note_evidence(self.tx, self.box, body, "token", self.trusted, FLEET, NOW)


@pytest.fixture
def books(tmp_path):
    made = Books(tmp_path)
    with closing(made.tx):
        yield made


def test_checkpoints_that_grow_are_kept_without_a_word(books):
    assert books.checkpoint(10, "a", NOW) is None
    assert books.checkpoint(20, "b", NOW + 10) is None
    assert books.checkpoint(20, "b", NOW + 10) is None, "the same again is the same"
    assert books.checkpoint(15, "c", NOW + 5) is None, "an older one that came late"
    [one] = audit.overview(books.tx)
    assert (one["checkpoint"]["seq"], one["faults"]) == (20, [])


def test_two_heads_for_one_entry_convict_the_box(books):
    books.checkpoint(10, "a", NOW)
    assert books.checkpoint(10, "b", NOW + 10) is Fault.JOURNAL_FORKED


def test_a_journal_that_shrank_convicts_the_box(books):
    books.checkpoint(10, "a", NOW)
    assert books.checkpoint(7, "b", NOW + 10) is Fault.JOURNAL_WENT_BACK


@pytest.mark.parametrize(
    ("status", "reason", "kept_minor"), [("approved", "ok", 1665), ("declined", "quote_refused", None)]
)
def test_a_members_price_is_no_other_amount_than_was_agreed(books, status, reason, kept_minor):
    order_id = books.order(status)
    books.tx.execute("UPDATE attempts SET amount_minor = ?, reason = ?", (kept_minor, reason))
    assert books.evidence(order_id, status=status, amount_minor=1665) is None


def test_more_or_less_than_the_members_price_convicts_the_box(books):
    order_id = books.order("approved")
    books.tx.execute("UPDATE attempts SET amount_minor = 1665")
    assert books.evidence(order_id, amount_minor=1850) is Fault.AMOUNT_DIFFERS


def test_evidence_of_a_captured_payment_is_kept_without_a_word(books):
    order_id = books.order("approved")
    assert books.evidence(order_id) is None
    assert list(audit.evidence_of(books.tx, books.box, order_id)) == ["token"]


@pytest.mark.parametrize("status", [None, "declined", "reversed"])
def test_an_approval_that_the_ledger_does_not_know_is_a_fault(books, status):
    assert books.evidence(books.order(status)) is Fault.APPROVED_WITHOUT_CAPTURE


def test_a_decision_on_another_amount_is_a_fault(books):
    assert books.evidence(books.order("approved"), amount_minor=1) is Fault.AMOUNT_DIFFERS


def test_a_decision_that_another_key_signed_is_a_fault(books):
    other = Ed25519PrivateKey.generate()
    name = box_id_from_key(other.public_key())
    assert books.evidence(books.order("approved"), signer=Signer(other, name, name)) is Fault.DECISION_FORGED
    posing = Signer(other, books.box, books.box)
    assert books.evidence(books.order("approved"), signer=posing) is Fault.DECISION_FORGED


def test_the_operator_sees_faults_with_what_to_do(books, capsys):
    books.checkpoint(10, "a", NOW)
    assert main(["--state", str(books.folder), "audit"]) == 0
    books.checkpoint(7, "b", NOW + 10)
    assert main(["--state", str(books.folder), "audit", "--box", "counter-1"]) == 1
    said = capsys.readouterr().out
    assert "journal_went_back: from 10 to 7 entries" in said
    assert "out of service" in said
    assert main(["--state", str(books.folder), "--json", "audit"]) == 1
    assert json.loads(capsys.readouterr().out)["boxes"][0]["faults"][0]["kind"] == "journal_went_back"


def test_what_was_signed_stays_with_the_box_it_came_from(books):
    with pytest.raises(sqlite3.IntegrityError):
        audit.note_checkpoint(books.tx, "kf-" + "x" * 16, CheckpointBody(seq=1, head="a" * 64, at=NOW), "t", NOW)

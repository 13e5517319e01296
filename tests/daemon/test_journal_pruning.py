"""The journal's beginning is forgotten once it was signed, the fleet holds it, and it is old; what stays is verified
from a signed anchor, and every way of tampering with that is found."""

from __future__ import annotations

import json
import time

import pytest
from pydantic import ValidationError

from daemon.books import checkpoints, journal, journal_pruning
from daemon.books.checkpoints import Pace
from daemon.books.journal_pruning import JournalPruner
from daemon.cli.main import main as kingfisher
from daemon.config.journal import JournalSection
from daemon.errors import JournalBroken, JournalPruned
from daemon.people import witness_file
from daemon.people.box_store import FLEETS_FLOOR, fleets_floor
from mqtt.identity import load_or_create_private_key, public_pem, write_file
from mqtt.schemas import CheckpointAckBody

DAY_S = 24 * 3600
NOW = int(time.time())
LONG_AGO = NOW - 500 * DAY_S


class Clock:
    told_by_fleet = True
    trusted = True

    def now(self):
        return NOW


class Book:
    """A box's journal of 40 entries, ten a day, with a checkpoint after each ten."""

    def __init__(self, rig):
        self.rig, self.said = rig, []
        for day in range(4):
            at = LONG_AGO + day * DAY_S
            rig.db.run(lambda tx, at=at: [journal.append(tx, "line", {"n": n}, at) for n in range(10)])
            rig.db.run(lambda tx, at=at: checkpoints.make(tx, rig.link, at, Pace(entries=1)))
        rig.link.say = lambda typ, body: self.said.append((typ, body))
        self.pruner = JournalPruner(rig.db, rig.link, Clock(), 400)

    def reader(self):
        return self.rig.db.reader()

    def look(self):
        self.pruner.work(time.monotonic(), self.reader())

    def fleet_holds_it(self, **changes):
        [(_, body)] = self.said[-1:]
        self.pruner.acknowledged(CheckpointAckBody(**{"seq": body.seq, "head": body.head} | changes))

    def first(self):
        return self.rig.rows("SELECT min(seq) FROM journal")[0][0]

    def pruned(self):
        self.look()
        self.fleet_holds_it()
        assert self.rig.until(lambda: self.first() == 31)
        return self


@pytest.fixture
def book(rig):
    return Book(rig())


def test_only_what_the_fleet_says_it_holds_is_forgotten(book):
    book.look()
    [(typ, body)] = book.said
    assert (typ, body.seq) == ("checkpoint", 30)  # the newest checkpoint stays
    book.fleet_holds_it(seq=20)
    book.fleet_holds_it(head="0" * 64)
    book.rig.db.run(lambda tx: None)
    assert book.first() == 1
    book.fleet_holds_it()
    assert book.rig.until(lambda: book.first() == 31)


def test_the_chain_holds_from_the_signed_anchor_on_and_goes_on_growing(book):
    book.pruned()
    assert journal.verify(book.reader())[0] == 41  # and one that says so
    assert journal.anchor(book.reader()).seq == 30
    assert checkpoints.compare_own(book.reader()) == 2
    book.rig.db.run(lambda tx: journal.append(tx, "line", {}, NOW))
    assert journal.verify(book.reader())[0] == 42
    [facts] = book.rig.rows("SELECT facts FROM journal WHERE name = 'journal_pruned'")
    assert json.loads(facts[0])["through"] == 30


def test_nothing_young_and_nothing_by_a_clock_that_nobody_told_is_forgotten(book):
    for pruner in (
        JournalPruner(book.rig.db, book.rig.link, Clock(), 501),
        JournalPruner(book.rig.db, book.rig.link, Clock(), None),
    ):
        pruner.work(time.monotonic(), book.reader())
    Clock.told_by_fleet = False
    try:
        book.look()
    finally:
        Clock.told_by_fleet = True
    assert book.said == []


def test_the_same_word_of_the_fleet_twice_forgets_nothing_more(book):
    book.pruned()
    book.fleet_holds_it()
    book.rig.db.run(lambda tx: None)
    assert book.first() == 31


def test_what_of_the_journal_is_still_looked_up_survives(book, tmp_path):
    book.rig.db.run(lambda tx: tx.execute("DELETE FROM journal"))
    book.rig.db.run(lambda tx: tx.execute("DELETE FROM checkpoints"))
    missing = tmp_path / "counter"

    def write(tx):
        journal.append(tx, FLEETS_FLOOR, {"counter": 77, "found": 3}, LONG_AGO)
        journal.append(tx, witness_file.SEEN, {"file": str(missing)}, LONG_AGO)
        checkpoints.make(tx, book.rig.link, LONG_AGO, Pace(entries=1))
        journal.append(tx, "line", {}, LONG_AGO + DAY_S)
        checkpoints.make(tx, book.rig.link, LONG_AGO + DAY_S, Pace(entries=1))

    book.rig.db.run(write)
    signed = journal_pruning.candidate(book.reader(), NOW)
    book.rig.db.run(lambda tx: journal_pruning.prune(tx, signed, NOW))
    assert book.first() == 3
    assert fleets_floor(book.reader()) == 77
    with pytest.raises(OSError, match="it was there before"):
        witness_file.RememberedFile(missing, book.rig.db, lambda: NOW).read()


@pytest.mark.parametrize(
    "tampering",
    [
        "DELETE FROM journal WHERE seq = 31",
        "UPDATE journal SET facts = '{}' WHERE seq = 35",
        "UPDATE journal_anchor SET head = 'x'",
        "UPDATE journal_anchor SET seq = 29",
        "DELETE FROM journal_anchor",
        "DELETE FROM journal WHERE name = 'journal_pruned'",
    ],
)
def test_tampering_around_the_anchor_is_found(book, tampering):
    book.pruned()
    book.rig.db.run(lambda tx: tx.execute(tampering))
    with pytest.raises(JournalBroken):
        journal.verify(book.reader())


def test_a_beginning_that_was_cut_off_by_hand_at_a_true_checkpoint_is_found(book):
    """As a thief would: everything the chain and the checkpoints ask for, but no entry that says so."""
    signed = next(row for row in book.rig.rows("SELECT * FROM checkpoints") if row[0] == 20)
    book.rig.db.run(lambda tx: tx.execute("DELETE FROM journal WHERE seq <= 20"))
    book.rig.db.run(lambda tx: tx.execute("INSERT INTO journal_anchor VALUES (?,?,?,?)", signed))
    with pytest.raises(JournalBroken, match="no entry says"):
        journal.verify(book.reader())


def test_an_anchor_that_the_box_did_not_sign_is_not_believed(book):
    book.pruned()
    key, fleet = book.rig.link._signer.key.public_key(), book.rig.link.fleet_id
    begin = journal.anchor(book.reader())
    checkpoints.believe_anchor(begin, key, fleet)
    stranger = load_or_create_private_key(book.rig.folder / "stranger.key").public_key()
    with pytest.raises(JournalBroken, match="signature"):
        checkpoints.believe_anchor(begin, stranger, fleet)
    forged = journal.Anchor(begin.seq, "0" * 64, begin.at, begin.token)
    with pytest.raises(JournalBroken, match="not what the box signed"):
        checkpoints.believe_anchor(forged, key, fleet)


def test_a_checkpoint_of_the_fleet_from_before_the_anchor_is_said_to_be_pruned(book):
    head = book.rig.rows("SELECT hash FROM journal WHERE seq = 20")[0][0]
    at_anchor = book.rig.rows("SELECT hash FROM journal WHERE seq = 30")[0][0]
    book.pruned()
    with pytest.raises(JournalPruned):
        checkpoints.compare(book.reader(), 20, head)
    checkpoints.compare(book.reader(), 30, at_anchor)
    with pytest.raises(JournalBroken):
        checkpoints.compare(book.reader(), 30, head)


def test_a_journal_that_is_not_what_was_signed_is_kept_as_it_is(book):
    book.look()
    book.rig.db.run(lambda tx: tx.execute("UPDATE journal SET hash = 'x' WHERE seq = 30"))
    book.fleet_holds_it()
    book.rig.db.run(lambda tx: None)
    assert book.first() == 1


def test_verify_says_from_where_and_by_whose_key(book, tmp_path, capsys):
    book.pruned()
    key = tmp_path / "box_public.pem"
    write_file(key, public_pem(book.rig.link._signer.key.public_key()), mode=0o644)
    arguments = ["journal", "verify", "--db", str(book.rig.db.path)]
    assert kingfisher([*arguments, "--box-key", str(key)]) == 0
    assert "since entry 31" in capsys.readouterr().out
    assert kingfisher([*arguments, "--box-key", str(key), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["from"] == 31
    write_file(key, public_pem(load_or_create_private_key(tmp_path / "other.key").public_key()), mode=0o644)
    assert kingfisher([*arguments, "--box-key", str(key)]) == 1


@pytest.mark.parametrize("days", [0, 31, 400])
def test_how_long_a_journal_is_kept_is_a_setting(days):
    assert JournalSection(keep_days=days).keep_days == days


@pytest.mark.parametrize("days", [-1, 1, 30])
def test_a_journal_is_never_kept_for_less_than_a_month(days):
    with pytest.raises(ValidationError):
        JournalSection(keep_days=days)

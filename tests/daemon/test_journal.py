"""The chain shows an edit, a deletion, a reordering: and where."""

from __future__ import annotations

import sqlite3

import pytest
import sqlite_utils

from daemon.books import journal
from daemon.errors import JournalBroken


@pytest.fixture
def book():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    journal.create_schema(sqlite_utils.Database(connection))
    for n in range(1, 8):
        journal.append(connection, "attempt", {"order_id": f"o{n}", "minor": 100 * n}, 1_790_000_000 + n)
    return connection


def test_an_honest_book_verifies(book):
    count, head = journal.verify(book)
    assert count == 7
    assert head == list(journal.entries(book))[-1].hash
    assert [e.seq for e in journal.entries(book, last=2)] == [6, 7]


@pytest.mark.parametrize(
    ("tampering", "seq"),
    [
        ("UPDATE journal SET facts = replace(facts, '400', '1') WHERE seq = 4", 4),
        ("UPDATE journal SET at = at + 1 WHERE seq = 2", 2),
        ("UPDATE journal SET name = 'other' WHERE seq = 7", 7),
        ("DELETE FROM journal WHERE seq = 3", 3),
        ("DELETE FROM journal WHERE seq = 1", 1),
        ("UPDATE journal SET seq = -seq WHERE seq IN (5, 6); UPDATE journal SET seq = 11 + seq WHERE seq < 0", 5),
    ],
)
def test_tampering_is_found_where_it_was_done(book, tampering, seq):
    book.executescript(tampering)
    with pytest.raises(JournalBroken) as broken:
        journal.verify(book)
    assert broken.value.seq == seq


def test_a_cut_tail_changes_the_head_that_the_fleet_holds(book):
    _, head = journal.verify(book)
    book.execute("DELETE FROM journal WHERE seq = 7")
    assert journal.verify(book)[1] != head

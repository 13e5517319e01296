"""A try is on disk before the PIN is compared; three wrong ones lock, longer each time."""

from __future__ import annotations

import sqlite3

import pytest
import sqlite_utils

from daemon.books import pin_tries


@pytest.fixture
def tx():
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    pin_tries.create_schema(sqlite_utils.Database(connection))
    return connection


def test_the_third_wrong_one_locks_and_the_lock_doubles(tx):
    assert [pin_tries.count(tx, "grace", 0).left for _ in range(3)] == [2, 1, 0]
    assert not pin_tries.count(tx, "grace", 10).allowed
    after = pin_tries.LOCK_S
    again = pin_tries.count(tx, "grace", after)
    assert again.allowed
    assert again.locked_until == after + 2 * pin_tries.LOCK_S
    assert not pin_tries.count(tx, "grace", again.locked_until - 1).allowed


def test_the_right_pin_clears_the_count(tx):
    pin_tries.count(tx, "grace", 0)
    pin_tries.clear(tx, "grace")
    assert pin_tries.count(tx, "grace", 0).left == 2


def test_a_clock_that_was_set_back_gives_no_try(tx):
    for _ in range(3):
        pin_tries.count(tx, "grace", 1000)
    assert not pin_tries.count(tx, "grace", 0).allowed


def test_one_payers_lock_is_not_anothers(tx):
    for _ in range(3):
        pin_tries.count(tx, "grace", 0)
    assert pin_tries.count(tx, "eileen", 0).allowed

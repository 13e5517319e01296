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


def locked(tx, now, sure):
    return [pin_tries.count(tx, "grace", now, sure=sure) for _ in range(3)][-1].locked_until


def test_a_lock_of_an_uncertain_time_begins_anew_once_the_fleet_says_the_time(tx):
    assert locked(tx, 1000, sure=False) == 1900
    pin_tries.begin_anew(tx, 1100, 90_000)
    assert not pin_tries.count(tx, "grace", 90_000).allowed
    assert not pin_tries.count(tx, "grace", 90_899).allowed
    assert pin_tries.count(tx, "grace", 90_900).allowed
    pin_tries.begin_anew(tx, 90_900, 99_000)
    assert tx.execute("SELECT locked_until FROM pin_tries").fetchone()[0] == 90_900 + 1800, "once, not every hour"


def test_a_lock_that_was_served_or_set_in_a_certain_time_does_not_begin_anew(tx):
    locked(tx, 1000, sure=False)
    pin_tries.begin_anew(tx, 1900, 90_000)
    assert pin_tries.count(tx, "grace", 90_000).allowed
    tx.execute("DELETE FROM pin_tries")
    until = locked(tx, 90_000, sure=True)
    pin_tries.begin_anew(tx, 90_001, 95_000)
    assert tx.execute("SELECT locked_until FROM pin_tries").fetchone()[0] == until


@pytest.mark.parametrize("wrong", [3, 4, 10, 64, 10**6])
def test_no_number_of_wrong_ones_locks_for_more_than_a_day(wrong):
    assert pin_tries.LOCK_S <= pin_tries.lock_s(wrong) <= pin_tries.LONGEST_LOCK_S

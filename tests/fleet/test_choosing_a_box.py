"""A box is named by its id or its name; an id means that box, whatever others are called."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.boxes import register as boxes
from fleet.database import open_database
from fleet.errors import BoxUnknown

NOW = 1_800_000_000


def box(tx: sqlite3.Connection, name: str) -> str:
    return boxes.add(tx, Ed25519PrivateKey.generate().public_key(), name, "main", NOW)


@pytest.fixture
def tx(tmp_path: Path) -> sqlite3.Connection:
    return open_database(tmp_path / "ledger.db")


def test_by_id_by_name_and_the_only_one(tx: sqlite3.Connection) -> None:
    only = box(tx, "counter-1")
    assert [boxes.choose(tx, wanted)["id"] for wanted in (only, "counter-1", None)] == [only] * 3


def test_an_id_is_that_box_even_where_another_is_called_so(tx: sqlite3.Connection) -> None:
    first = box(tx, "counter-1")
    box(tx, first)
    assert boxes.choose(tx, first)["id"] == first


def test_a_name_that_two_have_and_none_at_all_choose_nobody(tx: sqlite3.Connection) -> None:
    box(tx, "counter-1")
    box(tx, "counter-1")
    for wanted, why in (("counter-1", "2 fit"), (None, "2 fit"), ("counter-3", "not in the registry")):
        with pytest.raises(BoxUnknown, match=why):
            boxes.choose(tx, wanted)


def test_a_revoked_box_is_chosen_by_nothing(tx: sqlite3.Connection) -> None:
    gone = box(tx, "counter-1")
    boxes.revoke(tx, gone, NOW)
    for wanted in (gone, "counter-1", None):
        with pytest.raises(BoxUnknown):
            boxes.choose(tx, wanted)

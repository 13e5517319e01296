"""A box that makes up payers and their wrong tries fills no ledger, and changes nothing for those who are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_doubles.tenants import Tenants, in_own_books

from fleet.boxes import tries_unknown

NOW = 1_800_000_000
DAY = 86_400


@pytest.fixture
def tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tenants]:
    monkeypatch.setattr(tries_unknown, "MOST", 20)
    made = Tenants(tmp_path, NOW, in_own_books(NOW))
    yield made
    made.tx.close()


def rows(tenants: Tenants) -> int:
    sums = (tenants.tx.execute(f"SELECT count(*) FROM {name}") for name in ("factor_tries", "factor_tries_said"))
    return max(int(found.fetchone()[0]) for found in sums)


def test_however_many_names_a_box_makes_up_no_more_than_so_many_are_kept(tenants: Tenants) -> None:
    for number in range(60):
        tenants.wrong("b", 3, handle=f"nobody-{number}")
    assert rows(tenants) == 20
    tenants.now += 30 * DAY
    for number in range(60):
        tenants.wrong("b", handle=f"nobody-else-{number}", factor="phone4")
        tenants.wrong("c", handle=f"nobody-else-{number}", factor="id_card")
    assert rows(tenants) == 40, "of each box as many"


def test_who_has_an_account_is_counted_however_full_it_is(tenants: Tenants) -> None:
    tenants.wrong("b", 2)
    for number in range(60):
        tenants.wrong("b", 1, handle=f"nobody-{number}")
    tenants.wrong("b")
    assert tenants.heard("a")[-1].wrong == 3
    tenants.wrong("b", 3, handle="ada")
    assert tenants.count("ada") == 3
    tenants.now += 30 * DAY
    for number in range(60):
        tenants.wrong("b", 1, handle=f"nobody-else-{number}")
    assert (tenants.count(), tenants.count("ada")) == (3, 3), "theirs ends with their next payment only"


def test_a_lock_of_somebody_without_an_account_holds_and_grows_however_many_are_made_up(tenants: Tenants) -> None:
    tenants.wrong("b", 3, handle="pays-by-provider")
    for number in range(60):
        tenants.wrong("b", 1, handle=f"nobody-{number}")
    assert tenants.count("pays-by-provider") == 3
    tenants.now += DAY
    tenants.wrong("b", handle="pays-by-provider")
    for number in range(60):
        tenants.wrong("b", 1, handle=f"nobody-again-{number}")
    assert tenants.count("pays-by-provider") == 4


def test_what_another_box_told_too_is_not_forgotten(tenants: Tenants) -> None:
    tenants.wrong("b", 2, handle="pays-by-provider")
    tenants.wrong("a", handle="pays-by-provider")
    tenants.now += 30 * DAY
    for number in range(60):
        tenants.wrong("b", 1, handle=f"nobody-{number}")
    assert tenants.count("pays-by-provider") == 3

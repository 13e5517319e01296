"""A damaged store is found, the damage is named, and everybody else can still be read."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from secure_store import FileKeyProvider, NewPerson, SecureStore, Template
from secure_store.backup import salvage
from secure_store.errors import NotAStore, SchemaTooNew, StoreDamaged, StoreRolledBack
from secure_store.schema import NEWEST
from secure_store.verify import Verified, examine

EVERY = 31  # benchmarks/store_flip.py takes every byte


@pytest.fixture
def small(reopen, person, options) -> None:
    """Three people in a store of small pages, so that a byte of every kind of page comes up."""
    store = reopen(options=dataclasses.replace(options, page_bytes=1024))
    for number in range(3):
        someone: NewPerson = person(f"payer-{number}", number, pin="2468", phone=f"1380013800{number}")
        vector = np.random.default_rng(number).standard_normal(16).astype(np.float32)
        store.enrol(dataclasses.replace(someone, templates=(Template(vector, 0.9, "ab" * 32),)))
    store.close()


@pytest.fixture
def look(small, folder, provider, options, tmp_path) -> Callable[[Callable[[Path], None]], Verified]:
    """look(damage): what an examination says of a copy of the store to which `damage` was done."""
    copy = tmp_path / "copy"

    def examined(damage: Callable[[Path], None]) -> Verified:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        damage(copy)
        return examine(copy, provider, tenant="canteen", profile="closed-loop", options=options)

    return examined


def sql(statement: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        with sqlite3.connect(folder / "store.db") as connection:
            connection.execute(statement)
        connection.close()

    return change


def test_a_sound_store_is_said_to_be_sound(look) -> None:
    verified = look(lambda folder: None)
    assert verified.findings == ()
    assert verified.readable == ("payer-0", "payer-1", "payer-2")
    assert verified.pages_checked


def test_a_flipped_byte_anywhere_is_found_and_at_most_one_person_is_lost(look, folder) -> None:
    raw = (folder / "store.db").read_bytes()
    for at in range(0, len(raw), EVERY):

        def flip(copy: Path, at: int = at) -> None:
            with (copy / "store.db").open("r+b") as file:
                file.seek(at)
                file.write(bytes([raw[at] ^ 0x40]))

        verified = look(flip)
        assert verified.findings, f"byte {at} was not noticed"
        lost = {"payer-0", "payer-1", "payer-2"} - set(verified.readable)
        assert len(lost) <= 1, f"byte {at} cost {lost}"
        said = " ".join(f"{one.what} {one.why} {one.handle}" for one in verified.findings)
        assert all(handle in said for handle in lost) or "salvage" in said or "SQLite cannot read" in said, (at, said)
        assert all(one.hint for one in verified.findings)


@pytest.mark.parametrize("name", ["keys.sealed", "store.db.sums"])
def test_a_flipped_byte_beside_the_database_is_found_and_costs_nobody(name, look, folder) -> None:
    raw = (folder / name).read_bytes()
    for at in range(0, len(raw), 29):

        def flip(copy: Path, at: int = at) -> None:
            (copy / name).write_bytes(raw[:at] + bytes([raw[at] ^ 0x01]) + raw[at + 1 :])

        verified = look(flip)
        assert verified.findings, f"byte {at} was not noticed"
        assert len(verified.readable) == 3


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_off_is_found(look, folder, share) -> None:
    size = int((folder / "store.db").stat().st_size * share)

    def cut(copy: Path) -> None:
        with (copy / "store.db").open("r+b") as file:
            file.truncate(size)

    assert look(cut).findings


def test_swapped_columns_and_swapped_people_do_not_open(look) -> None:
    swapped = look(sql("UPDATE people SET wrapped_key=profile, profile=wrapped_key WHERE subject='payer-1'"))
    assert swapped.damaged == ("payer-1",)
    assert swapped.readable == ("payer-0", "payer-2")

    def swap(copy: Path) -> None:
        with sqlite3.connect(copy / "store.db") as raw:
            first, second = raw.execute("SELECT id, sealed FROM template_sets ORDER BY id LIMIT 2").fetchall()
            raw.execute("UPDATE template_sets SET sealed=? WHERE id=?", [second[1], first[0]])
            raw.execute("UPDATE template_sets SET sealed=? WHERE id=?", [first[1], second[0]])
        raw.close()

    others = look(swap)
    assert others.damaged == ("payer-0", "payer-1")
    assert others.readable == ("payer-2",)
    renamed = look(sql("UPDATE people SET subject='payer-7' WHERE subject='payer-2'"))
    assert renamed.damaged == ("payer-7",)


def test_an_older_row_put_back_is_noticed_before_anybody_is_read(reopen, person, folder, model) -> None:
    store = reopen()
    for number in range(3):
        store.enrol(person(f"p-{number}", number, pin="1111"))
    store.close()
    with sqlite3.connect(folder / "store.db") as raw:
        old = raw.execute("SELECT * FROM people WHERE subject='p-1'").fetchone()
        old_set = raw.execute("SELECT * FROM template_sets WHERE person=?", [old[0]]).fetchone()
    raw.close()
    store = reopen()
    store.set_pin("p-1", "2222", None, "pay")
    store.close()
    with sqlite3.connect(folder / "store.db") as raw:
        new = raw.execute("SELECT id FROM people WHERE subject='p-1'").fetchone()[0]
        raw.execute("DELETE FROM template_sets WHERE person=?", [new])
        raw.execute("DELETE FROM people WHERE id=?", [new])
        raw.execute(f"INSERT INTO people VALUES ({','.join('?' * len(old))})", old)
        raw.execute(f"INSERT INTO template_sets VALUES ({','.join('?' * len(old_set))})", old_set)
    raw.close()
    store = reopen()
    with pytest.raises(StoreRolledBack):
        store.check_pin("p-1", "1111", "pay")
    with pytest.raises(StoreRolledBack):
        store.gallery(model, "pay")
    assert any(finding.what == "census" for finding in store.verify().findings)


def test_a_person_or_a_template_set_taken_out_is_noticed(reopen, person, folder, model) -> None:
    store = reopen()
    for number in range(3):
        store.enrol(person(f"p-{number}", number))
    store.close()
    sql("DELETE FROM template_sets WHERE person=2")(folder)
    with pytest.raises(StoreRolledBack):
        reopen().gallery(model, "pay")
    sql("DELETE FROM people WHERE id=2")(folder)
    with pytest.raises(StoreRolledBack):
        reopen()


def test_one_damaged_record_is_left_out_by_name_and_the_others_are_served(reopen, person, folder, model) -> None:
    store = reopen()
    for number in range(3):
        store.enrol(person(f"p-{number}", number, pin="2468"))
    store.close()
    sql("UPDATE people SET counter=counter+1 WHERE subject='p-1'")(folder)
    store = reopen()
    gallery = store.gallery(model, "pay")
    assert gallery.handles == ("p-0", "p-2")
    assert gallery.damaged == ("p-1",)
    assert store.status().conditions == ("key_beside_data", "record_damaged:p-1")
    assert store.check_pin("p-2", "2468", "pay") == "ok"
    with pytest.raises(StoreDamaged, match="p-1"):
        store.check_pin("p-1", "2468", "pay")
    store.erase("p-1")
    store.enrol(person("p-1", 1))
    store = reopen()
    assert store.verify().sound
    assert len(store.gallery(model, "pay")) == 3


def test_with_the_census_damaged_all_are_served_and_nothing_is_written(reopen, person, folder, model, options) -> None:
    store = reopen()
    store.enrol(person("p-1", 1))
    store.close()
    sql("UPDATE census SET sealed=zeroblob(80)")(folder)
    store = reopen()
    assert store.gallery(model, "pay").handles == ("p-1",)
    assert "census_damaged" in store.status().conditions
    with pytest.raises(StoreDamaged):
        store.enrol(person("p-2", 2))
    store = reopen(options=dataclasses.replace(options, accept_present_state=True))
    store.enrol(person("p-2", 2))
    assert reopen().verify().sound


def test_a_damaged_key_ring_is_made_anew_from_its_copy(reopen, person, folder) -> None:
    store = reopen()
    store.enrol(person("p-1", 1, pin="2468"))
    store.close()
    sql("UPDATE keyring SET wrapped=zeroblob(60)")(folder)
    store = reopen()
    assert "key_ring_repaired" in store.status().conditions
    assert store.check_pin("p-1", "2468", "pay") == "ok"
    assert "key_ring_repaired" not in reopen().status().conditions


def test_a_store_of_a_newer_release_is_refused_and_not_touched(reopen, person, folder) -> None:
    store = reopen()
    store.enrol(person("p-1", 1))
    store.close()
    sql(f"PRAGMA user_version={NEWEST + 1}")(folder)
    before = (folder / "store.db").read_bytes()
    with pytest.raises(SchemaTooNew, match=str(NEWEST + 1)):
        reopen()
    assert (folder / "store.db").read_bytes() == before


def test_somebody_elses_database_is_refused_and_not_touched(reopen, folder) -> None:
    folder.mkdir()
    with sqlite3.connect(folder / "store.db") as other:
        other.execute("CREATE TABLE orders (id)")
    other.close()
    before = (folder / "store.db").read_bytes()
    with pytest.raises(NotAStore):
        reopen()
    assert (folder / "store.db").read_bytes() == before


def test_a_store_that_sqlite_cannot_open_is_salvaged_into_a_new_one(
    reopen, person, face, folder, provider, options, tmp_path, model
) -> None:
    store = reopen()
    for number in range(30):
        store.enrol(person(f"p-{number:02}", number, pin="2468", phone=f"138001380{number:02}"))
    store.renew_transform()
    store.close()
    with (folder / "store.db").open("r+b") as file:
        file.write(bytes(100))
    with pytest.raises((StoreDamaged, NotAStore)):
        reopen()
    saved = salvage(folder, tmp_path / "new", provider, tenant="canteen", profile="closed-loop", options=options)
    assert len(saved) == 30
    store = SecureStore.open(tmp_path / "new", provider, tenant="canteen", profile="closed-loop", options=options)
    with store:
        assert store.verify().sound
        assert store.find_by_phone("13800138007", "pay") == ("p-07",)
        with store.gallery(model, "pay") as gallery:
            scores = gallery.matrix @ gallery.protect(face(7))
            assert gallery.handles[int(np.argmax(scores))] == "p-07"
            assert scores.max() > 0.9999


def test_the_first_releases_store_is_migrated_with_everyone_in_it(folder, provider, reopen, person, model) -> None:
    store = reopen()
    store.enrol(person("p-1", 1, pin="2468"))
    store.close()
    with sqlite3.connect(folder / "store.db") as raw:  # what version 2 added is taken away again
        for drop in ("TABLE lookups", "TABLE tombstones", "INDEX people_by_generation"):
            raw.execute(f"DROP {drop}")
        raw.execute("DELETE FROM keyring WHERE name='box'")
        raw.execute("PRAGMA user_version=1")
    raw.close()
    (folder / "keys.sealed").unlink()
    store = reopen()
    assert store.check_pin("p-1", "2468", "pay") == "ok"
    assert store.gallery(model, "pay").handles == ("p-1",)
    assert len(store.public_key()) == 32
    store.rotate()
    assert reopen().verify().sound


def test_examining_says_plainly_when_there_is_no_store(tmp_path) -> None:
    key = FileKeyProvider(tmp_path / "key", create=True)
    found = examine(tmp_path / "nowhere", key, tenant="canteen", profile="closed-loop")
    assert "no store" in found.findings[0].why

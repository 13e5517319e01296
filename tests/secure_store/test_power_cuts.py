"""The process is killed with SIGKILL at every write, sync, truncate, rename and unlink of every operation that changes
the store. Afterwards the store is whole: it happened, or it did not.

The child is traced with ptrace; nothing in the store knows of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from cut_off import DONE, PEOPLE, SYNCS, Box, traced, tracing_works, whole

from secure_store import FileKeyProvider, SecureStore
from secure_store.backup import restore
from secure_store.erasure import crypto_erase, found_in, traces_of
from secure_store.errors import KeyMissing, WrongKey

pytestmark = pytest.mark.skipif(not tracing_works(), reason="this machine lets no process be traced")


def test_enrolment_is_there_or_it_is_not(box, person, face, model) -> None:
    def enrol() -> None:
        with box.open() as store:
            store.enrol(person("p-new", 9, pin="1357"))

    def check() -> None:
        with box.open() as store:
            people = whole(store, model, face)
            assert people in (PEOPLE, (*PEOPLE, "p-new"))
            if "p-new" in people:
                assert store.check_pin("p-new", "1357", "pay") == "ok"
            store.enrol(person("p-new", 9), replace=True)

    assert box.at_every_boundary(enrol, check) > 8


def test_one_enrolment_costs_at_most_four_syncs(box, person) -> None:
    def opened_and(action: Callable[[SecureStore], object]) -> Callable[[], None]:
        def run() -> None:
            store = box.open()
            store.people()
            action(store)
            os._exit(DONE)  # without the checkpoint of a clean close

        return run

    idle, _ = traced(opened_and(lambda store: None), None, of=frozenset(SYNCS))
    box.put_back()
    once, _ = traced(opened_and(lambda store: store.enrol(person("p-new", 9))), None, of=frozenset(SYNCS))
    box.put_back()
    twice, _ = traced(
        opened_and(lambda store: [store.enrol(person(f"p-new-{number}", number)) for number in range(2)]),
        None,
        of=frozenset(SYNCS),
    )
    assert once - idle <= 4
    assert twice - once <= 2


def test_an_erasure_that_was_cut_off_leaves_the_person_whole_or_no_trace(box, face, model) -> None:
    with box.open() as store:
        marks = traces_of(store._records, "p-2")

    def erase() -> None:
        with box.open() as store:
            store.erase("p-2")

    def check() -> None:
        with box.open() as store:
            if "p-2" in whole(store, model, face):
                store.erase("p-2")
            assert found_in(box.folder, marks) == []
            assert store.people() == ("p-0", "p-1")

    assert box.at_every_boundary(erase, check) > 8


def test_a_rotation_that_was_cut_off_serves_and_is_finished(box, face, model, options, tmp_path) -> None:
    old = tmp_path / "old.key"
    shutil.copyfile(box.key, old)
    old.chmod(0o600)

    def rotate() -> None:
        with box.open() as store:
            store.rotate()

    def check() -> None:
        with box.open() as store:
            assert whole(store, model, face) == PEOPLE
            assert store.check_pin("p-1", "2468", "pay") == "ok"
            if store.status().generation == 1 or "rotation_unfinished" in store.status().conditions:
                store.rotate()
            assert store.status().generation == 2
        with pytest.raises(WrongKey):
            SecureStore.open(
                box.folder, FileKeyProvider(old, False), tenant="canteen", profile="closed-loop", options=options
            )
        with box.open() as store:
            assert len(store.gallery(model, "pay")) == len(PEOPLE)

    assert box.at_every_boundary(rotate, check) > 25


def test_a_renewal_of_the_transform_that_was_cut_off_serves_and_is_finished(box, face, model) -> None:
    def renew() -> None:
        with box.open() as store:
            store.renew_transform()

    def check() -> None:
        with box.open() as store:
            assert whole(store, model, face) == PEOPLE
            assert store.renew_transform() in (1, 2)
            assert len(store.gallery(model, "pay")) == len(PEOPLE)

    assert box.at_every_boundary(renew, check) > 12


def test_a_migration_that_was_cut_off_is_begun_again(old_box, model) -> None:
    def check() -> None:
        with old_box.open() as store, store.gallery(model, "pay") as gallery:
            assert sorted(gallery.handles) == list(PEOPLE)
            assert store.status().schema == 2
            assert len(store.public_key()) == 32

    assert old_box.at_every_boundary(lambda: old_box.open().close(), check) > 8


def test_a_first_start_that_was_cut_off_is_begun_again(tmp_path, options, person, model) -> None:
    box = Box(tmp_path, options)
    (tmp_path / "box").mkdir()
    box.keep()

    def check() -> None:
        with box.open(create=True) as store:
            store.enrol(person("p-0", 0))
            assert store.gallery(model, "pay").handles == ("p-0",)
            assert store.verify().sound

    assert box.at_every_boundary(lambda: box.open(create=True).close(), check) > 8


def test_a_restore_that_was_cut_off_leaves_the_old_store_or_the_new(box, face, model, tmp_path, person) -> None:
    backup = tmp_path / "backup.db"
    with box.open() as store:
        store.backup(backup)
        store.erase("p-2")
        store.enrol(person("p-new", 9))
    box.keep_anew()

    def put_back() -> None:
        restore(backup, box.folder, box.provider(), tenant="canteen", profile="closed-loop", options=box.options)

    def check() -> None:
        with box.open() as store:
            assert whole(store, model, face) in (("p-0", "p-1", "p-new"), ("p-0", "p-1"))
        assert not (box.folder / "restore").exists()

    assert box.at_every_boundary(put_back, check) > 20


def test_an_import_that_was_cut_off_is_finished_by_a_second_one(box, export, face, model) -> None:
    path, sender = export

    def take_in() -> None:
        with box.open() as store:
            store.import_people(path, sender)

    def check() -> None:
        with box.open() as store:
            assert set(whole(store, model, face)) in (
                set(PEOPLE), {*PEOPLE, "x-0", "x-1"}, {*PEOPLE, "x-0", "x-1", "x-2"}
            )  # fmt: skip
            store.import_people(path, sender)
            assert whole(store, model, face) == (*PEOPLE, "x-0", "x-1", "x-2")
            assert store.check_pin("x-2", "2468", "pay") == "ok"

    assert box.at_every_boundary(take_in, check) > 12


def test_a_crypto_erase_that_was_cut_off_is_finished_by_a_second_one(box, face, model) -> None:
    def check() -> None:
        try:
            with box.open() as store:
                assert whole(store, model, face) == PEOPLE  # the key was still there: nothing was destroyed yet
        except (KeyMissing, WrongKey):
            pass
        crypto_erase(box.folder, box.provider())
        assert not box.key.exists()
        assert [path.name for path in box.folder.iterdir()] == ["store.lock"]

    assert box.at_every_boundary(lambda: crypto_erase(box.folder, box.provider()), check) > 6
